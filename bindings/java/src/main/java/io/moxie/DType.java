package io.moxie;

import io.moxie.internal.Memory;
import io.moxie.internal.NativeLibrary;
import io.moxie.internal.mox_dtype;
import io.moxie.internal.raw;

/**
 * Element type of a tensor. Rows of hidden states take {@link #F32} and {@link #BF16}, weights and factors {@link
 * #F16} too; the others occur in files only.
 */
public enum DType {
  /** float32. */
  F32(mox_dtype.MOX_F32),
  /** bfloat16, the upper half of a float32. */
  BF16(mox_dtype.MOX_BF16),
  /** IEEE 754 half precision. */
  F16(mox_dtype.MOX_F16),
  /** float64. */
  F64(mox_dtype.MOX_F64),
  /** 64-bit integers. */
  I64(mox_dtype.MOX_I64),
  /** 32-bit integers. */
  I32(mox_dtype.MOX_I32),
  /** 16-bit integers. */
  I16(mox_dtype.MOX_I16),
  /** 8-bit integers. */
  I8(mox_dtype.MOX_I8),
  /** Unsigned bytes. */
  U8(mox_dtype.MOX_U8),
  /** Booleans, a byte each. */
  BOOL(mox_dtype.MOX_BOOL);

  private final int code;

  DType(int code) {
    this.code = code;
  }

  int code() {
    return code;
  }

  static DType of(int code) {
    for (DType value : values()) {
      if (value.code == code) {
        return value;
      }
    }
    throw new InternalException("the library answered with mox_dtype " + code + ", which this version does not know");
  }

  /**
   * Returns the library's own name for it.
   *
   * @return the name, as messages and environment variables have it
   */
  public String label() {
    NativeLibrary.require();
    return Memory.text(raw.mox_dtype_name(code));
  }

  /**
   * Returns the size of one element.
   *
   * @return bytes
   */
  public int size() {
    NativeLibrary.require();
    return Math.toIntExact(raw.mox_dtype_size(code));
  }
}
