package io.moxie;

import io.moxie.internal.Call;
import io.moxie.internal.Memory;
import io.moxie.internal.NativeHandle;
import io.moxie.internal.mox_expert_weights;
import io.moxie.internal.mox_feed_forward_description;
import io.moxie.internal.mox_feed_forward_info;
import io.moxie.internal.raw;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;

/**
 * A feed-forward: one frozen base, shared by every range of a batch. Made from your weights, or opened from one layer of
 * a checkpoint.
 *
 * <p>Immutable; any number of threads may run batches on it at once. A row's result depends, bit for bit, on that row,
 * its adapter and the weights only, not on the rest of the batch.
 *
 * <p>Closing waits for nobody: calls in flight finish.
 */
public final class FeedForward implements AutoCloseable {
  private final NativeHandle handle;
  private final FeedForwardInfo info;

  private FeedForward(NativeHandle handle) {
    this.handle = handle;
    this.info = describe(handle);
  }

  /**
   * Makes a dense gated feed-forward: down(act(gate(x)) * up(x)). The weights are copied.
   *
   * @param runtime where it runs
   * @param activation the activation
   * @param weights gate, up and down
   * @param held how the weights are held
   * @return the feed-forward
   */
  public static FeedForward gated(Runtime runtime, Activation activation, ExpertWeights weights, Weights held) {
    return gated(runtime, activation, weights, held, WeightStorage.AUTO);
  }

  /**
   * Makes a dense gated feed-forward, and says how bfloat16 weights lie in memory.
   *
   * @param runtime where it runs
   * @param activation the activation
   * @param weights gate, up and down
   * @param held how the weights are held
   * @param storage whether they are held compact
   * @return the feed-forward
   */
  public static FeedForward gated(
      Runtime runtime, Activation activation, ExpertWeights weights, Weights held, WeightStorage storage) {
    return create(runtime, FeedForwardKind.GATED, activation, List.of(weights), null, 0, held, storage);
  }

  /**
   * Makes a dense plain feed-forward: down(act(gate(x))). The weights are copied.
   *
   * @param runtime where it runs
   * @param activation the activation
   * @param weights gate and down; up is null
   * @param held how the weights are held
   * @return the feed-forward
   */
  public static FeedForward plain(Runtime runtime, Activation activation, ExpertWeights weights, Weights held) {
    return plain(runtime, activation, weights, held, WeightStorage.AUTO);
  }

  /**
   * Makes a dense plain feed-forward, and says how bfloat16 weights lie in memory.
   *
   * @param runtime where it runs
   * @param activation the activation
   * @param weights gate and down; up is null
   * @param held how the weights are held
   * @param storage whether they are held compact
   * @return the feed-forward
   */
  public static FeedForward plain(
      Runtime runtime, Activation activation, ExpertWeights weights, Weights held, WeightStorage storage) {
    return create(runtime, FeedForwardKind.PLAIN, activation, List.of(weights), null, 0, held, storage);
  }

  /**
   * Makes a bank of gated experts. The weights are copied.
   *
   * @param runtime where it runs
   * @param activation the activation
   * @param experts the weights of each expert
   * @param router [experts, hidden]
   * @param topK experts per row: the k largest logits, softmax over those
   * @param held how the weights are held
   * @return the feed-forward
   */
  public static FeedForward bank(
      Runtime runtime, Activation activation, List<ExpertWeights> experts, Matrix router, int topK, Weights held) {
    return bank(runtime, activation, experts, router, topK, held, WeightStorage.AUTO);
  }

  /**
   * Makes a bank of gated experts, and says how bfloat16 weights lie in memory.
   *
   * @param runtime where it runs
   * @param activation the activation
   * @param experts the weights of each expert
   * @param router [experts, hidden]
   * @param topK experts per row: the k largest logits, softmax over those
   * @param held how the weights are held
   * @param storage whether they are held compact
   * @return the feed-forward
   */
  public static FeedForward bank(
      Runtime runtime,
      Activation activation,
      List<ExpertWeights> experts,
      Matrix router,
      int topK,
      Weights held,
      WeightStorage storage) {
    Objects.requireNonNull(router, "router");
    return create(runtime, FeedForwardKind.EXPERTS, activation, experts, router, topK, held, storage);
  }

  private static FeedForward create(
      Runtime runtime,
      FeedForwardKind kind,
      Activation activation,
      List<ExpertWeights> experts,
      Matrix router,
      int topK,
      Weights held,
      WeightStorage storage) {
    Objects.requireNonNull(activation, "activation");
    Objects.requireNonNull(held, "held");
    Objects.requireNonNull(storage, "storage");
    if (experts.isEmpty()) {
      throw new InvalidArgumentException("there are 0 experts; expected 1 or more");
    }
    Matrix first = Objects.requireNonNull(experts.get(0).gate(), "experts[0].gate");
    int hidden = first.columns();
    int ffn = first.rows();
    try (Call call = new Call()) {
      long struct = call.allocate(mox_feed_forward_description.sizeOf());
      raw.mox_feed_forward_description_init(struct, mox_feed_forward_description.sizeOf());
      mox_feed_forward_description description = new mox_feed_forward_description(struct);
      description.setKind(kind.code());
      description.setHidden(hidden);
      description.setFfn(ffn);
      description.setActivation(activation.code());
      long array = call.allocate(mox_expert_weights.sizeOf() * experts.size());
      for (int i = 0; i < experts.size(); ++i) {
        fill(call, array + i * mox_expert_weights.sizeOf(), experts.get(i), "experts[" + i + "]", hidden, ffn);
      }
      description.setExperts(array);
      description.setExpert_count(experts.size());
      if (router != null) {
        router.describe(call, description.getRouter());
        description.setTop_k(topK);
      }
      description.setWeights(held.code());
      description.setStorage(storage.code());
      long out = call.out();
      call.check(raw.mox_feed_forward_create(call.use(runtime.handle()), struct, out, call.error()));
      return new FeedForward(opened(out, runtime));
    }
  }

