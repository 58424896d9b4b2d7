package io.moxie;

import io.moxie.internal.mox_storage;

/**
 * How bfloat16 weights lie in memory. Compact ones take three quarters of it, and come out bit by bit: results are the
 * same. Matrices whose weights differ too much in size from each other are held plain whatever is asked for, as float32
 * is.
 */
public enum WeightStorage {
  /** Compact from 1 MiB on, where the kernels in use are expected to be quicker so. */
  AUTO(mox_storage.MOX_STORAGE_AUTO),
  /** Two bytes for a weight. */
  PLAIN(mox_storage.MOX_STORAGE_PLAIN),
  /** Compact wherever the weights allow. */
  COMPACT(mox_storage.MOX_STORAGE_COMPACT);

  private final int code;

  WeightStorage(int code) {
    this.code = code;
  }

  int code() {
    return code;
  }

  static WeightStorage of(int code) {
    for (WeightStorage value : values()) {
      if (value.code == code) {
        return value;
      }
    }
    throw new InternalException("the library answered with mox_storage " + code + ", which this version does not know");
  }
}
