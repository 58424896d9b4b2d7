package io.moxie.test;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.moxie.Adapter;
import io.moxie.InvalidArgumentException;
import io.moxie.Model;
import io.moxie.MoxieException;
import io.moxie.RouterKind;
import io.moxie.RouterLoss;
import io.moxie.Runtime;
import io.moxie.UnsupportedException;
import org.junit.jupiter.api.Test;

class RouterLossTest {
  /** Experts 0 and 1 of 2; three rows to expert 0, one to expert 1, in each of two layers; a fifth row is padding. */
  private static final float[] LOGITS = {2, 0, 2, 0, 2, 0, 0, 2, 9, 9, 2, 0, 2, 0, 2, 0, 0, 2, 9, 9};

  private static RouterLoss loss() {
    return new RouterLoss(RouterKind.TOP_K, 2)
        .topK(1)
        .balanceCoefficient(0.5)
        .shape(2, 1)
        .mask(new byte[] {1, 1, 1, 1, 0});
  }

  @Test
  void theFormulaWrittenOut() {
    double likely = Math.exp(2) / (Math.exp(2) + 1);
    double zero = (3 * likely + (1 - likely)) / 4;
    double expected = 0.5 * 2 * (0.75 * zero + 0.25 * (1 - zero));
    assertEquals(expected, loss().loss(LOGITS), 1e-7);
    for (double[] layer : loss().profile(LOGITS)) {
      assertArrayEquals(new double[] {0.75, 0.25}, layer, 1e-12);
    }
  }

  @Test
  void shapesAreChecked() {
    assertThrows(InvalidArgumentException.class, () -> loss().loss(new float[7]));
    assertThrows(InvalidArgumentException.class, () -> loss().mask(new byte[4]).loss(LOGITS));
    assertThrows(InvalidArgumentException.class, () -> loss().mask(new byte[6]).profile(LOGITS));
    assertThrows(InvalidArgumentException.class, () -> loss().mask(null).shape(3, 1).loss(LOGITS));
    assertThrows(InvalidArgumentException.class, () -> loss().shape(0, 1).profile(LOGITS));
    assertThrows(InvalidArgumentException.class, () -> new RouterLoss(RouterKind.TOP_K, 0).profile(LOGITS));
    assertThrows(MoxieException.class, () -> new RouterLoss(RouterKind.LORAMOE, 2).shape(2, 1).loss(LOGITS));
  }

  @Test
  void anAdaptersOwn() {
    try (Runtime runtime = Runtime.create();
        Model model = Fixtures.tinyLlama(runtime);
        Adapter kjv = Adapter.open(model, Fixtures.models().resolve("kjv-mixlora"));
        Adapter lora = Adapter.open(model, Fixtures.models().resolve("jargon-lora"))) {
      RouterLoss loss = kjv.routerLoss();
      assertEquals(RouterKind.MIXLORA, loss.kind());
      assertEquals(8, loss.experts());
      assertEquals(2, loss.topK());
      assertEquals(0.001, loss.balanceCoefficient(), 1e-12);
      assertThrows(UnsupportedException.class, lora::routerLoss);
    }
  }
}
