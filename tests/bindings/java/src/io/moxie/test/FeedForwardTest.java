package io.moxie.test;

import static io.moxie.test.Fixtures.assertSameBits;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.moxie.Activation;
import io.moxie.Adapter;
import io.moxie.AdapterDescription;
import io.moxie.AdapterInfo;
import io.moxie.AdapterKind;
import io.moxie.Batch;
import io.moxie.DType;
import io.moxie.Decision;
import io.moxie.ExpertWeights;
import io.moxie.FeedForward;
import io.moxie.FeedForwardInfo;
import io.moxie.FeedForwardKind;
import io.moxie.InvalidArgumentException;
import io.moxie.LoadOptions;
import io.moxie.LoraFactors;
import io.moxie.Matrix;
import io.moxie.NumericException;
import io.moxie.Projection;
import io.moxie.Routing;
import io.moxie.Runtime;
import io.moxie.WeightStorage;
import io.moxie.Weights;
import java.util.Arrays;
import java.util.List;
import java.util.function.Function;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

class FeedForwardTest {
  private static final int HIDDEN = 24;
  private static final int FFN = 40;

  private static Runtime runtime;

  @BeforeAll
  static void create() {
    runtime = Runtime.create();
  }

  @AfterAll
  static void close() {
    runtime.close();
  }

  private static double dot(float[] weights, double[] x) {
    double sum = 0;
    for (int i = 0; i < x.length; ++i) {
      sum += weights[i] * x[i];
    }
    return sum;
  }

  private static double[] linear(Matrix weight, float[] bias, LoraFactors lora, double[] x) {
    double[] y = new double[weight.rows()];
    for (int o = 0; o < y.length; ++o) {
      y[o] = dot(weight.row(o), x) + (bias == null ? 0 : bias[o]);
    }
    if (lora != null) {
      double[] z = linear(lora.a(), null, null, x);
      double[] added = linear(lora.b(), null, null, z);
      for (int o = 0; o < y.length; ++o) {
        y[o] += lora.scaling() * added[o];
      }
    }
    return y;
  }

  /** down(silu(gate(x)) * up(x)), written out; relu in place of silu where there is no up. */
  private static double[] plain(ExpertWeights weights, LoraFactors gate, LoraFactors down, float[] row) {
    double[] x = new double[row.length];
    for (int i = 0; i < x.length; ++i) {
      x[i] = row[i];
    }
    double[] inner = linear(weights.gate(), weights.gateBias(), gate, x);
    double[] up = weights.up() == null ? null : linear(weights.up(), weights.upBias(), null, x);
    for (int i = 0; i < inner.length; ++i) {
      inner[i] = up == null ? Math.max(inner[i], 0) : inner[i] / (1 + Math.exp(-inner[i])) * up[i];
    }
    return linear(weights.down(), weights.downBias(), down, inner);
  }

  private static void assertClose(double[] expected, float[] actual, String what) {
    double difference = 0;
    double size = 0;
    for (int i = 0; i < expected.length; ++i) {
      difference += Math.pow(expected[i] - actual[i], 2);
      size += expected[i] * expected[i];
    }
    double error = Math.sqrt(difference / size);
    assertTrue(error < 1e-5, what + ": error " + error);
  }

