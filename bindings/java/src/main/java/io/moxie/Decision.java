package io.moxie;

import java.util.Arrays;
import java.util.Objects;

/**
 * What the routers of one range decided in one layer: for each router and row the ids of the chosen experts, in
 * {@code places} places, and their weights. A place without an expert has id -1.
 *
 * <ul>
 *   <li>A bank of experts, and MixLoRA: 1 router, top-k places, likeliest first.
 *   <li>MixLoRA with top-p: 1 router, a place for each expert, likeliest first, then -1.
 *   <li>MixLoRA with a switch router: 1 router, 1 place; -1 over capacity.
 *   <li>LoRAMoE: a router for each linear, every expert in its place.
 *   <li>MoLA: a router for each linear, top-k places, likeliest first.
 *   <li>The plain base and LoRA: no router.
 * </ul>
 *
 * <p>Immutable.
 */
public final class Decision {
  private final int rows;
  private final int routers;
  private final int experts;
  private final int places;
  private final float[] logits;
  private final int[] ids;
  private final float[] weights;

  Decision(int rows, int routers, int experts, int places, float[] logits, int[] ids, float[] weights) {
    this.rows = rows;
    this.routers = routers;
    this.experts = experts;
    this.places = places;
    this.logits = logits;
    this.ids = ids;
    this.weights = weights;
  }

  /**
   * Makes a decision of your own.
   *
   * @param rows rows of the range
   * @param routers routers of the range
   * @param experts experts each router chooses from
   * @param places expert ids per row and router
   * @param ids [routers * rows * places]: -1 to experts - 1, none twice in a row
   * @param weights [routers * rows * places]
   * @return the decision
   * @throws InvalidArgumentException where the arrays do not have those lengths
   */
  public static Decision of(int rows, int routers, int experts, int places, int[] ids, float[] weights) {
    boolean counts = rows >= 0 && routers >= 0 && places >= 0;
    // Divided, not multiplied: three ints may be more than a long holds.
    long pairs = (long) rows * routers;
    boolean fits = pairs == 0 || places == 0 ? ids.length == 0 : ids.length % pairs == 0 && ids.length / pairs == places;
    if (!counts || !fits || weights.length != ids.length) {
      throw new InvalidArgumentException(
          ids.length
              + " ids and "
              + weights.length
              + " weights for "
              + routers
              + " routers * "
              + rows
              + " rows * "
              + places
              + " places");
    }
    return new Decision(rows, routers, experts, places, null, ids.clone(), weights.clone());
  }

  /**
   * Makes the decision of a range without a router.
   *
   * @param rows rows of the range
   * @return the decision
   */
  public static Decision none(int rows) {
    return of(rows, 0, 0, 0, new int[0], new float[0]);
  }

  /**
   * Returns the number of rows of the range.
   *
   * @return rows
   */
  public int rows() {
    return rows;
  }

  /**
   * Returns the number of routers.
   *
   * @return routers; 0 for a range without one
   */
  public int routers() {
    return routers;
  }

  /**
   * Returns how many experts each router chooses from.
   *
   * @return experts
   */
  public int experts() {
    return experts;
  }

  /**
   * Returns the number of expert ids per row and router.
   *
   * @return places
   */
  public int places() {
    return places;
  }

  /**
   * Returns a chosen expert.
   *
   * @param router the router, 0 to routers - 1
   * @param row the row of the range
   * @param place the place
   * @return the expert's id; -1 for an empty place
   */
  public int expert(int router, int row, int place) {
    return ids[place(router, row, place)];
  }

  /**
   * Returns a chosen expert's weight.
   *
   * @param router the router, 0 to routers - 1
   * @param row the row of the range
   * @param place the place
   * @return the weight
   */
  public float weight(int router, int row, int place) {
    return weights[place(router, row, place)];
  }

  /**
   * Copies the ids out.
   *
   * @return [routers * rows * places]
   */
  public int[] ids() {
    return ids.clone();
  }

  /**
   * Copies the weights out.
   *
   * @return [routers * rows * places]
   */
  public float[] weights() {
    return weights.clone();
  }

  /**
   * Copies the routers' logits out, before any softmax.
   *
   * @return [routers * rows * experts]; NaN throughout where the decision was the caller's
   */
  public float[] logits() {
    if (logits == null) {
      float[] unknown = new float[Math.multiplyExact(Math.multiplyExact(routers, rows), experts)];
      Arrays.fill(unknown, Float.NaN);
      return unknown;
    }
    return logits.clone();
  }

  private int place(int router, int row, int place) {
    Objects.checkIndex(router, routers);
    Objects.checkIndex(row, rows);
    Objects.checkIndex(place, places);
    return (router * rows + row) * places + place;
  }
}
