package io.moxie;

import io.moxie.internal.Call;
import io.moxie.internal.mox_adapter_description;
import io.moxie.internal.mox_adapter_projection;
import io.moxie.internal.mox_lora_factors;
import io.moxie.internal.raw;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;

/**
 * An adapter made from factors of your own, over one feed-forward. Setters return the object itself; it is read, and the
 * factors copied, by {@link Adapter#create(FeedForward, AdapterDescription)}.
 */
public final class AdapterDescription {
  private record Over(Projection projection, List<LoraFactors> factors, Matrix router) {}

  private final AdapterKind kind;
  private final List<Over> projections = new ArrayList<>();
  private String name;
  private int experts;
  private Integer topK;
  private Float topP;
  private Float temperature;
  private Long capacity;
  private Activation activation = Activation.BASE;
  private Matrix router;

  /**
   * Begins a description.
   *
   * @param kind what kind of adapter it is
   */
  public AdapterDescription(AdapterKind kind) {
    this.kind = Objects.requireNonNull(kind, "kind");
  }

  /**
   * Sets the name that messages have.
   *
   * @param name the name; default "adapter"
   * @return this
   */
  public AdapterDescription name(String name) {
    this.name = name;
    return this;
  }

  /**
   * Sets the number of experts.
   *
   * @param experts experts; 0 (the default) for LoRA
   * @return this
   */
  public AdapterDescription experts(int experts) {
    this.experts = experts;
    return this;
  }

  /**
   * Sets the experts per row, for MixLoRA and MoLA.
   *
   * @param topK experts per row
   * @return this
   */
  public AdapterDescription topK(int topK) {
    this.topK = topK;
    return this;
  }

  /**
   * Sets when a top-p router has enough.
   *
   * @param topP in (0, 1]
   * @return this
   */
  public AdapterDescription topP(float topP) {
    this.topP = topP;
    return this;
  }

  /**
   * Sets a top-p router's temperature.
   *
   * @param temperature 0 or more; 0: none
   * @return this
   */
  public AdapterDescription temperature(float temperature) {
    this.temperature = temperature;
    return this;
  }

  /**
   * Sets the rows of a sequence an expert serves, for a switch router.
   *
   * @param capacity rows
   * @return this
   */
  public AdapterDescription capacity(long capacity) {
    this.capacity = capacity;
    return this;
  }

  /**
   * Sets the activation inside MixLoRA's experts.
   *
   * @param activation the activation; default the base's
   * @return this
   */
  public AdapterDescription activation(Activation activation) {
    this.activation = Objects.requireNonNull(activation, "activation");
    return this;
  }

  /**
   * Sets MixLoRA's router.
   *
   * @param router [experts, hidden]
   * @return this
   */
  public AdapterDescription router(Matrix router) {
    this.router = router;
    return this;
  }

  /**
   * Adds the factors over one linear.
   *
   * @param projection the linear
   * @param factors one pair for LoRA, else one for each expert
   * @return this
   */
  public AdapterDescription projection(Projection projection, List<LoraFactors> factors) {
    return projection(projection, factors, null);
  }

  /**
   * Adds the factors over one linear that has a router of its own.
   *
   * @param projection the linear
   * @param factors one pair for each expert
   * @param router LoRAMoE, MoLA: [experts, in]; else null
   * @return this
   */
  public AdapterDescription projection(Projection projection, List<LoraFactors> factors, Matrix router) {
    Objects.requireNonNull(projection, "projection");
    projections.add(new Over(projection, List.copyOf(factors), router));
    return this;
  }

  long fill(Call call, FeedForwardInfo base) {
    long struct = call.allocate(mox_adapter_description.sizeOf());
    raw.mox_adapter_description_init(struct, mox_adapter_description.sizeOf());
    mox_adapter_description description = new mox_adapter_description(struct);
    description.setKind(kind.code());
    description.setName(call.text("name", name));
    description.setExperts(experts);
    if (topK != null) {
      description.setTop_k(topK);
    }
    if (topP != null) {
      description.setTop_p(topP);
    }
    if (temperature != null) {
      description.setTemperature(temperature);
    }
    if (capacity != null) {
      description.setCapacity(capacity);
    }
    description.setActivation(activation.code());
    if (router != null) {
      router.describe(call, description.getRouter());
    }
    long array = call.allocate(mox_adapter_projection.sizeOf() * projections.size());
    for (int i = 0; i < projections.size(); ++i) {
      Over over = projections.get(i);
      mox_adapter_projection filled = new mox_adapter_projection(array + i * mox_adapter_projection.sizeOf());
      filled.setProjection(over.projection.code());
      filled.setFactors(fill(call, over, base));
      filled.setFactor_count(over.factors.size());
      if (over.router != null) {
        over.router.describe(call, filled.getRouter());
      }
    }
    description.setProjections(array);
    description.setProjection_count(projections.size());
    return struct;
  }

  private static long fill(Call call, Over over, FeedForwardInfo base) {
    int out = over.projection == Projection.DOWN ? base.hidden() : base.ffn();
    long array = call.allocate(mox_lora_factors.sizeOf() * over.factors.size());
    for (int i = 0; i < over.factors.size(); ++i) {
      LoraFactors pair = over.factors.get(i);
      mox_lora_factors filled = new mox_lora_factors(array + i * mox_lora_factors.sizeOf());
      String name = over.projection + " factors[" + i + "]";
      Objects.requireNonNull(pair.a(), name + ".a").describe(call, filled.getA());
      Objects.requireNonNull(pair.b(), name + ".b").describe(call, filled.getB());
      filled.setScaling(pair.scaling());
      filled.setMagnitude(FeedForward.vector(call, pair.magnitude(), out, name + ".magnitude"));
    }
    return array;
  }
}
