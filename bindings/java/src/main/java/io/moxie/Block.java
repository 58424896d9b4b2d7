package io.moxie;

import io.moxie.internal.Call;
import io.moxie.internal.Memory;
import io.moxie.internal.NativeHandle;
import io.moxie.internal.mox_block_step;
import io.moxie.internal.raw;
import java.nio.file.Path;
import java.util.List;

/**
 * One transformer block of a checkpoint: RMSNorm, attention, feed-forward, residuals.
 *
 * <p>Immutable; any number of threads may step their own sequences at once. Closing waits for nobody.
 */
public final class Block implements AutoCloseable {
  private final NativeHandle handle;
  private final int hidden;

  private Block(NativeHandle handle) {
    this.handle = handle;
    try (Call call = new Call()) {
      hidden = Math.toIntExact(raw.mox_block_hidden(call.use(handle)));
    }
  }

  /**
   * Opens one layer of a checkpoint folder. Tensors of other layers need not be there.
   *
   * @param runtime where it runs
   * @param folder the checkpoint
   * @param layer the layer, 0 for the first
   * @param options how the checkpoint is read
   * @return the block
   */
  public static Block open(Runtime runtime, Path folder, int layer, LoadOptions options) {
    try (Call call = new Call()) {
      long out = call.out();
      call.check(
          raw.mox_block_open(
              call.use(runtime.handle()),
              LoadOptions.folder(call, folder),
              layer,
              options.fill(call),
              out,
              call.error()));
      return new Block(
          new NativeHandle("block", Memory.readLong(out), raw::mox_block_free, runtime.handle().log()));
    }
  }

  /**
   * Returns the width of the block's rows. May be called after it is closed.
   *
   * @return elements
   */
  public int hidden() {
    return hidden;
  }

  /**
   * Moves sequences on together; all or nothing.
   *
   * @param steps one for each sequence
   */
  public void run(BlockStep... steps) {
    run(List.of(steps), false);
  }

  /**
   * Moves sequences on together, and tells what the routers decided.
   *
   * @param steps one for each sequence
   * @return the decisions, one range for each step; to be closed by the caller
   */
  public Routing runWithRouting(BlockStep... steps) {
    return run(List.of(steps), true);
  }

  private Routing run(List<BlockStep> steps, boolean routed) {
    try (Call call = new Call()) {
      long array = call.allocate(mox_block_step.sizeOf() * steps.size());
      for (int i = 0; i < steps.size(); ++i) {
        steps.get(i).fill(call, array + i * mox_block_step.sizeOf(), i, hidden);
      }
      long out = routed ? call.out() : 0;
      call.check(raw.mox_block_run(call.use(handle), array, steps.size(), out, call.error()));
      return routed ? Routing.adopt(Memory.readLong(out)) : null;
    }
  }

  NativeHandle handle() {
    return handle;
  }

  /** Gives up this handle; a second time does nothing. */
  @Override
  public void close() {
    handle.close();
  }
}