  @Test
  void weightsAndFactorsOfTheCaller() {
    Fixtures.Random random = new Fixtures.Random(1);
    ExpertWeights weights = Fixtures.weights(random, HIDDEN, FFN);
    LoraFactors[] gate = new LoraFactors[3];
    LoraFactors[] down = new LoraFactors[3];
    for (int e = 0; e < 3; ++e) {
      gate[e] = new LoraFactors(random.matrix(3, HIDDEN, 0.3f), random.matrix(FFN, 3, 0.3f), 2);
      down[e] = new LoraFactors(random.matrix(3, FFN, 0.3f), random.matrix(HIDDEN, 3, 0.3f), 2);
    }
    Matrix router = random.matrix(3, HIDDEN, 1);
    try (FeedForward feedForward = FeedForward.gated(runtime, Activation.SILU, weights, Weights.AS_STORED);
        Adapter lora =
            Adapter.create(
                feedForward,
                new AdapterDescription(AdapterKind.LORA)
                    .name("mine")
                    .projection(Projection.GATE, List.of(gate[0]))
                    .projection(Projection.DOWN, List.of(down[0])));
        Adapter mixlora =
            Adapter.create(
                feedForward,
                new AdapterDescription(AdapterKind.MIXLORA)
                    .experts(3)
                    .topK(1)
                    .router(router)
                    .projection(Projection.GATE, List.of(gate))
                    .projection(Projection.DOWN, List.of(down)))) {
      FeedForwardInfo info = feedForward.describe();
      assertEquals(FeedForwardKind.GATED, info.kind());
      assertEquals(HIDDEN, info.hidden());
      assertEquals(FFN, info.ffn());
      assertEquals(DType.F32, info.weights());
      AdapterInfo described = lora.describe();
      assertEquals("mine", described.name());
      assertEquals(3, described.rank());
      assertEquals(3, mixlora.describe().experts());

      Matrix input = random.matrix(6, HIDDEN, 1);
      Matrix output = Matrix.of(new float[6 * HIDDEN], 6, HIDDEN);
      Batch batch = new Batch(input, output).base(0, 2).range(mixlora, 4, 6).range(lora, 2, 4);
      try (Routing routing = feedForward.runWithRouting(batch)) {
        assertEquals(1, routing.layers());
        assertEquals(3, routing.ranges());
        assertEquals(0, routing.read(0, 0).routers());
        Decision decision = routing.read(0, 1);
        assertEquals("mlp", routing.routerName(0, 1, 0));
        assertEquals(2, decision.rows());
        for (int row = 0; row < 6; ++row) {
          LoraFactors g = row < 2 ? null : row < 4 ? gate[0] : gate[decision.expert(0, row - 4, 0)];
          LoraFactors d = row < 2 ? null : row < 4 ? down[0] : down[decision.expert(0, row - 4, 0)];
          assertClose(plain(weights, g, d, input.row(row)), output.row(row), "row " + row);
        }
        for (int row = 0; row < 2; ++row) {
          float[] x = input.row(row + 4);
          float[] logits = Arrays.copyOfRange(decision.logits(), row * 3, row * 3 + 3);
          for (int e = 0; e < 3; ++e) {
            double[] wide = new double[HIDDEN];
            for (int i = 0; i < HIDDEN; ++i) {
              wide[i] = x[i];
            }
            assertEquals(dot(router.row(e), wide), logits[e], 1e-4);
            assertTrue(logits[e] <= logits[decision.expert(0, row, 0)]);
          }
          assertEquals(1, decision.weight(0, row, 0), 1e-6);
        }
      }
    }
  }

  @Test
  void plainWithBiasesAndABank() {
    Fixtures.Random random = new Fixtures.Random(2);
    ExpertWeights plain =
        new ExpertWeights(
            random.matrix(FFN, HIDDEN, 0.3f),
            null,
            random.matrix(HIDDEN, FFN, 0.3f),
            random.floats(FFN, 0.5f),
            null,
            random.floats(HIDDEN, 0.5f));
    Matrix input = random.matrix(2, HIDDEN, 1);
    Matrix output = Matrix.allocate(DType.F32, 2, HIDDEN);
    try (FeedForward feedForward = FeedForward.plain(runtime, Activation.RELU, plain, Weights.F32)) {
      feedForward.run(new Batch(input, output).base(0, 2));
      assertClose(plain(plain, null, null, input.row(1)), output.row(1), "plain");
    }
    ExpertWeights wrong =
        new ExpertWeights(plain.gate(), null, plain.down(), new float[FFN - 1], null, plain.downBias());
    Exception refused =
        assertThrows(
            InvalidArgumentException.class,
            () -> FeedForward.plain(runtime, Activation.RELU, wrong, Weights.F32));
    assertEquals("experts[0].gateBias has 39 numbers; expected 40", refused.getMessage());

    List<ExpertWeights> experts =
        List.of(Fixtures.weights(random, HIDDEN, FFN), Fixtures.weights(random, HIDDEN, FFN));
    Matrix router = random.matrix(2, HIDDEN, 1);
    try (FeedForward bank = FeedForward.bank(runtime, Activation.SILU, experts, router, 1, Weights.F32)) {
      assertEquals(2, bank.describe().experts());
      try (Routing routing = bank.runWithRouting(new Batch(input, output).base(0, 2))) {
        int chosen = routing.read(0, 0).expert(0, 1, 0);
        assertClose(plain(experts.get(chosen), null, null, input.row(1)), output.row(1), "bank");
      }
    }
  }