  private static void fill(Call call, long struct, ExpertWeights expert, String name, int hidden, int ffn) {
    mox_expert_weights weights = new mox_expert_weights(struct);
    Objects.requireNonNull(expert.gate(), name + ".gate").describe(call, weights.getGate());
    if (expert.up() != null) {
      expert.up().describe(call, weights.getUp());
    }
    Objects.requireNonNull(expert.down(), name + ".down").describe(call, weights.getDown());
    weights.setGate_bias(vector(call, expert.gateBias(), ffn, name + ".gateBias"));
    weights.setUp_bias(vector(call, expert.upBias(), ffn, name + ".upBias"));
    weights.setDown_bias(vector(call, expert.downBias(), hidden, name + ".downBias"));
  }

  /** The C library takes a vector's length for granted. */
  static long vector(Call call, float[] values, int length, String name) {
    if (values == null) {
      return 0;
    }
    if (values.length != length) {
      throw new InvalidArgumentException(name + " has " + values.length + " numbers; expected " + length);
    }
    return call.floats(values);
  }

  /**
   * Opens the feed-forward of one layer of a checkpoint folder, with the defaults.
   *
   * @param runtime where it runs
   * @param folder the checkpoint
   * @param layer the layer, 0 for the first
   * @return the feed-forward
   */
  public static FeedForward open(Runtime runtime, Path folder, int layer) {
    return open(runtime, folder, layer, new LoadOptions());
  }

  /**
   * Opens the feed-forward of one layer of a checkpoint folder. Tensors of other layers need not be there.
   *
   * @param runtime where it runs
   * @param folder config.json with safetensors, or params.json with consolidated.safetensors
   * @param layer the layer, 0 for the first
   * @param options how the checkpoint is read
   * @return the feed-forward
   */
  public static FeedForward open(Runtime runtime, Path folder, int layer, LoadOptions options) {
    try (Call call = new Call()) {
      long out = call.out();
      call.check(
          raw.mox_feed_forward_open(
              call.use(runtime.handle()),
              LoadOptions.folder(call, folder),
              layer,
              options.fill(call),
              out,
              call.error()));
      return new FeedForward(opened(out, runtime));
    }
  }

  private static NativeHandle opened(long out, Runtime runtime) {
    return new NativeHandle(
        "feed-forward", Memory.readLong(out), raw::mox_feed_forward_free, runtime.handle().log());
  }

  private static FeedForwardInfo describe(NativeHandle handle) {
    try (Call call = new Call()) {
      long struct = call.allocate(mox_feed_forward_info.sizeOf());
      mox_feed_forward_info info = new mox_feed_forward_info(struct);
      info.setStruct_size(mox_feed_forward_info.sizeOf());
      call.check(raw.mox_feed_forward_describe(call.use(handle), struct, call.error()));
      return new FeedForwardInfo(
          FeedForwardKind.of(info.getKind()),
          Math.toIntExact(info.getHidden()),
          Math.toIntExact(info.getFfn()),
          Activation.of(info.getActivation()),
          info.getExpert_count(),
          info.getTop_k(),
          DType.of(info.getWeights()),
          info.getWeight_bytes(),
          info.getCompact_bytes());
    }
  }

  /**
   * Describes the feed-forward. May be called after it is closed.
   *
   * @return sizes, activation, weights
   */
  public FeedForwardInfo describe() {
    return info;
  }

  /**
   * Runs a batch: each row goes to its experts, each range's result lands in its own rows.
   *
   * @param batch input, output and ranges
   */
  public void run(Batch batch) {
    run(batch, null, false);
  }

  /**
   * Runs a batch under a plan.
   *
   * @param batch input, output and ranges
   * @param plan a plan of one layer with an entry for each range
   */
  public void run(Batch batch, Routing plan) {
    run(batch, Objects.requireNonNull(plan, "plan"), false);
  }

  /**
   * Runs a batch, and tells what the routers decided.
   *
   * @param batch input, output and ranges
   * @return what was decided; to be closed by the caller
   */
  public Routing runWithRouting(Batch batch) {
    return run(batch, null, true);
  }

  private Routing run(Batch batch, Routing plan, boolean routed) {
    try (Call call = new Call()) {
      long struct = batch.fill(call, info.hidden(), true);
      long out = routed ? call.out() : 0;
      call.check(
          raw.mox_feed_forward_run(
              call.use(handle), struct, plan == null ? 0 : call.use(plan.handle()), out, call.error()));
      return routed ? Routing.adopt(Memory.readLong(out)) : null;
    }
  }

  /**
   * Decides without running. The batch's output is not used and may be null.
   *
   * @param batch input and ranges
   * @return what the routers decide; to be closed by the caller
   */
  public Routing route(Batch batch) {
    try (Call call = new Call()) {
      long struct = batch.fill(call, info.hidden(), false);
      long out = call.out();
      call.check(raw.mox_feed_forward_route(call.use(handle), struct, out, call.error()));
      return Routing.adopt(Memory.readLong(out));
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
