package io.moxie;

import io.moxie.internal.Call;
import io.moxie.internal.Memory;
import io.moxie.internal.mox_matrix;
import java.nio.Buffer;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.ShortBuffer;
import java.util.Objects;

/**
 * A view of rows of numbers in your memory: weights, factors, hidden states, logits. Row i begins {@code i * stride}
 * elements after the first; what lies between rows is never read as a number and never written.
 *
 * <p>The memory is an array or a direct buffer. Arrays are copied for the call, in and out; direct buffers are used
 * where they are, without a copy. A buffer must have the machine's byte order ({@link ByteOrder#nativeOrder()}); its
 * elements from its position to its limit at the time the view is made are what the view may reach. Memory is read and
 * written during calls only, and must not be changed meanwhile by another thread.
 *
 * <p>A view is immutable and holds its memory.
 */
public final class Matrix {
  private final Object memory;
  private final long offset;
  private final DType type;
  private final int rows;
  private final int columns;
  private final int stride;

  private Matrix(Object memory, long offset, long available, DType type, int rows, int columns, int stride) {
    if (rows < 0 || columns < 1) {
      throw new InvalidArgumentException(
          "a matrix is " + rows + " x " + columns + "; expected 0 or more rows of 1 or more columns");
    }
    if (stride < columns) {
      throw new InvalidArgumentException("the stride is " + stride + "; rows have " + columns + " columns");
    }
    this.memory = memory;
    this.offset = offset;
    this.type = type;
    this.rows = rows;
    this.columns = columns;
    this.stride = stride;
    if (extent() > available) {
      throw new InvalidArgumentException(
          rows
              + " rows of "
              + columns
              + (stride == columns ? "" : " with a stride of " + stride)
              + " need "
              + extent()
              + " elements; there are "
              + available);
    }
  }

  /**
   * Views an array without gaps between rows.
   *
   * @param data rows * columns float32
   * @param rows the number of rows
   * @param columns the length of a row
   * @return the view
   * @throws InvalidArgumentException where the array is too short
   */
  public static Matrix of(float[] data, int rows, int columns) {
    return of(data, 0, rows, columns, columns);
  }

  /**
   * Views a part of an array.
   *
   * @param data float32
   * @param offset index of the first element
   * @param rows the number of rows
   * @param columns the length of a row
   * @param stride elements from one row to the next
   * @return the view
   * @throws InvalidArgumentException where the array is too short
   */
  public static Matrix of(float[] data, int offset, int rows, int columns, int stride) {
    Objects.requireNonNull(data, "data");
    return new Matrix(data, checkOffset(offset), data.length - (long) offset, DType.F32, rows, columns, stride);
  }

  /**
   * Views an array of 16-bit floats, given by their bits.
   *
   * @param data the bits
   * @param type {@link DType#BF16} or {@link DType#F16}
   * @param rows the number of rows
   * @param columns the length of a row
   * @return the view
   * @throws InvalidArgumentException where the array is too short, or the type has other than 16 bits
   */
  public static Matrix of(short[] data, DType type, int rows, int columns) {
    return of(data, type, 0, rows, columns, columns);
  }

  /**
   * Views a part of an array of 16-bit floats, given by their bits.
   *
   * @param data the bits
   * @param type {@link DType#BF16} or {@link DType#F16}
   * @param offset index of the first element
   * @param rows the number of rows
   * @param columns the length of a row
   * @param stride elements from one row to the next
   * @return the view
   * @throws InvalidArgumentException where the array is too short, or the type has other than 16 bits
   */
  public static Matrix of(short[] data, DType type, int offset, int rows, int columns, int stride) {
    Objects.requireNonNull(data, "data");
    if (type != DType.BF16 && type != DType.F16) {
      throw new InvalidArgumentException("an array of short holds BF16 or F16; not " + type);
    }
    return new Matrix(data, checkOffset(offset), data.length - (long) offset, type, rows, columns, stride);
  }

  /**
   * Views a direct buffer without gaps between rows, from its position on.
   *
   * @param data a direct buffer in native byte order
   * @param rows the number of rows
   * @param columns the length of a row
   * @return the view
   * @throws InvalidArgumentException where the buffer is not direct, of another byte order, or too short
   */
  public static Matrix of(FloatBuffer data, int rows, int columns) {
    return of(data, rows, columns, columns);
  }

  /**
   * Views a direct buffer, from its position on.
   *
   * @param data a direct buffer in native byte order
   * @param rows the number of rows
   * @param columns the length of a row
   * @param stride elements from one row to the next
   * @return the view
   * @throws InvalidArgumentException where the buffer is not direct, of another byte order, or too short
   */
  public static Matrix of(FloatBuffer data, int rows, int columns, int stride) {
    Objects.requireNonNull(data, "data");
    checkBuffer(data, data.order());
    return new Matrix(data, data.position(), data.remaining(), DType.F32, rows, columns, stride);
  }

