package io.moxie;

import io.moxie.internal.Call;
import io.moxie.internal.mox_sequence_options;
import io.moxie.internal.raw;
import java.util.Objects;

/** How a {@link Sequence} remembers. Setters return the object itself. */
public final class SequenceOptions {
  private long firstPosition;
  private DType kv = DType.F32;

  /** Creates the defaults. */
  public SequenceOptions() {}

  /**
   * Sets the position of the first token, for what would have stood left of it as padding.
   *
   * @param position 0 (the default) or more
   * @return this
   */
  public SequenceOptions firstPosition(long position) {
    this.firstPosition = position;
    return this;
  }

  /**
   * Sets how keys and values are held.
   *
   * @param kv {@link DType#F32} (the default), or {@link DType#BF16}, which halves their memory
   * @return this
   */
  public SequenceOptions kv(DType kv) {
    this.kv = Objects.requireNonNull(kv, "kv");
    return this;
  }

  long fill(Call call) {
    long struct = call.allocate(mox_sequence_options.sizeOf());
    raw.mox_sequence_options_init(struct, mox_sequence_options.sizeOf());
    mox_sequence_options options = new mox_sequence_options(struct);
    options.setFirst_position(firstPosition);
    options.setKv(kv.code());
    return struct;
  }
}
