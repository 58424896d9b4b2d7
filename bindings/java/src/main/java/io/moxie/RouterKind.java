package io.moxie;

import io.moxie.internal.mox_router_kind;

/** How a router turns logits into experts and weights. */
public enum RouterKind {
  /** The k largest logits, softmax over those (Mixtral). */
  TOP_K(mox_router_kind.MOX_ROUTER_TOP_K),
  /** Softmax over all, the k most probable, renormalised. */
  MIXLORA(mox_router_kind.MOX_ROUTER_MIXLORA),
  /** Top-p: the likeliest until their probabilities exceed p. */
  DYNAMIC(mox_router_kind.MOX_ROUTER_DYNAMIC),
  /** The most probable expert, up to its capacity. */
  SWITCH(mox_router_kind.MOX_ROUTER_SWITCH),
  /** Every expert, weighted by its probability. */
  LORAMOE(mox_router_kind.MOX_ROUTER_LORAMOE),
  /** As {@link #MIXLORA}, on each linear. */
  MOLA(mox_router_kind.MOX_ROUTER_MOLA);

  private final int code;

  RouterKind(int code) {
    this.code = code;
  }

  int code() {
    return code;
  }

  static RouterKind of(int code) {
    for (RouterKind value : values()) {
      if (value.code == code) {
        return value;
      }
    }
    throw new InternalException("the library answered with mox_router_kind " + code + ", which this version does not know");
  }
}
