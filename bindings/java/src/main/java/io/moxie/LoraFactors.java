package io.moxie;

/**
 * One pair of factors over one linear: y + scaling * B (A x); with magnitudes (DoRA), (m / n) * (W x + scaling * B A x),
 * n the L2 norm of each row of W + scaling * B A.
 *
 * @param a [rank, in]
 * @param b [out, rank]
 * @param scaling alpha / rank, or alpha / sqrt(rank) for rsLoRA
 * @param magnitude [out], or null: no DoRA
 */
public record LoraFactors(Matrix a, Matrix b, float scaling, float[] magnitude) {
  /**
   * Creates factors without magnitudes.
   *
   * @param a [rank, in]
   * @param b [out, rank]
   * @param scaling alpha / rank, or alpha / sqrt(rank) for rsLoRA
   */
  public LoraFactors(Matrix a, Matrix b, float scaling) {
    this(a, b, scaling, null);
  }
}