  @Test
  void compactWeightsGiveTheBitsOfPlainOnes() {
    Fixtures.Random random = new Fixtures.Random(8);
    ExpertWeights weights = Fixtures.weights(random, HIDDEN, FFN);
    Matrix input = random.matrix(3, HIDDEN, 1);
    assertSameBitsHoweverTheyLie(
        input, storage -> FeedForward.gated(runtime, Activation.SILU, weights, Weights.BF16, storage));
    ExpertWeights noUp = new ExpertWeights(weights.gate(), null, weights.down());
    assertSameBitsHoweverTheyLie(
        input, storage -> FeedForward.plain(runtime, Activation.SILU, noUp, Weights.BF16, storage));
    List<ExpertWeights> experts = List.of(weights, Fixtures.weights(random, HIDDEN, FFN));
    Matrix router = random.matrix(2, HIDDEN, 1);
    assertSameBitsHoweverTheyLie(
        input, storage -> FeedForward.bank(runtime, Activation.SILU, experts, router, 1, Weights.BF16, storage));
    assertSameBitsHoweverTheyLie(
        random.matrix(3, 192, 1),
        storage ->
            FeedForward.open(
                runtime,
                Fixtures.models().resolve("tiny-llama"),
                2,
                new LoadOptions().weights(Weights.BF16).storage(storage)));
  }

  private static void assertSameBitsHoweverTheyLie(Matrix input, Function<WeightStorage, FeedForward> made) {
    Matrix expected = Matrix.allocate(DType.F32, input.rows(), input.columns());
    Matrix actual = Matrix.allocate(DType.F32, input.rows(), input.columns());
    try (FeedForward plain = made.apply(WeightStorage.PLAIN);
        FeedForward compact = made.apply(WeightStorage.COMPACT)) {
      assertEquals(0, plain.describe().compactBytes());
      assertTrue(compact.describe().compactBytes() > 0);
      assertTrue(compact.describe().weightBytes() < plain.describe().weightBytes());
      plain.run(new Batch(input, expected).base(0, input.rows()));
      compact.run(new Batch(input, actual).base(0, input.rows()));
    }
    for (int row = 0; row < input.rows(); ++row) {
      assertSameBits(expected.row(row), actual.row(row), "row " + row);
    }
  }

  @Test
  void everyKindOfMemoryGivesTheSameBitsAndKeepsItsGaps() {
    try (FeedForward feedForward = Fixtures.feedForward(runtime, HIDDEN, FFN);
        Adapter lora = Fixtures.lora(feedForward, 9)) {
      Fixtures.Random random = new Fixtures.Random(3);
      int rows = 4;
      int stride = HIDDEN + 5;
      float[] array = random.floats(rows * HIDDEN, 1);
      Matrix packed = Matrix.of(array, rows, HIDDEN);
      Matrix expected = Matrix.allocate(DType.F32, rows, HIDDEN);
      feedForward.run(new Batch(packed, expected).range(lora, 0, rows));

      float[] gapped = new float[3 + rows * stride];
      Arrays.fill(gapped, -77);
      float[] results = gapped.clone();
      Matrix input = Matrix.of(gapped, 3, rows, HIDDEN, stride);
      for (int row = 0; row < rows; ++row) {
        input.setRow(row, packed.row(row));
      }
      Matrix output = Matrix.of(results, 3, rows, HIDDEN, stride);
      feedForward.run(new Batch(input, output).range(lora, 0, rows));
      for (int row = 0; row < rows; ++row) {
        assertSameBits(expected.row(row), output.row(row), "row " + row);
      }
      for (int i = 0; i < results.length; ++i) {
        if (i < 3 || (i - 3) % stride >= HIDDEN) {
          assertEquals(-77, results[i], "element " + i + " is nobody's");
        }
      }

      Matrix inPlace = Matrix.of(array.clone(), rows, HIDDEN);
      feedForward.run(new Batch(inPlace, inPlace).range(lora, 0, rows));
      assertSameBits(expected.row(3), inPlace.row(3), "in place");

      Matrix bf16 = Matrix.of(new short[rows * HIDDEN], DType.BF16, rows, HIDDEN);
      feedForward.run(new Batch(packed, bf16).range(lora, 0, rows));
      Matrix rounded = Matrix.allocate(DType.BF16, rows, HIDDEN);
      rounded.setRow(2, expected.row(2));
      assertSameBits(rounded.row(2), bf16.row(2), "bfloat16");
    }
  }

