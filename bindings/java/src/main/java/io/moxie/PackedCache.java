package io.moxie;

import io.moxie.internal.mox_packed_cache;

/** Whether packed weights are kept in a file for the next start. */
public enum PackedCache {
  /** No file. */
  OFF(mox_packed_cache.MOX_PACKED_CACHE_OFF),
  /** Used where it fits the checkpoint; else written, or written anew. */
  READ_WRITE(mox_packed_cache.MOX_PACKED_CACHE_READ_WRITE),
  /** Used where it fits; never written. */
  READ(mox_packed_cache.MOX_PACKED_CACHE_READ);

  private final int code;

  PackedCache(int code) {
    this.code = code;
  }

  int code() {
    return code;
  }

  static PackedCache of(int code) {
    for (PackedCache value : values()) {
      if (value.code == code) {
        return value;
      }
    }
    throw new InternalException("the library answered with mox_packed_cache " + code + ", which this version does not know");
  }
}
