package io.moxie.test;

import static io.moxie.test.Fixtures.assertSameBits;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.moxie.Adapter;
import io.moxie.Block;
import io.moxie.BlockStep;
import io.moxie.DType;
import io.moxie.Generation;
import io.moxie.InvalidArgumentException;
import io.moxie.LoadOptions;
import io.moxie.Matrix;
import io.moxie.Model;
import io.moxie.NumericException;
import io.moxie.Routing;
import io.moxie.Runtime;
import io.moxie.Sampler;
import io.moxie.SamplerOptions;
import io.moxie.Sequence;
import io.moxie.SequenceOptions;
import io.moxie.Step;
import io.moxie.Weights;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.NoSuchElementException;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

class ModelTest {
  private static Runtime runtime;
  private static Model model;
  private static Adapter kjv;
  private static int vocabulary;

  @BeforeAll
  static void open() {
    runtime = Runtime.create();
    model = Fixtures.tinyLlama(runtime);
    kjv = Adapter.open(model, Fixtures.models().resolve("kjv-mixlora"));
    vocabulary = model.describe().vocabulary();
  }

  @AfterAll
  static void close() {
    kjv.close();
    model.close();
    runtime.close();
  }

  @Test
  void aMixedStepGivesTheBitsOfEachAlone() {
    float[] base = new float[vocabulary];
    float[] adapted = new float[vocabulary];
    try (Sequence one = Sequence.create(model);
        Sequence two = Sequence.create(model)) {
      model.step(
          Step.of(one, Fixtures.SOTU).logits(base), Step.of(two, Fixtures.KJV).under(kjv).logits(adapted));
    }
    try (Sequence alone = Sequence.create(model)) {
      int length = Fixtures.KJV.length;
      // Token by token, and every row of logits wanted, into the middle of a wider row.
      for (int i = 0; i < length - 2; ++i) {
        model.step(Step.of(alone, Fixtures.KJV[i]).under(kjv));
      }
      float[] memory = new float[2 * (vocabulary + 3)];
      Arrays.fill(memory, -77);
      Matrix rows = Matrix.of(memory, 1, 2, vocabulary, vocabulary + 3);
      model.step(Step.of(alone, Fixtures.KJV[length - 2], Fixtures.KJV[length - 1]).under(kjv).logits(rows));
      assertSameBits(adapted, rows.row(1), "alone");
      assertEquals(-77, memory[0]);
      assertEquals(-77, memory[vocabulary + 1]);
      assertEquals(length, alone.length());
    }
  }

  @Test
  void aStepIsAllOrNothing() {
    float[] logits = new float[vocabulary];
    try (Sequence good = Sequence.create(model);
        Sequence bad = Sequence.create(model)) {
      Exception refused =
          assertThrows(
              InvalidArgumentException.class,
              () -> model.step(Step.of(good, 1, 2).logits(logits), Step.of(bad, vocabulary)));
      assertTrue(refused.getMessage().contains("steps[1].tokens[0] is " + vocabulary), refused.getMessage());
      assertEquals(0, good.length());
      assertArrayEquals(new float[vocabulary], logits);
      assertThrows(InvalidArgumentException.class, () -> model.step(Step.of(good, 1), Step.of(good, 1)));
      assertThrows(InvalidArgumentException.class, () -> model.step(Step.of(good)));
      assertThrows(InvalidArgumentException.class, () -> model.step(Step.of(good, 1).logits(new float[5])));
      assertThrows(
          InvalidArgumentException.class,
          () -> model.step(Step.of(good, 1).logits(Matrix.allocate(DType.F32, 2, vocabulary))));
      assertThrows(
          InvalidArgumentException.class,
          () -> model.step(Step.of(good, 1).logits(Matrix.allocate(DType.BF16, 1, vocabulary))));
      assertEquals(0, good.length());
    }
  }

