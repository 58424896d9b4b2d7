package io.moxie;

import io.moxie.internal.Memory;
import io.moxie.internal.NativeLibrary;
import io.moxie.internal.mox_backend;
import io.moxie.internal.raw;

/** Who computes the large products. */
public enum Backend {
  /** The first of the kernel table that the machine allows. */
  AUTO(mox_backend.MOX_BACKEND_AUTO),
  /** Moxie's own kernels. */
  NATIVE(mox_backend.MOX_BACKEND_NATIVE),
  /** oneDNN. */
  ONEDNN(mox_backend.MOX_BACKEND_ONEDNN),
  /** Eigen. */
  EIGEN(mox_backend.MOX_BACKEND_EIGEN),
  /** Plain loops, which the kernels are tested against. */
  REFERENCE(mox_backend.MOX_BACKEND_REFERENCE);

  private final int code;

  Backend(int code) {
    this.code = code;
  }

  int code() {
    return code;
  }

  static Backend of(int code) {
    for (Backend value : values()) {
      if (value.code == code) {
        return value;
      }
    }
    throw new InternalException("the library answered with mox_backend " + code + ", which this version does not know");
  }

  /**
   * Returns the library's own name for it.
   *
   * @return the name, as messages and environment variables have it
   */
  public String label() {
    NativeLibrary.require();
    return Memory.text(raw.mox_backend_name(code));
  }
}
