package io.moxie;

import io.moxie.internal.Call;
import io.moxie.internal.LogHook;
import io.moxie.internal.Memory;
import io.moxie.internal.NativeHandle;
import io.moxie.internal.mox_adapter_info;
import io.moxie.internal.mox_router_loss_options;
import io.moxie.internal.raw;
import java.nio.file.Path;

/**
 * LoRA, rsLoRA, DoRA, MixLoRA, LoRAMoE or MoLA over a frozen base. Batches and steps name adapters by object, so a name
 * used again can never reach another tenant's weights.
 *
 * <p>Immutable; any number of threads may use it at once. It may be closed while calls use it: they finish with it, and
 * nobody waits. A thread that takes an adapter from a place where another may close it meanwhile takes a handle of its
 * own with {@link #retain}.
 */
public final class Adapter implements AutoCloseable {
  private final NativeHandle handle;

  private Adapter(NativeHandle handle) {
    this.handle = handle;
  }

  /**
   * Reads an adapter folder as MoE-PEFT writes it (adapter_config.json with adapter_model.bin, which is read without
   * executing anything in it, or adapter_model.safetensors) and lays it over a whole model. What changes the result is
   * honoured or refused by name; missing and unused tensors are errors.
   *
   * @param model the base
   * @param folder the adapter
   * @return the adapter
   */
  public static Adapter open(Model model, Path folder) {
    try (Call call = new Call()) {
      long out = call.out();
      call.check(
          raw.mox_adapter_open(
              call.use(model.handle()), LoadOptions.folder(call, folder), out, call.error()));
      return adopt(Memory.readLong(out), model.handle().log());
    }
  }

  /**
   * The same over one transformer block: its layer's tensors are kept, all are checked.
   *
   * @param block the base
   * @param folder the adapter
   * @return the adapter
   */
  public static Adapter open(Block block, Path folder) {
    try (Call call = new Call()) {
      long out = call.out();
      call.check(
          raw.mox_adapter_open_for_block(
              call.use(block.handle()), LoadOptions.folder(call, folder), out, call.error()));
      return adopt(Memory.readLong(out), block.handle().log());
    }
  }

  /**
   * The same over one feed-forward that was opened from a checkpoint, for the layer it was opened from.
   *
   * @param feedForward the base
   * @param folder the adapter
   * @return the adapter
   */
  public static Adapter open(FeedForward feedForward, Path folder) {
    return open(feedForward, folder, -1);
  }

  /**
   * The same over one feed-forward. Attention factors are checked for shape and left aside.
   *
   * @param feedForward the base
   * @param folder the adapter
   * @param layer which layer's tensors to take; -1: of the layer the feed-forward was opened from
   * @return the adapter
   */
  public static Adapter open(FeedForward feedForward, Path folder, int layer) {
    try (Call call = new Call()) {
      long out = call.out();
      call.check(
          raw.mox_adapter_open_for_feed_forward(
              call.use(feedForward.handle()), LoadOptions.folder(call, folder), layer, out, call.error()));
      return adopt(Memory.readLong(out), feedForward.handle().log());
    }
  }

  /**
   * Makes an adapter from factors of your own, which are copied.
   *
   * @param feedForward the base
   * @param description kind, routers and factors
   * @return the adapter
   */
  public static Adapter create(FeedForward feedForward, AdapterDescription description) {
    try (Call call = new Call()) {
      long out = call.out();
      long struct = description.fill(call, feedForward.describe());
      call.check(raw.mox_adapter_create(call.use(feedForward.handle()), struct, out, call.error()));
      return adopt(Memory.readLong(out), feedForward.handle().log());
    }
  }

  private static Adapter adopt(long address, LogHook log) {
    return new Adapter(new NativeHandle("adapter", address, raw::mox_adapter_release, log));
  }

  /**
   * Describes the adapter.
   *
   * @return kind, rank, sizes
   */
  public AdapterInfo describe() {
    try (Call call = new Call()) {
      long struct = call.allocate(mox_adapter_info.sizeOf());
      mox_adapter_info info = new mox_adapter_info(struct);
      info.setStruct_size(mox_adapter_info.sizeOf());
      call.check(raw.mox_adapter_describe(call.use(handle), struct, call.error()));
      return new AdapterInfo(
          AdapterKind.of(info.getKind()),
          Memory.text(info.getName()),
          info.getExperts(),
          info.getTop_k(),
          info.getRank(),
          info.getDora() != 0,
          info.getParameters(),
          info.getBytes());
    }
  }

  /**
   * Makes a router loss with the settings of this adapter's configuration; layers, sequences and mask are still to be
   * set.
   *
   * @return the loss
   * @throws UnsupportedException where the adapter adds no loss (LoRA, LoRAMoE, {@code router_loss} false)
   */
  public RouterLoss routerLoss() {
    try (Call call = new Call()) {
      long struct = call.allocate(mox_router_loss_options.sizeOf());
      raw.mox_router_loss_options_init(struct, mox_router_loss_options.sizeOf());
      call.check(raw.mox_adapter_router_loss(call.use(handle), struct, call.error()));
      return new RouterLoss(new mox_router_loss_options(struct));
    }
  }

  /**
   * Takes one more handle of the same adapter, which is to be closed for itself. The factors are freed with the last.
   *
   * @return the other handle
   */
  public Adapter retain() {
    try (Call call = new Call()) {
      return adopt(raw.mox_adapter_retain(call.use(handle)), handle.log());
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
