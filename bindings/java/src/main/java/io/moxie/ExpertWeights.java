package io.moxie;

/**
 * The linears of one expert, or of a dense feed-forward. Weights are [out, in], row by row: y = x W^T.
 *
 * @param gate [ffn, hidden]; of a plain feed-forward its first linear
 * @param up [ffn, hidden]; null where the feed-forward is plain
 * @param down [hidden, ffn]
 * @param gateBias [ffn], or null
 * @param upBias [ffn], or null
 * @param downBias [hidden], or null
 */
public record ExpertWeights(
    Matrix gate, Matrix up, Matrix down, float[] gateBias, float[] upBias, float[] downBias) {
  /**
   * Creates weights without biases.
   *
   * @param gate [ffn, hidden]; of a plain feed-forward its first linear
   * @param up [ffn, hidden]; null where the feed-forward is plain
   * @param down [hidden, ffn]
   */
  public ExpertWeights(Matrix gate, Matrix up, Matrix down) {
    this(gate, up, down, null, null, null);
  }
}