  @Test
  void forkAndTruncate() {
    float[] first = new float[vocabulary];
    float[] again = new float[vocabulary];
    try (Sequence original = Sequence.create(model, new SequenceOptions().kv(DType.BF16))) {
      model.step(Step.of(original, Fixtures.KJV).logits(first));
      assertEquals(DType.BF16, original.describe().kv());
      try (Sequence fork = original.fork()) {
        fork.truncate(Fixtures.KJV.length - 1);
        model.step(Step.of(fork, Fixtures.KJV[Fixtures.KJV.length - 1]).logits(again));
        assertEquals(Fixtures.KJV.length, fork.length());
        assertThrows(InvalidArgumentException.class, () -> fork.truncate(99));
      }
      assertEquals(Fixtures.KJV.length, original.length());
    }
    assertSameBits(first, again, "from a fork");
    assertThrows(
        InvalidArgumentException.class, () -> Sequence.create(model, new SequenceOptions().firstPosition(-1)));
    assertThrows(InvalidArgumentException.class, () -> Sequence.create(model, new SequenceOptions().kv(DType.I8)));
  }

  @Test
  void routingOfAStep() {
    try (Sequence one = Sequence.create(model);
        Sequence two = Sequence.create(model);
        Routing routing =
            model.stepWithRouting(List.of(Step.of(one, Fixtures.KJV).under(kjv), Step.of(two, 1)))) {
      assertEquals(model.describe().layers(), routing.layers());
      assertEquals(2, routing.ranges());
      assertEquals(Fixtures.KJV.length, routing.read(3, 0).rows());
      assertEquals(0, routing.read(3, 1).routers());
      assertThrows(InvalidArgumentException.class, () -> routing.read(99, 0));
      assertThrows(InvalidArgumentException.class, () -> routing.routerName(0, 0, 7));
    }
  }

  @Test
  void generationIsTheReferences() {
    int count = Fixtures.KJV_UNDER_KJV_MIXLORA.length;
    try (Sequence sequence = Sequence.create(model)) {
      Generation generation = Generation.of(model, sequence, count, Fixtures.KJV).under(kjv);
      assertNull(generation.finishReason());
      assertArrayEquals(Fixtures.KJV_UNDER_KJV_MIXLORA, generation.toArray());
      assertSame(Generation.FinishReason.LIMIT, generation.finishReason());
      assertEquals(Fixtures.KJV.length + count - 1, sequence.length());
      assertThrows(NoSuchElementException.class, generation::nextInt);
      assertThrows(IllegalStateException.class, () -> generation.under(null));
    }
    try (Sequence sequence = Sequence.create(model)) {
      assertArrayEquals(
          Fixtures.SOTU_ON_BASE, Generation.of(model, sequence, count, Fixtures.SOTU).stream().toArray());
    }
  }

  @Test
  void generationEndsAtATokenAndWhenCancelled() {
    int[] expected = Fixtures.KJV_UNDER_KJV_MIXLORA;
    try (Sequence sequence = Sequence.create(model)) {
      Generation generation =
          Generation.of(model, sequence, 50, Fixtures.KJV).under(kjv).endTokens(7, expected[4]);
      assertArrayEquals(Arrays.copyOf(expected, 4), generation.toArray());
      assertSame(Generation.FinishReason.END_TOKEN, generation.finishReason());
    }
    try (Sequence sequence = Sequence.create(model)) {
      Generation generation = Generation.of(model, sequence, 50, Fixtures.KJV).under(kjv);
      List<Integer> tokens = new ArrayList<>();
      generation.forEach(
          token -> {
            tokens.add(token);
            if (tokens.size() == 3) {
              generation.cancel();
            }
          });
      assertEquals(3, tokens.size());
      assertSame(Generation.FinishReason.CANCELLED, generation.finishReason());
      // What was not stepped yet, and go on.
      int last = tokens.get(2);
      assertArrayEquals(
          Arrays.copyOfRange(expected, 3, 6),
          Generation.of(model, sequence, 3, last).under(kjv).toArray());
    }
    try (Sequence sequence = Sequence.create(model)) {
      Generation nothing = Generation.of(model, sequence, 0, 1);
      assertEquals(0, nothing.toArray().length);
      assertEquals(0, sequence.length());
      assertThrows(InvalidArgumentException.class, () -> Generation.of(model, sequence, -1, 1));
      Generation callback = Generation.of(model, sequence, 5, 1);
      assertThrows(
          ArithmeticException.class,
          () ->
              callback.forEach(
                  token -> {
                    throw new ArithmeticException();
                  }));
      Generation wrong = Generation.of(model, sequence, 5, 99999);
      assertThrows(InvalidArgumentException.class, wrong::hasNext);
      assertThrows(InvalidArgumentException.class, wrong::hasNext);
    }
  }

