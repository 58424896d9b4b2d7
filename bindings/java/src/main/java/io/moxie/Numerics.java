package io.moxie;

import io.moxie.internal.mox_numerics;

/** Whether a backend that cannot keep results bit-identical across batch compositions may be chosen. */
public enum Numerics {
  /** Only backends that keep them. */
  REPRODUCIBLE(mox_numerics.MOX_NUMERICS_REPRODUCIBLE),
  /** Any backend. */
  FASTEST(mox_numerics.MOX_NUMERICS_FASTEST);

  private final int code;

  Numerics(int code) {
    this.code = code;
  }

  int code() {
    return code;
  }

  static Numerics of(int code) {
    for (Numerics value : values()) {
      if (value.code == code) {
        return value;
      }
    }
    throw new InternalException("the library answered with mox_numerics " + code + ", which this version does not know");
  }
}