  /**
   * Views a direct buffer of 16-bit floats, given by their bits, from its position on.
   *
   * @param data a direct buffer in native byte order
   * @param type {@link DType#BF16} or {@link DType#F16}
   * @param rows the number of rows
   * @param columns the length of a row
   * @param stride elements from one row to the next
   * @return the view
   * @throws InvalidArgumentException where the buffer is not direct, of another byte order, or too short
   */
  public static Matrix of(ShortBuffer data, DType type, int rows, int columns, int stride) {
    Objects.requireNonNull(data, "data");
    checkBuffer(data, data.order());
    if (type != DType.BF16 && type != DType.F16) {
      throw new InvalidArgumentException("a ShortBuffer holds BF16 or F16; not " + type);
    }
    return new Matrix(data, data.position(), data.remaining(), type, rows, columns, stride);
  }

  /**
   * Views the bytes of a direct buffer, from its position on.
   *
   * @param data a direct buffer in native byte order (a new one has big-endian order: set it)
   * @param type {@link DType#F32}, {@link DType#BF16} or {@link DType#F16}
   * @param rows the number of rows
   * @param columns the length of a row
   * @param stride elements, not bytes, from one row to the next
   * @return the view
   * @throws InvalidArgumentException where the buffer is not direct, of another byte order, or too short
   */
  public static Matrix of(ByteBuffer data, DType type, int rows, int columns, int stride) {
    Objects.requireNonNull(data, "data");
    checkBuffer(data, data.order());
    if (type != DType.F32 && type != DType.BF16 && type != DType.F16) {
      throw new InvalidArgumentException("a matrix holds F32, BF16 or F16; not " + type);
    }
    int size = width(type);
    ByteBuffer bytes = data.slice().order(ByteOrder.nativeOrder());
    return new Matrix(bytes, 0, bytes.remaining() / size, type, rows, columns, stride);
  }

  /**
   * Makes a matrix in zeroed direct memory of its own, which every call uses without a copy.
   *
   * @param type {@link DType#F32}, {@link DType#BF16} or {@link DType#F16}
   * @param rows the number of rows
   * @param columns the length of a row
   * @return the matrix
   */
  public static Matrix allocate(DType type, int rows, int columns) {
    long bytes = (long) rows * columns * width(type);
    if (rows < 0 || columns < 1 || bytes > Integer.MAX_VALUE) {
      throw new InvalidArgumentException(
          rows + " x " + columns + " " + type + "; expected 1 or more columns, and at most 2 GiB in all");
    }
    ByteBuffer memory = ByteBuffer.allocateDirect((int) bytes).order(ByteOrder.nativeOrder());
    return of(memory, type, rows, columns, columns);
  }

  /**
   * Returns the number of rows.
   *
   * @return rows
   */
  public int rows() {
    return rows;
  }

  /**
   * Returns the length of a row.
   *
   * @return columns
   */
  public int columns() {
    return columns;
  }

  /**
   * Returns the distance of rows.
   *
   * @return elements from one row to the next
   */
  public int stride() {
    return stride;
  }

  /**
   * Returns the type of the elements.
   *
   * @return the type
   */
  public DType type() {
    return type;
  }

  /**
   * Reads one row, widened to float32 where it is narrower.
   *
   * @param row the row, 0 to rows - 1
   * @return a copy of the row
   */
  public float[] row(int row) {
    Objects.checkIndex(row, rows);
    float[] result = new float[columns];
    long first = offset + (long) row * stride;
    for (int i = 0; i < columns; ++i) {
      result[i] = element(Math.toIntExact(first + i));
    }
    return result;
  }

  /**
   * Writes one row, rounded to nearest even where the matrix is bfloat16.
   *
   * @param row the row, 0 to rows - 1
   * @param values as many numbers as the matrix has columns
   * @throws InvalidArgumentException where there are more or fewer numbers, or the matrix is float16
   */
  public void setRow(int row, float[] values) {
    Objects.checkIndex(row, rows);
    if (values.length != columns) {
      throw new InvalidArgumentException(values.length + " numbers for a row of " + columns);
    }
    if (type == DType.F16) {
      throw new InvalidArgumentException("rows of F16 cannot be set from float32");
    }
    long first = offset + (long) row * stride;
    for (int i = 0; i < columns; ++i) {
      setElement(Math.toIntExact(first + i), values[i]);
    }
  }

