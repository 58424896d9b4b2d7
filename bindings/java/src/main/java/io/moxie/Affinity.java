package io.moxie;

import io.moxie.internal.Memory;
import io.moxie.internal.NativeLibrary;
import io.moxie.internal.mox_affinity;
import io.moxie.internal.raw;

/** How the runtime's threads are bound to CPUs. */
public enum Affinity {
  /** {@link #COMPACT} where CPUs are named, else {@link #NONE}. */
  AUTO(mox_affinity.MOX_AFFINITY_AUTO),
  /** The system moves threads as it likes. */
  NONE(mox_affinity.MOX_AFFINITY_NONE),
  /** Each thread on a core of its own. */
  CORES(mox_affinity.MOX_AFFINITY_CORES),
  /** Each thread on a CPU of its own, hyperthread siblings side by side. */
  COMPACT(mox_affinity.MOX_AFFINITY_COMPACT);

  private final int code;

  Affinity(int code) {
    this.code = code;
  }

  int code() {
    return code;
  }

  static Affinity of(int code) {
    for (Affinity value : values()) {
      if (value.code == code) {
        return value;
      }
    }
    throw new InternalException("the library answered with mox_affinity " + code + ", which this version does not know");
  }

  /**
   * Returns the library's own name for it.
   *
   * @return the name, as messages and environment variables have it
   */
  public String label() {
    NativeLibrary.require();
    return Memory.text(raw.mox_affinity_name(code));
  }
}
