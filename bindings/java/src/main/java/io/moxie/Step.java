package io.moxie;

import io.moxie.internal.Call;
import io.moxie.internal.mox_step;
import java.util.Objects;

/**
 * What one sequence does in a {@linkplain Model#step step}: takes tokens (many: prefill; one: decode) under an adapter,
 * and gives logits. Immutable.
 */
public final class Step {
  private final Sequence sequence;
  private final Adapter adapter;
  private final int[] tokens;
  private final Matrix logits;

  private Step(Sequence sequence, Adapter adapter, int[] tokens, Matrix logits) {
    this.sequence = sequence;
    this.adapter = adapter;
    this.tokens = tokens;
    this.logits = logits;
  }

  /**
   * A step on the plain base that gives no logits.
   *
   * @param sequence who takes the tokens
   * @param tokens token ids, one or more
   * @return the step
   */
  public static Step of(Sequence sequence, int... tokens) {
    Objects.requireNonNull(sequence, "sequence");
    return new Step(sequence, null, tokens.clone(), null);
  }

  /**
   * The same step under an adapter.
   *
   * @param adapter an adapter over the model; null: the plain base
   * @return the step
   */
  public Step under(Adapter adapter) {
    return new Step(sequence, adapter, tokens, logits);
  }

  /**
   * The same step, which gives the logits of its last tokens.
   *
   * @param logits [rows, vocabulary], {@link DType#F32}: as many of the last tokens as it has rows
   * @return the step
   */
  public Step logits(Matrix logits) {
    return new Step(sequence, adapter, tokens, logits);
  }

  /**
   * The same step, which gives the logits of its last token.
   *
   * @param logits [vocabulary]
   * @return the step
   */
  public Step logits(float[] logits) {
    return logits(Matrix.of(logits, 1, logits.length));
  }

  void fill(Call call, long struct, int index, int vocabulary) {
    mox_step step = new mox_step(struct);
    step.setSequence(call.use(sequence.handle()));
    step.setAdapter(adapter == null ? 0 : call.use(adapter.handle()));
    step.setTokens(call.ints(tokens));
    step.setToken_count(tokens.length);
    if (logits != null) {
      if (logits.type() != DType.F32) {
        throw new InvalidArgumentException("steps[" + index + "].logits are " + logits.type() + "; expected F32");
      }
      Batch.checkWidth(logits, "steps[" + index + "].logits", vocabulary);
      step.setLogits(logits.output(call));
      step.setLogits_rows(logits.rows());
      step.setLogits_stride(logits.stride());
    }
  }
}
