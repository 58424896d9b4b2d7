package io.moxie;

import io.moxie.internal.Call;
import io.moxie.internal.Memory;
import io.moxie.internal.NativeHandle;
import io.moxie.internal.mox_routing_choice;
import io.moxie.internal.mox_routing_info;
import io.moxie.internal.raw;
import java.util.List;

/**
 * A routing plan: for every layer of a call and every range or step of it, what the routers decided; or what you decide
 * in their place. Immutable; any number of threads may read it at once.
 */
public final class Routing implements AutoCloseable {
  private final NativeHandle handle;

  private Routing(NativeHandle handle) {
    this.handle = handle;
  }

  static Routing adopt(long address) {
    return new Routing(new NativeHandle("routing", address, raw::mox_routing_free, null));
  }

  /**
   * Makes a plan of one layer.
   *
   * @param decisions one for each range of the batch the plan is meant for
   * @return the plan
   * @throws InvalidArgumentException where an id is out of range or twice in a row, or a weight is not finite
   */
  public static Routing of(Decision... decisions) {
    return of(List.of(decisions));
  }

  /**
   * Makes a plan of one layer.
   *
   * @param decisions one for each range of the batch the plan is meant for
   * @return the plan
   * @throws InvalidArgumentException where an id is out of range or twice in a row, or a weight is not finite
   */
  public static Routing of(List<Decision> decisions) {
    try (Call call = new Call()) {
      long array = call.allocate(mox_routing_choice.sizeOf() * decisions.size());
      for (int i = 0; i < decisions.size(); ++i) {
        Decision decision = decisions.get(i);
        mox_routing_choice choice = new mox_routing_choice(array + i * mox_routing_choice.sizeOf());
        choice.setRows(decision.rows());
        choice.setRouters(decision.routers());
        choice.setExperts(decision.experts());
        choice.setPlaces(decision.places());
        choice.setExpert_ids(call.ints(decision.ids()));
        choice.setWeights(call.floats(decision.weights()));
      }
      long out = call.out();
      call.check(raw.mox_routing_create(array, decisions.size(), out, call.error()));
      return adopt(Memory.readLong(out));
    }
  }

  /**
   * Returns the number of layers the plan covers.
   *
   * @return layers
   */
  public int layers() {
    try (Call call = new Call()) {
      return Math.toIntExact(raw.mox_routing_layers(call.use(handle)));
    }
  }

  /**
   * Returns the number of ranges, or steps, the plan covers.
   *
   * @return ranges
   */
  public int ranges() {
    try (Call call = new Call()) {
      return Math.toIntExact(raw.mox_routing_ranges(call.use(handle)));
    }
  }

  /**
   * Reads what was decided for one range in one layer.
   *
   * @param layer the layer of the call, 0 for the first
   * @param range the range, or step, of the call
   * @return the decision
   */
  public Decision read(int layer, int range) {
    try (Call call = new Call()) {
      long routing = call.use(handle);
      mox_routing_info info = describe(call, routing, layer, range);
      int rows = Math.toIntExact(info.getRows());
      int decided = Math.multiplyExact(info.getRouters(), rows);
      float[] logits = new float[Math.multiplyExact(decided, info.getExperts())];
      int[] ids = new int[Math.multiplyExact(decided, info.getPlaces())];
      float[] weights = new float[ids.length];
      long logitsOut = call.allocate((long) logits.length * Float.BYTES);
      long idsOut = call.allocate((long) ids.length * Integer.BYTES);
      long weightsOut = call.allocate((long) weights.length * Float.BYTES);
      call.check(raw.mox_routing_read(routing, layer, range, logitsOut, idsOut, weightsOut, call.error()));
      Memory.copyFloatsOut(logitsOut, logits, 0, logits.length);
      Memory.copyIntsOut(idsOut, ids, 0, ids.length);
      Memory.copyFloatsOut(weightsOut, weights, 0, weights.length);
      return new Decision(rows, info.getRouters(), info.getExperts(), info.getPlaces(), logits, ids, weights);
    }
  }

  /**
   * Names a router: "mlp" for one that serves a whole feed-forward, else its linear ("q_proj", "gate_proj", ...).
   *
   * @param layer the layer of the call
   * @param range the range, or step, of the call
   * @param router the router, 0 to the decision's routers - 1
   * @return the name
   */
  public String routerName(int layer, int range, int router) {
    try (Call call = new Call()) {
      long out = call.out();
      long routing = call.use(handle);
      call.check(raw.mox_routing_router_name(routing, layer, range, router, out, call.error()));
      return Memory.text(Memory.readLong(out));
    }
  }

  private static mox_routing_info describe(Call call, long routing, int layer, int range) {
    long struct = call.allocate(mox_routing_info.sizeOf());
    mox_routing_info info = new mox_routing_info(struct);
    info.setStruct_size(mox_routing_info.sizeOf());
    call.check(raw.mox_routing_describe(routing, layer, range, struct, call.error()));
    return info;
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
