package io.moxie;

import io.moxie.internal.Call;
import io.moxie.internal.Memory;
import io.moxie.internal.NativeHandle;
import io.moxie.internal.mox_file_info;
import io.moxie.internal.mox_tensor_info;
import io.moxie.internal.raw;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;

/**
 * A checkpoint folder, an adapter folder, or one .safetensors or torch archive file, looked at without loading it. Any
 * number of threads may read it at once.
 */
public final class MoxieFile implements AutoCloseable {
  private final NativeHandle handle;

  private MoxieFile(NativeHandle handle) {
    this.handle = handle;
  }

  /**
   * Opens a file or folder. Fails only where nothing can be said about it: what is wrong with a configuration is listed
   * as problems instead.
   *
   * @param path the file or folder
   * @return the file
   */
  public static MoxieFile open(Path path) {
    try (Call call = new Call()) {
      long out = call.out();
      String text = Objects.requireNonNull(path, "path").toString();
      call.check(raw.mox_file_open(call.text("path", text), out, call.error()));
      return new MoxieFile(new NativeHandle("file", Memory.readLong(out), raw::mox_file_free, null));
    }
  }

  /**
   * Describes what was found.
   *
   * @return kind, format, sizes
   */
  public FileInfo describe() {
    try (Call call = new Call()) {
      long struct = call.allocate(mox_file_info.sizeOf());
      mox_file_info info = new mox_file_info(struct);
      info.setStruct_size(mox_file_info.sizeOf());
      call.check(raw.mox_file_describe(call.use(handle), struct, call.error()));
      return new FileInfo(
          FileKind.of(info.getKind()),
          Memory.text(info.getFamily()),
          Memory.text(info.getFormat()),
          Math.toIntExact(info.getTensors()),
          info.getParameters(),
          info.getBytes(),
          Math.toIntExact(info.getProblems()));
    }
  }

  /**
   * Lists why it would be refused, as loading would say it.
   *
   * @return the reasons; empty where there are none
   */
  public List<String> problems() {
    int count = describe().problems();
    List<String> result = new ArrayList<>(count);
    try (Call call = new Call()) {
      long file = call.use(handle);
      long text = call.out();
      for (int i = 0; i < count; ++i) {
        call.check(raw.mox_file_problem(file, i, text, call.error()));
        result.add(Memory.text(Memory.readLong(text)));
      }
    }
    return List.copyOf(result);
  }

  /**
   * Lists settings worth showing ("hidden" = "192", "rank" = "8").
   *
   * @return the settings, in a fixed order
   */
  public Map<String, String> settings() {
    Map<String, String> result = new LinkedHashMap<>();
    try (Call call = new Call()) {
      long file = call.use(handle);
      long name = call.out();
      long value = call.out();
      for (long i = 0; ; ++i) {
        try {
          call.check(raw.mox_file_setting(file, i, name, value, call.error()));
        } catch (NotFoundException end) {
          return Collections.unmodifiableMap(result);
        }
        result.put(Memory.text(Memory.readLong(name)), Memory.text(Memory.readLong(value)));
      }
    }
  }

  /**
   * Lists the tensors, sorted by name.
   *
   * @return the tensors
   */
  public List<TensorInfo> tensors() {
    int count = describe().tensors();
    List<TensorInfo> result = new ArrayList<>(count);
    for (int i = 0; i < count; ++i) {
      result.add(tensor(i));
    }
    return List.copyOf(result);
  }

  /**
   * Finds a tensor.
   *
   * @param name its name
   * @return the tensor
   * @throws NotFoundException where there is none of that name
   */
  public TensorInfo tensor(String name) {
    try (Call call = new Call()) {
      long out = call.out();
      long text = call.text("name", Objects.requireNonNull(name, "name"));
      call.check(raw.mox_file_find_tensor(call.use(handle), text, out, call.error()));
      return tensor(Math.toIntExact(Memory.readLong(out)));
    }
  }

  private TensorInfo tensor(int index) {
    try (Call call = new Call()) {
      long struct = call.allocate(mox_tensor_info.sizeOf());
      mox_tensor_info info = new mox_tensor_info(struct);
      info.setStruct_size(mox_tensor_info.sizeOf());
      call.check(raw.mox_file_tensor(call.use(handle), index, struct, call.error()));
      List<Long> shape = new ArrayList<>();
      for (int i = 0; i < info.getDimensions(); ++i) {
        shape.add(Memory.readLong(info.getShape() + (long) i * Long.BYTES));
      }
      return new TensorInfo(
          index,
          Memory.text(info.getName()),
          Memory.text(info.getFile()),
          DType.of(info.getDtype()),
          List.copyOf(shape),
          info.getBytes());
    }
  }

  /**
   * Reads a tensor's bytes as stored, contiguous, row by row.
   *
   * @param tensor a tensor of this file
   * @return a direct buffer in native byte order
   * @throws UnsupportedException where the tensor is larger than a buffer can be, 2 GiB
   */
  public ByteBuffer read(TensorInfo tensor) {
    if (tensor.bytes() > Integer.MAX_VALUE) {
      throw new UnsupportedException(
          tensor.name() + " has " + tensor.bytes() + " bytes; a buffer holds at most " + Integer.MAX_VALUE);
    }
    ByteBuffer buffer = ByteBuffer.allocateDirect((int) tensor.bytes()).order(ByteOrder.nativeOrder());
    read(tensor, buffer);
    return buffer;
  }

  /**
   * Reads a tensor's bytes as stored, contiguous, row by row, from the buffer's position on. The position stays.
   *
   * @param tensor a tensor of this file
   * @param destination a direct buffer that has room for exactly the tensor's bytes
   */
  public void read(TensorInfo tensor, ByteBuffer destination) {
    Objects.requireNonNull(tensor, "tensor");
    if (!destination.isDirect() || destination.isReadOnly()) {
      throw new InvalidArgumentException("the buffer is on the Java heap or read-only; expected a direct one");
    }
    try (Call call = new Call()) {
      call.keep(destination);
      long address = Memory.bufferAddress(destination) + destination.position();
      call.check(
          raw.mox_file_read_tensor(
              call.use(handle), tensor.index(), address, destination.remaining(), call.error()));
    }
  }

  /** Gives up this handle; a second time does nothing. */
  @Override
  public void close() {
    handle.close();
  }
}
