package io.moxie;

import io.moxie.internal.Call;
import io.moxie.internal.mox_sampler_options;
import io.moxie.internal.raw;

/** How a {@link Sampler} chooses. Setters return the object itself. */
public final class SamplerOptions {
  private float temperature;
  private int topK;
  private float topP = 1;
  private long seed;

  /** Creates the defaults: the likeliest token. */
  public SamplerOptions() {}

  /**
   * Sets the temperature.
   *
   * @param temperature 0 (the default): the likeliest token, of equals the lower id
   * @return this
   */
  public SamplerOptions temperature(float temperature) {
    this.temperature = temperature;
    return this;
  }

  /**
   * Sets how many of the likeliest tokens are kept.
   *
   * @param topK 0 (the default): all
   * @return this
   */
  public SamplerOptions topK(int topK) {
    this.topK = topK;
    return this;
  }

  /**
   * Sets how much probability is kept, likeliest first, of what topK has left.
   *
   * @param topP 1 (the default): all
   * @return this
   */
  public SamplerOptions topP(float topP) {
    this.topP = topP;
    return this;
  }

  /**
   * Sets where the random generator begins.
   *
   * @param seed any number; its 64 bits are taken as unsigned
   * @return this
   */
  public SamplerOptions seed(long seed) {
    this.seed = seed;
    return this;
  }

  long fill(Call call) {
    long struct = call.allocate(mox_sampler_options.sizeOf());
    raw.mox_sampler_options_init(struct, mox_sampler_options.sizeOf());
    mox_sampler_options options = new mox_sampler_options(struct);
    options.setTemperature(temperature);
    options.setTop_k(topK);
    options.setTop_p(topP);
    options.setSeed(seed);
    return struct;
  }
}
