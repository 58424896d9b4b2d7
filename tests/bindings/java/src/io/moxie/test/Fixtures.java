package io.moxie.test;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.moxie.Activation;
import io.moxie.Adapter;
import io.moxie.AdapterDescription;
import io.moxie.AdapterKind;
import io.moxie.ExpertWeights;
import io.moxie.FeedForward;
import io.moxie.LoadOptions;
import io.moxie.LoraFactors;
import io.moxie.Matrix;
import io.moxie.Model;
import io.moxie.Projection;
import io.moxie.Runtime;
import io.moxie.Weights;
import java.nio.file.Path;
import java.util.List;

/** What the tests share. */
final class Fixtures {
  static final int[] KJV = {1, 381, 336, 769, 291, 851, 289, 758, 1047, 1965, 313};
  static final int[] KJV_UNDER_KJV_MIXLORA = {263, 500, 533, 706, 416, 291, 851, 1965, 313, 316, 533, 364};
  static final int[] SOTU = {1, 449, 1964, 570, 981, 865, 614, 1965, 259, 272, 415};
  static final int[] SOTU_ON_BASE = {316, 447, 364, 302, 261, 1960, 429, 331, 273, 263, 1184, 607};

  private Fixtures() {}

  /** A property that the build gives to the tests. */
  static Path path(String property) {
    String value = System.getProperty(property);
    if (value == null) {
      throw new IllegalStateException("the tests need -D" + property);
    }
    return Path.of(value);
  }

  static Path models() {
    return path("moxie.test.models");
  }

  static Model tinyLlama(Runtime runtime) {
    return Model.open(runtime, models().resolve("tiny-llama"), new LoadOptions().weights(Weights.F32));
  }

  /** Numbers in [-size, size), the same on every machine. */
  static final class Random {
    private int state;

    Random(int seed) {
      state = seed;
    }

    float next(float size) {
      state = state * 1664525 + 1013904223;
      return size * ((state >>> 8) / 8388608.0f - 1.0f);
    }

    float[] floats(int count, float size) {
      float[] result = new float[count];
      for (int i = 0; i < count; ++i) {
        result[i] = next(size);
      }
      return result;
    }

    Matrix matrix(int rows, int columns, float size) {
      return Matrix.of(floats(rows * columns, size), rows, columns);
    }
  }

  static ExpertWeights weights(Random random, int hidden, int ffn) {
    return new ExpertWeights(
        random.matrix(ffn, hidden, 0.3f), random.matrix(ffn, hidden, 0.3f), random.matrix(hidden, ffn, 0.3f));
  }

  static FeedForward feedForward(Runtime runtime, int hidden, int ffn) {
    return FeedForward.gated(runtime, Activation.SILU, weights(new Random(5), hidden, ffn), Weights.AS_STORED);
  }

  /** A LoRA of rank 2 over gate and down. */
  static Adapter lora(FeedForward feedForward, int seed) {
    int hidden = feedForward.describe().hidden();
    int ffn = feedForward.describe().ffn();
    Random random = new Random(seed);
    return Adapter.create(
        feedForward,
        new AdapterDescription(AdapterKind.LORA)
            .projection(
                Projection.GATE,
                List.of(new LoraFactors(random.matrix(2, hidden, 0.3f), random.matrix(ffn, 2, 0.3f), 2)))
            .projection(
                Projection.DOWN,
                List.of(new LoraFactors(random.matrix(2, ffn, 0.3f), random.matrix(hidden, 2, 0.3f), 2))));
  }

  /** Bits, not figures: NaN equals itself, and 0 is not -0. */
  static void assertSameBits(float[] expected, float[] actual, String what) {
    assertEquals(expected.length, actual.length, what);
    for (int i = 0; i < expected.length; ++i) {
      int number = i;
      assertEquals(
          Float.floatToRawIntBits(expected[i]),
          Float.floatToRawIntBits(actual[i]),
          () -> what + ": element " + number + " is " + actual[number] + " instead of " + expected[number]);
    }
  }
}
