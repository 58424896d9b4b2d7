package io.moxie;

import io.moxie.internal.Call;
import io.moxie.internal.mox_load_options;
import io.moxie.internal.raw;
import java.nio.file.Path;
import java.util.Objects;

/** How a checkpoint is read. Setters return the object itself; it is read when something is opened with it. */
public final class LoadOptions {
  private Weights weights = Weights.AS_STORED;
  private boolean mapFiles;
  private PackedCache packedCache = PackedCache.OFF;
  private boolean mapPackedCache;
  private String packedCachePath;
  private WeightStorage storage = WeightStorage.AUTO;

  /** Creates the defaults. */
  public LoadOptions() {}

  /**
   * Sets how weights are held.
   *
   * @param weights the element type; default {@link Weights#AS_STORED}
   * @return this
   */
  public LoadOptions weights(Weights weights) {
    this.weights = Objects.requireNonNull(weights, "weights");
    return this;
  }

  /**
   * Sets whether files are mapped instead of read. A mapped file that is cut short by somebody kills the process: map
   * only what nobody rewrites.
   *
   * @param map whether to map; default false
   * @return this
   */
  public LoadOptions mapFiles(boolean map) {
    this.mapFiles = map;
    return this;
  }

  /**
   * Sets whether packed weights are kept in a file, so that opening again is as fast as the disk. A cache that does not
   * fit is never used, and one that cannot be written never fails the call; either is logged.
   *
   * @param mode whether it is read, and written; default {@link PackedCache#OFF}
   * @param path a file, or a folder (with a slash at its end where it does not exist) in which each checkpoint has a
   *     file of its own; null: beside the checkpoint
   * @return this
   */
  public LoadOptions packedCache(PackedCache mode, String path) {
    this.packedCache = Objects.requireNonNull(mode, "mode");
    this.packedCachePath = path;
    return this;
  }

  /**
   * Sets whether the packed cache is mapped, so that processes share its memory, instead of read.
   *
   * @param map whether to map; default false
   * @return this
   */
  public LoadOptions mapPackedCache(boolean map) {
    this.mapPackedCache = map;
    return this;
  }

  /**
   * Sets how bfloat16 weights lie in memory.
   *
   * @param storage whether they are held compact; default {@link WeightStorage#AUTO}
   * @return this
   */
  public LoadOptions storage(WeightStorage storage) {
    this.storage = Objects.requireNonNull(storage, "storage");
    return this;
  }

  long fill(Call call) {
    long struct = call.allocate(mox_load_options.sizeOf());
    raw.mox_load_options_init(struct, mox_load_options.sizeOf());
    mox_load_options options = new mox_load_options(struct);
    options.setWeights(weights.code());
    options.setMap_files(mapFiles ? 1 : 0);
    options.setPacked_cache(packedCache.code());
    options.setMap_packed_cache(mapPackedCache ? 1 : 0);
    options.setPacked_cache_path(call.text("the path of the packed cache", packedCachePath));
    options.setStorage(storage.code());
    return struct;
  }

  static long folder(Call call, Path folder) {
    return call.text("folder", Objects.requireNonNull(folder, "folder").toString());
  }
}
