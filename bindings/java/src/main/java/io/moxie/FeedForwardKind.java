package io.moxie;

import io.moxie.internal.mox_feed_forward_kind;

/** What a feed-forward is made of. */
public enum FeedForwardKind {
  /** down(act(gate(x)) * up(x)). */
  GATED(mox_feed_forward_kind.MOX_FEED_FORWARD_GATED),
  /** down(act(gate(x))). */
  PLAIN(mox_feed_forward_kind.MOX_FEED_FORWARD_PLAIN),
  /** A bank of gated experts with a router. */
  EXPERTS(mox_feed_forward_kind.MOX_FEED_FORWARD_EXPERTS);

  private final int code;

  FeedForwardKind(int code) {
    this.code = code;
  }

  int code() {
    return code;
  }

  static FeedForwardKind of(int code) {
    for (FeedForwardKind value : values()) {
      if (value.code == code) {
        return value;
      }
    }
    throw new InternalException("the library answered with mox_feed_forward_kind " + code + ", which this version does not know");
  }
}
