package io.moxie;

import io.moxie.internal.mox_activation;

/** Activation of a feed-forward. */
public enum Activation {
  /** Adapters only: whatever the base uses. */
  BASE(mox_activation.MOX_ACTIVATION_BASE),
  /** x * sigmoid(x). */
  SILU(mox_activation.MOX_ACTIVATION_SILU),
  /** Exact, with erf. */
  GELU(mox_activation.MOX_ACTIVATION_GELU),
  /** The tanh approximation. */
  GELU_TANH(mox_activation.MOX_ACTIVATION_GELU_TANH),
  /** max(x, 0). */
  RELU(mox_activation.MOX_ACTIVATION_RELU);

  private final int code;

  Activation(int code) {
    this.code = code;
  }

  int code() {
    return code;
  }

  static Activation of(int code) {
    for (Activation value : values()) {
      if (value.code == code) {
        return value;
      }
    }
    throw new InternalException("the library answered with mox_activation " + code + ", which this version does not know");
  }
}
