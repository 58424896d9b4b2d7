package io.moxie;

import io.moxie.internal.Call;
import io.moxie.internal.Memory;
import io.moxie.internal.mox_router_loss_options;
import io.moxie.internal.raw;
import java.util.Objects;

/**
 * What routers add to a training loss, and how they share out the rows, from router logits
 * [layers * sequences * rows, experts], the layers one after another; a linear with a router of its own counts as a
 * layer. Computed in float64.
 *
 * <p>Setters return the object itself. Not for changing by one thread while another computes.
 */
public final class RouterLoss {
  private final RouterKind kind;
  private final int experts;
  private int topK;
  private float topP;
  private float temperature;
  private long capacity;
  private double balanceCoefficient;
  private double zCoefficient;
  private long layers;
  private long sequences;
  private byte[] mask;

  /**
   * Creates a loss with the library's defaults.
   *
   * @param kind the router; {@link RouterKind#LORAMOE} has no loss
   * @param experts the number of experts
   */
  public RouterLoss(RouterKind kind, int experts) {
    this.kind = Objects.requireNonNull(kind, "kind");
    this.experts = experts;
    try (Call call = new Call()) {
      long struct = call.allocate(mox_router_loss_options.sizeOf());
      raw.mox_router_loss_options_init(struct, mox_router_loss_options.sizeOf());
      read(new mox_router_loss_options(struct));
    }
  }

  RouterLoss(mox_router_loss_options options) {
    kind = RouterKind.of(options.getKind());
    experts = options.getExperts();
    read(options);
  }

  private void read(mox_router_loss_options options) {
    topK = options.getTop_k();
    topP = options.getTop_p();
    temperature = options.getTemperature();
    capacity = options.getCapacity();
    balanceCoefficient = options.getBalance_coefficient();
    zCoefficient = options.getZ_coefficient();
    layers = options.getLayers();
    sequences = options.getSequences();
  }

  /**
   * Returns the kind of router.
   *
   * @return the kind
   */
  public RouterKind kind() {
    return kind;
  }

  /**
   * Returns the number of experts.
   *
   * @return experts
   */
  public int experts() {
    return experts;
  }

  /**
   * Returns the experts per row.
   *
   * @return experts per row
   */
  public int topK() {
    return topK;
  }

  /**
   * Returns the factor of the balance loss.
   *
   * @return the coefficient
   */
  public double balanceCoefficient() {
    return balanceCoefficient;
  }

  /**
   * Sets the experts per row.
   *
   * @param topK experts per row, for top-k, MixLoRA and MoLA
   * @return this
   */
  public RouterLoss topK(int topK) {
    this.topK = topK;
    return this;
  }

  /**
   * Sets when a dynamic router has enough.
   *
   * @param topP in (0, 1]
   * @return this
   */
  public RouterLoss topP(float topP) {
    this.topP = topP;
    return this;
  }

  /**
   * Sets a dynamic router's temperature.
   *
   * @param temperature 0 or more
   * @return this
   */
  public RouterLoss temperature(float temperature) {
    this.temperature = temperature;
    return this;
  }

  /**
   * Sets a switch router's capacity, which counts in the profile only.
   *
   * @param capacity rows of a sequence that an expert serves
   * @return this
   */
  public RouterLoss capacity(long capacity) {
    this.capacity = capacity;
    return this;
  }

  /**
   * Sets the factor of the balance loss.
   *
   * @param coefficient the coefficient
   * @return this
   */
  public RouterLoss balanceCoefficient(double coefficient) {
    this.balanceCoefficient = coefficient;
    return this;
  }

  /**
   * Sets the factor of a switch router's z-loss.
   *
   * @param coefficient the coefficient
   * @return this
   */
  public RouterLoss zCoefficient(double coefficient) {
    this.zCoefficient = coefficient;
    return this;
  }

  /**
   * Sets how the logits are made up.
   *
   * @param layers layers, one after another
   * @param sequences sequences of each layer, of equally many rows
   * @return this
   */
  public RouterLoss shape(int layers, int sequences) {
    this.layers = layers;
    this.sequences = sequences;
    return this;
  }

  /**
   * Sets which rows are padding, and count for nothing.
   *
   * @param mask [sequences * rows], 1: a real token, 0: padding, repeated for each layer; null: all rows count
   * @return this
   */
  public RouterLoss mask(byte[] mask) {
    this.mask = mask == null ? null : mask.clone();
    return this;
  }

  /**
   * Computes the auxiliary loss, coefficients included, over all layers at once.
   *
   * @param logits [layers * sequences * rows, experts]
   * @return the loss
   */
  public double loss(float[] logits) {
    try (Call call = new Call()) {
      long rows = rows(logits);
      long out = call.out();
      call.check(raw.mox_router_loss(fill(call, rows), call.floats(logits), rows, out, call.error()));
      return Memory.readDouble(out);
    }
  }

  /**
   * Computes the share of each layer's rows that went to each expert.
   *
   * @param logits [layers * sequences * rows, experts]
   * @return [layers][experts]
   */
  public double[][] profile(float[] logits) {
    try (Call call = new Call()) {
      long rows = rows(logits);
      if (layers < 1 || layers > rows) {
        throw new InvalidArgumentException("layers is " + layers + "; there are " + rows + " rows of logits");
      }
      long struct = fill(call, rows);
      long out = call.allocate(layers * experts * Double.BYTES);
      call.check(raw.mox_router_profile(struct, call.floats(logits), rows, out, call.error()));
      double[][] result = new double[(int) layers][experts];
      for (int layer = 0; layer < layers; ++layer) {
        Memory.copyDoublesOut(out + (long) layer * experts * Double.BYTES, result[layer], 0, experts);
      }
      return result;
    }
  }

  private long rows(float[] logits) {
    if (experts < 1 || logits.length % experts != 0) {
      throw new InvalidArgumentException(
          logits.length + " logits for " + experts + " experts; expected a multiple of the experts, which are 1 or more");
    }
    return logits.length / experts;
  }

  private long fill(Call call, long rows) {
    if (mask != null && mask.length * layers != rows) {
      throw new InvalidArgumentException(
          "the mask has "
              + mask.length
              + " entries; "
              + rows
              + " rows of logits in "
              + layers
              + " layers have another number of rows in each");
    }
    long struct = call.allocate(mox_router_loss_options.sizeOf());
    raw.mox_router_loss_options_init(struct, mox_router_loss_options.sizeOf());
    mox_router_loss_options options = new mox_router_loss_options(struct);
    options.setKind(kind.code());
    options.setExperts(experts);
    options.setTop_k(topK);
    options.setTop_p(topP);
    options.setTemperature(temperature);
    options.setCapacity(capacity);
    options.setBalance_coefficient(balanceCoefficient);
    options.setZ_coefficient(zCoefficient);
    options.setLayers(layers);
    options.setSequences(sequences);
    if (mask != null) {
      long address = call.allocate(mask.length);
      Memory.copyBytesIn(address, mask, 0, mask.length);
      options.setMask(address);
    }
    return struct;
  }
}
