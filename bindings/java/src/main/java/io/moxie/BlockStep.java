package io.moxie;

import io.moxie.internal.Call;
import io.moxie.internal.mox_block_step;
import java.util.Objects;

/** Rows of one sequence that pass through a {@link Block}, behind those it has seen. Immutable. */
public final class BlockStep {
  private final Sequence sequence;
  private final Adapter adapter;
  private final Matrix input;
  private final Matrix output;
  private final Matrix afterAttention;

  private BlockStep(Sequence sequence, Adapter adapter, Matrix input, Matrix output, Matrix afterAttention) {
    this.sequence = sequence;
    this.adapter = adapter;
    this.input = input;
    this.output = output;
    this.afterAttention = afterAttention;
  }

  /**
   * A step on the plain base.
   *
   * @param sequence whose rows they are
   * @param input [rows, hidden], {@link DType#F32} or {@link DType#BF16}
   * @param output as the input: as many rows, of the same type and stride
   * @return the step
   */
  public static BlockStep of(Sequence sequence, Matrix input, Matrix output) {
    Objects.requireNonNull(sequence, "sequence");
    Objects.requireNonNull(input, "input");
    Objects.requireNonNull(output, "output");
    return new BlockStep(sequence, null, input, output, null);
  }

  /**
   * The same step under an adapter.
   *
   * @param adapter an adapter over the block; null: the plain base
   * @return the step
   */
  public BlockStep under(Adapter adapter) {
    return new BlockStep(sequence, adapter, input, output, afterAttention);
  }

  /**
   * The same step, which also gives the rows between attention and feed-forward.
   *
   * @param rows input + attention; as the input: as many rows, of the same type and stride
   * @return the step
   */
  public BlockStep afterAttention(Matrix rows) {
    return new BlockStep(sequence, adapter, input, output, rows);
  }

  void fill(Call call, long struct, int index, int hidden) {
    String name = "steps[" + index + "].";
    Batch.checkWidth(input, name + "input", hidden);
    checkTwin(name + "output", output);
    mox_block_step step = new mox_block_step(struct);
    step.setSequence(call.use(sequence.handle()));
    step.setAdapter(adapter == null ? 0 : call.use(adapter.handle()));
    step.setInput(input.input(call));
    step.setOutput(output.output(call));
    if (afterAttention != null) {
      checkTwin(name + "afterAttention", afterAttention);
      step.setAfter_attention(afterAttention.output(call));
    }
    step.setRows(input.rows());
    step.setStride(input.stride());
    step.setDtype(input.type().code());
  }

  private void checkTwin(String name, Matrix twin) {
    if (twin.rows() != input.rows()
        || twin.columns() != input.columns()
        || twin.stride() != input.stride()
        || twin.type() != input.type()) {
      throw new InvalidArgumentException(name + " is " + shape(twin) + "; the input is " + shape(input));
    }
  }

  private static String shape(Matrix matrix) {
    return matrix.type() + " " + matrix.rows() + " x " + matrix.columns() + " with a stride of " + matrix.stride();
  }
}
