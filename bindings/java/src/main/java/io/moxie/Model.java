package io.moxie;

import io.moxie.internal.Call;
import io.moxie.internal.Memory;
import io.moxie.internal.NativeHandle;
import io.moxie.internal.mox_model_info;
import io.moxie.internal.mox_step;
import io.moxie.internal.raw;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;

/**
 * A whole decoder: embedding, blocks, norm, head. One frozen base for many sequences, each under an adapter of its own.
 *
 * <p>Immutable; any number of threads may step their own sequences at once. What belongs together belongs into one
 * step: one with 64 sequences is far cheaper than 64 with one.
 *
 * <p>Closing waits for nobody: sequences and calls in flight keep what they need.
 */
public final class Model implements AutoCloseable {
  private final NativeHandle handle;
  private final ModelInfo info;

  private Model(NativeHandle handle) {
    this.handle = handle;
    this.info = describe(handle);
  }

  /**
   * Opens a checkpoint folder with the defaults.
   *
   * @param runtime where it runs
   * @param folder the checkpoint
   * @return the model
   */
  public static Model open(Runtime runtime, Path folder) {
    return open(runtime, folder, new LoadOptions());
  }

  /**
   * Opens a checkpoint folder: Hugging Face (config.json with model.safetensors or shards and an index) or mistral's
   * (params.json with consolidated.safetensors).
   *
   * @param runtime where it runs
   * @param folder the checkpoint
   * @param options how it is read
   * @return the model
   */
  public static Model open(Runtime runtime, Path folder, LoadOptions options) {
    try (Call call = new Call()) {
      long out = call.out();
      call.check(
          raw.mox_model_open(
              call.use(runtime.handle()), LoadOptions.folder(call, folder), options.fill(call), out, call.error()));
      return new Model(
          new NativeHandle("model", Memory.readLong(out), raw::mox_model_free, runtime.handle().log()));
    }
  }

  private static ModelInfo describe(NativeHandle handle) {
    try (Call call = new Call()) {
      long struct = call.allocate(mox_model_info.sizeOf());
      mox_model_info info = new mox_model_info(struct);
      info.setStruct_size(mox_model_info.sizeOf());
      call.check(raw.mox_model_describe(call.use(handle), struct, call.error()));
      return new ModelInfo(
          Memory.text(info.getFamily()),
          Math.toIntExact(info.getHidden()),
          Math.toIntExact(info.getFfn()),
          Math.toIntExact(info.getVocabulary()),
          info.getMax_positions(),
          info.getLayers(),
          info.getHeads(),
          info.getKv_heads(),
          info.getHead_dim(),
          info.getExperts(),
          info.getTop_k(),
          info.getParameters(),
          info.getWeight_bytes(),
          DType.of(info.getWeights()),
          info.getBos_token(),
          info.getEos_token());
    }
  }

  /**
   * Describes the model. May be called after it is closed.
   *
   * @return sizes, family, special tokens
   */
  public ModelInfo describe() {
    return info;
  }

  /**
   * Moves sequences on together: prefill and decode, base and adapters, mixed. All or nothing: where it throws, no
   * sequence has moved and no logits are written.
   *
   * @param steps one for each sequence; a sequence may stand in a call once, and be in one call at a time
   */
  public void step(Step... steps) {
    step(List.of(steps), false);
  }

  /**
   * Moves sequences on together, as {@link #step(Step...)}.
   *
   * @param steps one for each sequence
   */
  public void step(List<Step> steps) {
    step(steps, false);
  }

  /**
   * Moves sequences on together, as {@link #step(Step...)}, and tells what every layer's routers decided.
   *
   * @param steps one for each sequence
   * @return the decisions, one range for each step; to be closed by the caller
   */
  public Routing stepWithRouting(List<Step> steps) {
    return step(steps, true);
  }

  private Routing step(List<Step> steps, boolean routed) {
    Objects.requireNonNull(steps, "steps");
    try (Call call = new Call()) {
      long array = call.allocate(mox_step.sizeOf() * steps.size());
      for (int i = 0; i < steps.size(); ++i) {
        steps.get(i).fill(call, array + i * mox_step.sizeOf(), i, info.vocabulary());
      }
      long out = routed ? call.out() : 0;
      call.check(raw.mox_model_step(call.use(handle), array, steps.size(), out, call.error()));
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
