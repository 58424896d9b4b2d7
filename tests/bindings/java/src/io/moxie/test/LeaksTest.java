package io.moxie.test;

import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.moxie.Adapter;
import io.moxie.Batch;
import io.moxie.DType;
import io.moxie.FeedForward;
import io.moxie.Matrix;
import io.moxie.Model;
import io.moxie.MoxieFile;
import io.moxie.Runtime;
import io.moxie.Sampler;
import io.moxie.Sequence;
import io.moxie.Step;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** Memory, threads and files, before and after many of a kind. */
class LeaksTest {
  private static Runtime runtime;

  @BeforeAll
  static void create() {
    runtime = Runtime.create();
  }

  @AfterAll
  static void close() {
    runtime.close();
  }

  @Test
  void whatIsForgottenIsFreed() throws InterruptedException {
    // Half a megabyte of weights and more, which nobody closes.
    Usage.assertNoGrowth(20, () -> Fixtures.feedForward(runtime, 256, 512));
  }

  @Test
  void tenThousandOfEachLeaveNothing() throws InterruptedException {
    try (Model model = Fixtures.tinyLlama(runtime);
        FeedForward base = Fixtures.feedForward(runtime, 16, 32)) {
      Runnable each =
          () -> {
            Sequence sequence = Sequence.create(model);
            sequence.fork().close();
            sequence.close();
            Sampler.greedy().close();
            FeedForward feedForward = Fixtures.feedForward(runtime, 16, 32);
            Adapter adapter = Fixtures.lora(feedForward, 1);
            adapter.retain().close();
            Matrix rows = Matrix.of(new float[16], 1, 16);
            feedForward.runWithRouting(new Batch(rows, rows).range(adapter, 0, 1)).close();
            adapter.close();
            feedForward.close();
            // A call that fails keeps nothing either.
            assertThrows(
                RuntimeException.class, () -> base.run(new Batch(rows, rows).range(adapter, 0, 1)));
            assertThrows(RuntimeException.class, () -> base.run(new Batch(rows, rows).base(0, 2)));
          };
      Usage.assertNoGrowth(2_000, each);
    }
  }

  @Test
  void hundredsOfModelsLeaveNothing() throws InterruptedException {
    Runnable each =
        () -> {
          try (Model model = Fixtures.tinyLlama(runtime);
              Adapter adapter = Adapter.open(model, Fixtures.models().resolve("jargon-lora"));
              Sequence sequence = Sequence.create(model);
              MoxieFile file = MoxieFile.open(Fixtures.models().resolve("jargon-lora"))) {
            assertTrue(file.describe().tensors() > 0);
            model.step(Step.of(sequence, 1).under(adapter));
          }
        };
    Usage.assertNoGrowth(60, each);
  }

  @Test
  void runtimesTakeTheirThreadsWithThem() throws InterruptedException {
    Runnable each =
        () -> {
          try (Runtime own = Runtime.create();
              FeedForward feedForward = Fixtures.feedForward(own, 16, 32)) {
            Matrix rows = Matrix.allocate(DType.F32, 1, 16);
            feedForward.run(new Batch(rows, rows).base(0, 1));
          }
        };
    Usage.assertNoGrowth(20, each);
  }
}
