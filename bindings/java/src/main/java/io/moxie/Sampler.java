package io.moxie;

import io.moxie.internal.Call;
import io.moxie.internal.Memory;
import io.moxie.internal.NativeHandle;
import io.moxie.internal.raw;

/**
 * Chooses the next token. The same seed and logits give the same tokens on every machine.
 *
 * <p>It holds the state of a random generator, so its order of calls matters: one owner at a time. Calls of several
 * threads wait for each other.
 */
public final class Sampler implements AutoCloseable {
  private final NativeHandle handle;

  private Sampler(NativeHandle handle) {
    this.handle = handle;
  }

  /**
   * Creates a sampler that takes the likeliest token.
   *
   * @return the sampler
   */
  public static Sampler greedy() {
    return create(new SamplerOptions());
  }

  /**
   * Creates a sampler.
   *
   * @param options how it chooses
   * @return the sampler
   */
  public static Sampler create(SamplerOptions options) {
    try (Call call = new Call()) {
      long out = call.out();
      call.check(raw.mox_sampler_create(options.fill(call), out, call.error()));
      return new Sampler(new NativeHandle("sampler", Memory.readLong(out), raw::mox_sampler_free, null));
    }
  }

  /**
   * Chooses a token.
   *
   * @param logits [vocabulary]
   * @return the token's id
   * @throws NumericException where a logit is NaN
   */
  public int next(float[] logits) {
    return next(Matrix.of(logits, 1, logits.length));
  }

  /**
   * Chooses a token.
   *
   * @param logits one row, {@link DType#F32}
   * @return the token's id
   * @throws NumericException where a logit is NaN
   */
  public synchronized int next(Matrix logits) {
    if (logits.rows() != 1 || logits.type() != DType.F32) {
      throw new InvalidArgumentException(
          "logits are " + logits.rows() + " rows of " + logits.type() + "; expected 1 row of F32");
    }
    try (Call call = new Call()) {
      long out = call.out();
      call.check(
          raw.mox_sampler_next(call.use(handle), logits.input(call), logits.columns(), out, call.error()));
      return Memory.readInt(out);
    }
  }

  /** Gives up this handle; a second time does nothing. */
  @Override
  public void close() {
    handle.close();
  }
}
