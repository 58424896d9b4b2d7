package io.moxie;

import io.moxie.internal.Call;
import io.moxie.internal.Memory;
import io.moxie.internal.mox_batch;
import io.moxie.internal.mox_range;
import io.moxie.internal.raw;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;

/**
 * Rows of hidden states in ranges, each under its own adapter or none. The ranges must cover all rows exactly once, in
 * any order; whether they do is checked when the batch is run.
 *
 * <p>Not for use by several threads at once; it may be run any number of times.
 */
public final class Batch {
  private record Range(Adapter adapter, long begin, long end) {}

  private final Matrix input;
  private final Matrix output;
  private final List<Range> ranges = new ArrayList<>();
  private long[] sequenceBegins;

  /**
   * Creates a batch without ranges.
   *
   * @param input [rows, hidden], {@link DType#F32} or {@link DType#BF16}
   * @param output [rows, hidden], {@link DType#F32} or {@link DType#BF16}; may be the input itself; null where the batch
   *     is only routed
   */
  public Batch(Matrix input, Matrix output) {
    this.input = Objects.requireNonNull(input, "input");
    this.output = output;
  }

  /**
   * Adds rows that run under an adapter.
   *
   * @param adapter an adapter over the feed-forward; null: the plain base
   * @param begin the first row
   * @param end the row after the last
   * @return this
   */
  public Batch range(Adapter adapter, int begin, int end) {
    ranges.add(new Range(adapter, begin, end));
    return this;
  }

  /**
   * Adds rows that run on the plain base.
   *
   * @param begin the first row
   * @param end the row after the last
   * @return this
   */
  public Batch base(int begin, int end) {
    return range(null, begin, end);
  }

  /**
   * Says where sequences begin, for routers whose capacity counts per sequence. Without it, every range is one sequence;
   * the beginning of a range always begins one.
   *
   * @param rows first rows of sequences, ascending
   * @return this
   */
  public Batch sequenceBegins(long... rows) {
    sequenceBegins = rows.clone();
    return this;
  }

  long fill(Call call, int hidden, boolean run) {
    checkWidth(input, "input", hidden);
    long struct = call.allocate(mox_batch.sizeOf());
    raw.mox_batch_init(struct, mox_batch.sizeOf());
    mox_batch batch = new mox_batch(struct);
    batch.setRows(input.rows());
    batch.setInput(input.input(call));
    batch.setInput_dtype(input.type().code());
    batch.setInput_stride(input.stride());
    if (run) {
      Objects.requireNonNull(output, "output");
      checkWidth(output, "output", hidden);
      if (output.rows() != input.rows()) {
        throw new InvalidArgumentException(
            "output has " + output.rows() + " rows; input has " + input.rows());
      }
      batch.setOutput(output.output(call));
      batch.setOutput_dtype(output.type().code());
      batch.setOutput_stride(output.stride());
    }
    long array = call.allocate(mox_range.sizeOf() * ranges.size());
    for (int i = 0; i < ranges.size(); ++i) {
      Range range = ranges.get(i);
      mox_range filled = new mox_range(array + i * mox_range.sizeOf());
      filled.setAdapter(range.adapter == null ? 0 : call.use(range.adapter.handle()));
      filled.setBegin(range.begin);
      filled.setEnd(range.end);
    }
    batch.setRanges(array);
    batch.setRange_count(ranges.size());
    if (sequenceBegins != null) {
      long begins = call.allocate((long) sequenceBegins.length * Long.BYTES);
      Memory.copyLongsIn(begins, sequenceBegins, 0, sequenceBegins.length);
      batch.setSequence_begins(begins);
      batch.setSequence_count(sequenceBegins.length);
    }
    return struct;
  }

  /** The C library takes the width of rows for granted. */
  static void checkWidth(Matrix matrix, String name, int width) {
    if (matrix.columns() != width) {
      throw new InvalidArgumentException(name + " has rows of " + matrix.columns() + "; expected " + width);
    }
  }
}