  private float element(int index) {
    if (memory instanceof float[] array) {
      return array[index];
    }
    if (memory instanceof FloatBuffer buffer) {
      return buffer.get(index);
    }
    if (memory instanceof ByteBuffer bytes && type == DType.F32) {
      return bytes.getFloat(index * Float.BYTES);
    }
    short bits;
    if (memory instanceof short[] array) {
      bits = array[index];
    } else if (memory instanceof ShortBuffer buffer) {
      bits = buffer.get(index);
    } else {
      bits = ((ByteBuffer) memory).getShort(index * Short.BYTES);
    }
    return type == DType.BF16 ? Halves.fromBFloat16(bits) : Halves.fromFloat16(bits);
  }

  private void setElement(int index, float value) {
    if (memory instanceof float[] array) {
      array[index] = value;
    } else if (memory instanceof FloatBuffer buffer) {
      buffer.put(index, value);
    } else if (memory instanceof ByteBuffer bytes && type == DType.F32) {
      bytes.putFloat(index * Float.BYTES, value);
    } else if (memory instanceof short[] array) {
      array[index] = Halves.toBFloat16(value);
    } else if (memory instanceof ShortBuffer buffer) {
      buffer.put(index, Halves.toBFloat16(value));
    } else {
      ((ByteBuffer) memory).putShort(index * Short.BYTES, Halves.toBFloat16(value));
    }
  }

  /** Elements from the first to the last, gaps between rows included. */
  private long extent() {
    return rows == 0 ? 0 : (rows - 1L) * stride + columns;
  }

  /** Where a call reads the rows. */
  long input(Call call) {
    if (memory instanceof Buffer buffer) {
      return direct(call, buffer);
    }
    long address = call.allocate(extent() * width(type));
    copyIn(address);
    return address;
  }

  /** Where a call writes the rows; they are in their place once it has succeeded. */
  long output(Call call) {
    if (memory instanceof Buffer buffer) {
      if (buffer.isReadOnly()) {
        throw new InvalidArgumentException("the buffer is read-only; results are to be written to it");
      }
      return direct(call, buffer);
    }
    long address = call.allocate(extent() * width(type));
    call.afterwards(() -> copyOut(address));
    return address;
  }

  /** Fills a struct of the C library. */
  void describe(Call call, long struct) {
    mox_matrix matrix = new mox_matrix(struct);
    matrix.setData(input(call));
    matrix.setRows(rows);
    matrix.setColumns(columns);
    matrix.setRow_stride(stride);
    matrix.setDtype(type.code());
  }

  private long direct(Call call, Buffer buffer) {
    call.keep(buffer);
    long address = Memory.bufferAddress(buffer) + offset * width(type);
    if (address % width(type) != 0) {
      throw new InvalidArgumentException(
          "the buffer's first element is not aligned to " + width(type) + " bytes, the size of " + type);
    }
    return address;
  }

  private void copyIn(long address) {
    int count = Math.toIntExact(extent());
    if (memory instanceof float[] array) {
      Memory.copyFloatsIn(address, array, (int) offset, count);
    } else {
      Memory.copyShortsIn(address, (short[]) memory, (int) offset, count);
    }
  }

  /** Row by row: the gaps are not ours. */
  private void copyOut(long address) {
    int runs = stride == columns ? 1 : rows;
    int count = stride == columns ? Math.toIntExact(extent()) : columns;
    for (int run = 0; run < runs; ++run) {
      long skipped = (long) run * stride;
      long from = address + skipped * width(type);
      int to = Math.toIntExact(offset + skipped);
      if (memory instanceof float[] array) {
        Memory.copyFloatsOut(from, array, to, count);
      } else {
        Memory.copyShortsOut(from, (short[]) memory, to, count);
      }
    }
  }

  private static int width(DType type) {
    return type == DType.F32 ? Float.BYTES : Short.BYTES;
  }

  private static long checkOffset(int offset) {
    if (offset < 0) {
      throw new InvalidArgumentException("the offset is " + offset + "; expected 0 or more");
    }
    return offset;
  }

  static void checkBuffer(Buffer buffer, ByteOrder order) {
    if (!buffer.isDirect()) {
      throw new InvalidArgumentException(
          "the buffer is on the Java heap; expected a direct one (ByteBuffer.allocateDirect), or the array itself");
    }
    if (order != ByteOrder.nativeOrder()) {
      throw new InvalidArgumentException(
          "the buffer's byte order is "
              + order
              + "; expected "
              + ByteOrder.nativeOrder()
              + ": call order(ByteOrder.nativeOrder()) before making views of it");
    }
  }
}
