package io.moxie;

import io.moxie.internal.mox_weights;

/** How weights are held and computed with. */
public enum Weights {
  /** float32 and bfloat16 as they are; float16 is widened. */
  AS_STORED(mox_weights.MOX_WEIGHTS_AS_STORED),
  /** Widened to float32: exact, and inputs are not rounded. */
  F32(mox_weights.MOX_WEIGHTS_F32),
  /** Rounded to bfloat16; each product's input is rounded once too. */
  BF16(mox_weights.MOX_WEIGHTS_BF16);

  private final int code;

  Weights(int code) {
    this.code = code;
  }

  int code() {
    return code;
  }

  static Weights of(int code) {
    for (Weights value : values()) {
      if (value.code == code) {
        return value;
      }
    }
    throw new InternalException("the library answered with mox_weights " + code + ", which this version does not know");
  }
}
