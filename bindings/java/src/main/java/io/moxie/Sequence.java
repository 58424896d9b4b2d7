package io.moxie;

import io.moxie.internal.Call;
import io.moxie.internal.LogHook;
import io.moxie.internal.Memory;
import io.moxie.internal.NativeHandle;
import io.moxie.internal.mox_sequence_info;
import io.moxie.internal.raw;

/**
 * The KV cache of one sequence: what attention remembers, in every layer. Its memory grows with the tokens it holds.
 *
 * <p>One owner at a time. A sequence that is in two calls at once is an error in one of them, not a race. It may be
 * closed at any time; a call that uses it finishes first.
 */
public final class Sequence implements AutoCloseable {
  private final NativeHandle handle;

  private Sequence(NativeHandle handle) {
    this.handle = handle;
  }

  /**
   * Creates an empty sequence for a model, with the defaults.
   *
   * @param model the model
   * @return the sequence
   */
  public static Sequence create(Model model) {
    return create(model, new SequenceOptions());
  }

  /**
   * Creates an empty sequence for a model.
   *
   * @param model the model
   * @param options how it remembers
   * @return the sequence
   */
  public static Sequence create(Model model, SequenceOptions options) {
    try (Call call = new Call()) {
      long out = call.out();
      call.check(raw.mox_sequence_create(call.use(model.handle()), options.fill(call), out, call.error()));
      return adopt(Memory.readLong(out), model.handle().log());
    }
  }

  /**
   * Creates an empty sequence for one transformer block.
   *
   * @param block the block
   * @param options how it remembers
   * @return the sequence
   */
  public static Sequence create(Block block, SequenceOptions options) {
    try (Call call = new Call()) {
      long out = call.out();
      call.check(
          raw.mox_sequence_create_for_block(call.use(block.handle()), options.fill(call), out, call.error()));
      return adopt(Memory.readLong(out), block.handle().log());
    }
  }

  private static Sequence adopt(long address, LogHook log) {
    return new Sequence(new NativeHandle("sequence", address, raw::mox_sequence_free, log));
  }

  /**
   * Makes a second sequence that remembers the same. What they share is copied only when one of them writes.
   *
   * @return the second sequence
   */
  public Sequence fork() {
    try (Call call = new Call()) {
      long out = call.out();
      call.check(raw.mox_sequence_fork(call.use(handle), out, call.error()));
      return adopt(Memory.readLong(out), handle.log());
    }
  }

  /**
   * Forgets everything after the first tokens.
   *
   * @param length how many tokens to keep: 0 to the length now
   */
  public void truncate(long length) {
    try (Call call = new Call()) {
      call.check(raw.mox_sequence_truncate(call.use(handle), length, call.error()));
    }
  }

  /**
   * Returns the number of tokens held.
   *
   * @return tokens
   */
  public long length() {
    try (Call call = new Call()) {
      return raw.mox_sequence_length(call.use(handle));
    }
  }

  /**
   * Describes what is held.
   *
   * @return length and memory
   */
  public SequenceInfo describe() {
    try (Call call = new Call()) {
      long struct = call.allocate(mox_sequence_info.sizeOf());
      mox_sequence_info info = new mox_sequence_info(struct);
      info.setStruct_size(mox_sequence_info.sizeOf());
      call.check(raw.mox_sequence_describe(call.use(handle), struct, call.error()));
      return new SequenceInfo(
          info.getLength(), info.getFirst_position(), DType.of(info.getKv()), info.getKv_bytes());
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
