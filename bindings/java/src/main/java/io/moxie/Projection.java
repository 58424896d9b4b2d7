package io.moxie;

import io.moxie.internal.mox_projection;

/** The linears of a feed-forward. */
public enum Projection {
  /** gate_proj; of a plain feed-forward its first linear. */
  GATE(mox_projection.MOX_PROJECTION_GATE),
  /** up_proj. */
  UP(mox_projection.MOX_PROJECTION_UP),
  /** down_proj. */
  DOWN(mox_projection.MOX_PROJECTION_DOWN);

  private final int code;

  Projection(int code) {
    this.code = code;
  }

  int code() {
    return code;
  }

  static Projection of(int code) {
    for (Projection value : values()) {
      if (value.code == code) {
        return value;
      }
    }
    throw new InternalException("the library answered with mox_projection " + code + ", which this version does not know");
  }
}