  @Test
  void aBatchThatDoesNotFitIsRefusedAndWritesNothing() {
    try (FeedForward feedForward = Fixtures.feedForward(runtime, HIDDEN, FFN);
        FeedForward stranger = Fixtures.feedForward(runtime, HIDDEN, FFN);
        Adapter foreign = Fixtures.lora(stranger, 1)) {
      Matrix input = new Fixtures.Random(4).matrix(3, HIDDEN, 1);
      float[] results = new float[3 * HIDDEN];
      Arrays.fill(results, -77);
      Matrix output = Matrix.of(results, 3, HIDDEN);
      List<Batch> wrong =
          List.of(
              new Batch(input, output),
              new Batch(input, output).base(0, 4),
              new Batch(input, output).base(0, 2),
              new Batch(input, output).base(0, 2).base(1, 3),
              new Batch(input, output).base(-1, 3),
              new Batch(input, output).range(foreign, 0, 3),
              new Batch(input, output).base(0, 3).sequenceBegins(0, 7),
              new Batch(input, Matrix.of(results, 2, HIDDEN)).base(0, 3),
              new Batch(input, Matrix.of(results, 3, HIDDEN - 1)).base(0, 3),
              new Batch(Matrix.of(new float[3], 3, 1), output).base(0, 3));
      for (int i = 0; i < wrong.size(); ++i) {
        Batch batch = wrong.get(i);
        Exception refused =
            assertThrows(InvalidArgumentException.class, () -> feedForward.run(batch), "batch " + i);
        assertTrue(refused.getMessage().matches(".*[0-9].*"), refused.getMessage());
      }
      assertThrows(NullPointerException.class, () -> feedForward.run(new Batch(input, null).base(0, 3)));
      for (float result : results) {
        assertEquals(-77, result);
      }
    }
  }

  @Test
  void planOfTheCaller() {
    Fixtures.Random random = new Fixtures.Random(6);
    List<ExpertWeights> experts =
        List.of(
            Fixtures.weights(random, HIDDEN, FFN),
            Fixtures.weights(random, HIDDEN, FFN),
            Fixtures.weights(random, HIDDEN, FFN));
    try (FeedForward bank =
        FeedForward.bank(runtime, Activation.SILU, experts, random.matrix(3, HIDDEN, 1), 2, Weights.F32)) {
      Matrix input = random.matrix(4, HIDDEN, 1);
      Matrix free = Matrix.allocate(DType.F32, 4, HIDDEN);
      Matrix planned = Matrix.allocate(DType.F32, 4, HIDDEN);
      Batch batch = new Batch(input, planned).base(0, 4);
      bank.run(new Batch(input, free).base(0, 4));
      try (Routing decided = bank.route(new Batch(input, null).base(0, 4))) {
        bank.run(batch, decided);
        assertSameBits(free.row(3), planned.row(3), "the router's own plan");
        Decision read = decided.read(0, 0);
        planned.setRow(3, new float[HIDDEN]);
        try (Routing rebuilt = Routing.of(Decision.of(4, 1, 3, 2, read.ids(), read.weights()))) {
          bank.run(batch, rebuilt);
          assertTrue(Float.isNaN(rebuilt.read(0, 0).logits()[0]));
        }
        assertSameBits(free.row(3), planned.row(3), "the same plan, rebuilt");
      }
      float[] ones = {1, 0, 1, 0, 1, 0, 1, 0};
      try (Routing second = Routing.of(Decision.of(4, 1, 3, 2, new int[] {1, -1, 1, -1, 1, -1, 1, -1}, ones))) {
        bank.run(batch, second);
        assertClose(plain(experts.get(1), null, null, input.row(2)), planned.row(2), "expert 1 alone");
      }
      Exception refused =
          assertThrows(
              InvalidArgumentException.class,
              () -> Routing.of(Decision.of(4, 1, 3, 2, new int[] {0, 1, 0, 1, 0, 1, 0, 3}, ones)));
      assertTrue(refused.getMessage().contains("3"), refused.getMessage());
      assertThrows(
          InvalidArgumentException.class, () -> Decision.of(4, 1, 3, 2, new int[7], new float[8]));
      int many = 1 << 22;
      assertThrows(
          InvalidArgumentException.class, () -> Decision.of(many, many, 3, many, new int[0], new float[0]));
      assertThrows(
          InvalidArgumentException.class, () -> Decision.of(-1, -1, 3, 2, new int[2], new float[2]));
      try (Routing none = Routing.of(Decision.none(4))) {
        assertThrows(InvalidArgumentException.class, () -> bank.run(batch, none));
      }
      input.setRow(1, filled(HIDDEN, Float.NaN));
      Exception nan = assertThrows(NumericException.class, () -> bank.run(batch));
      assertTrue(nan.getMessage().contains("row 1"), nan.getMessage());
    }
  }

  private static float[] filled(int count, float value) {
    float[] result = new float[count];
    Arrays.fill(result, value);
    return result;
  }
}