  @Test
  void samplersRepeatTheirSeed() {
    SamplerOptions options = new SamplerOptions().temperature(0.8f).topK(40).topP(0.95f).seed(-1);
    int[][] runs = new int[2][];
    for (int run = 0; run < 2; ++run) {
      try (Sampler sampler = Sampler.create(options);
          Sequence sequence = Sequence.create(model)) {
        runs[run] = Generation.of(model, sequence, 20, Fixtures.KJV).sampler(sampler).toArray();
        assertEquals(2, Sampler.greedy().next(new float[] {1, 2, 3}));
      }
    }
    assertArrayEquals(runs[0], runs[1]);
    assertThrows(
        InvalidArgumentException.class, () -> Sampler.create(new SamplerOptions().temperature(-1)));
    try (Sampler greedy = Sampler.greedy()) {
      assertEquals(1, greedy.next(new float[] {0, 5, 5}));
      assertThrows(NumericException.class, () -> greedy.next(new float[] {0, Float.NaN}));
      assertThrows(InvalidArgumentException.class, () -> greedy.next(new float[0]));
      assertThrows(InvalidArgumentException.class, () -> greedy.next(Matrix.allocate(DType.F32, 2, 4)));
      assertThrows(InvalidArgumentException.class, () -> greedy.next(Matrix.allocate(DType.BF16, 1, 4)));
    }
  }

  @Test
  void aBlockInOneStepAndInTwo() {
    LoadOptions load = new LoadOptions().weights(Weights.F32);
    try (Block block = Block.open(runtime, Fixtures.models().resolve("tiny-llama"), 2, load);
        Adapter adapter = Adapter.open(block, Fixtures.models().resolve("kjv-mixlora"));
        Sequence whole = Sequence.create(block, new SequenceOptions());
        Sequence parts = Sequence.create(block, new SequenceOptions())) {
      int hidden = block.hidden();
      assertEquals(model.describe().hidden(), hidden);
      Matrix input = new Fixtures.Random(8).matrix(5, hidden, 1);
      Matrix output = Matrix.of(new float[5 * hidden], 5, hidden);
      Matrix middle = Matrix.of(new float[5 * hidden], 5, hidden);
      try (Routing routing =
          block.runWithRouting(BlockStep.of(whole, input, output).under(adapter).afterAttention(middle))) {
        assertEquals(1, routing.layers());
        assertEquals(2, routing.read(0, 0).places());
      }
      Matrix first = Matrix.allocate(DType.F32, 3, hidden);
      Matrix second = Matrix.allocate(DType.F32, 2, hidden);
      for (int row = 0; row < 5; ++row) {
        (row < 3 ? first : second).setRow(row % 3, input.row(row));
      }
      block.run(BlockStep.of(parts, first, first).under(adapter));
      block.run(BlockStep.of(parts, second, second).under(adapter));
      assertSameBits(output.row(2), first.row(2), "the third row");
      assertSameBits(output.row(4), second.row(1), "the last row");
      assertEquals(5, parts.length());
      assertTrue(!Arrays.equals(middle.row(4), output.row(4)) && !Arrays.equals(middle.row(4), new float[hidden]));
      Exception refused =
          assertThrows(
              InvalidArgumentException.class,
              () -> block.run(BlockStep.of(parts, first, second)));
      assertTrue(refused.getMessage().contains("steps[0].output is F32 2 x"), refused.getMessage());
      assertThrows(InvalidArgumentException.class, () -> model.step(Step.of(parts, 1)));
    }
  }
}
