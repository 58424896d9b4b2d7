package io.moxie.test;

import static io.moxie.test.Fixtures.assertSameBits;
import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.moxie.Adapter;
import io.moxie.Batch;
import io.moxie.Block;
import io.moxie.BlockStep;
import io.moxie.DType;
import io.moxie.FeedForward;
import io.moxie.Generation;
import io.moxie.LoadOptions;
import io.moxie.Matrix;
import io.moxie.Model;
import io.moxie.MoxieFile;
import io.moxie.Routing;
import io.moxie.Runtime;
import io.moxie.Sampler;
import io.moxie.Sequence;
import io.moxie.SequenceOptions;
import io.moxie.Step;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

class LifecycleTest {
  private static Runtime runtime;

  @BeforeAll
  static void create() {
    runtime = Runtime.create();
  }

  @AfterAll
  static void close() {
    runtime.close();
  }

  private static void assertClosed(String noun, Executable use) {
    Exception refused = assertThrows(IllegalStateException.class, use);
    assertEquals("the " + noun + " is closed", refused.getMessage());
  }

  @Test
  void aClosedObjectIsRefusedByName() {
    Runtime own = Runtime.create();
    Model model = Fixtures.tinyLlama(own);
    Block block = Block.open(own, Fixtures.models().resolve("tiny-llama"), 0, new LoadOptions());
    FeedForward feedForward = Fixtures.feedForward(own, 8, 16);
    Adapter adapter = Fixtures.lora(feedForward, 1);
    Adapter second = adapter.retain();
    Sequence sequence = Sequence.create(model);
    Sampler sampler = Sampler.greedy();
    MoxieFile file = MoxieFile.open(Fixtures.models().resolve("tiny-llama"));
    Matrix rows = Matrix.allocate(DType.F32, 1, 8);
    Routing routing = feedForward.runWithRouting(new Batch(rows, rows).base(0, 1));
    Generation generation = Generation.of(model, sequence, 3, 1);

    List<AutoCloseable> all =
        List.of(own, model, block, feedForward, adapter, sequence, sampler, file, routing);
    for (int i = 0; i < 2; ++i) {
      for (AutoCloseable object : all) {
        assertDoesNotThrow(object::close);
      }
    }
    assertClosed("runtime", own::describe);
    assertClosed("runtime", own::kernels);
    assertClosed("runtime", () -> Fixtures.tinyLlama(own));
    assertClosed("model", () -> Sequence.create(model));
    assertClosed("sequence", () -> model.step(Step.of(sequence, 1)));
    assertClosed("sequence", generation::nextInt);
    assertClosed("sequence", sequence::length);
    assertClosed("sequence", sequence::fork);
    assertClosed("sequence", () -> sequence.truncate(0));
    assertClosed("block", () -> Sequence.create(block, new SequenceOptions()));
    Matrix wide = Matrix.allocate(DType.F32, 1, block.hidden());
    assertClosed("sequence", () -> block.run(BlockStep.of(sequence, wide, wide)));
    assertClosed("feed-forward", () -> feedForward.run(new Batch(rows, rows).base(0, 1)));
    assertClosed("adapter", adapter::describe);
    assertClosed("adapter", adapter::retain);
    assertClosed("adapter", () -> feedForward.run(new Batch(rows, rows).range(adapter, 0, 1)));
    assertClosed("sampler", () -> sampler.next(new float[] {1}));
    assertClosed("file", file::describe);
    assertClosed("routing", routing::layers);
    assertClosed("routing", () -> routing.read(0, 0));
    // The other handle of the same adapter is not this one.
    assertEquals(2, second.describe().rank());
    second.close();
    assertClosed("adapter", second::describe);
    assertEquals(2048, model.describe().vocabulary());
  }

  @Test
  void closingInAnyOrder() {
    Runtime own = Runtime.create();
    Model model = Fixtures.tinyLlama(own);
    own.close();
    Sequence sequence = Sequence.create(model);
    Adapter adapter = Adapter.open(model, Fixtures.models().resolve("jargon-lora"));
    model.step(Step.of(sequence, 1, 2).under(adapter));
    model.close();
    assertEquals(2, sequence.length());
    assertEquals(16, adapter.describe().rank());
    adapter.close();
    sequence.close();
  }

  @Test
  void closingDuringCallsLetsThemFinish() throws Exception {
    float[] expected = new float[2048];
    try (Model model = Fixtures.tinyLlama(runtime);
        Adapter adapter = Adapter.open(model, Fixtures.models().resolve("kjv-mixlora"));
        Sequence sequence = Sequence.create(model)) {
      model.step(Step.of(sequence, Fixtures.KJV).under(adapter).logits(expected));
    }
    ExecutorService pool = Executors.newFixedThreadPool(4);
    try {
      for (int round = 0; round < 10; ++round) {
        Model model = Fixtures.tinyLlama(runtime);
        Adapter adapter = Adapter.open(model, Fixtures.models().resolve("kjv-mixlora"));
        CountDownLatch begun = new CountDownLatch(4);
        List<Future<Boolean>> calls = new ArrayList<>();
        for (int i = 0; i < 4; ++i) {
          Sequence sequence = Sequence.create(model);
          calls.add(
              pool.submit(
                  () -> {
                    float[] logits = new float[2048];
                    begun.countDown();
                    try {
                      for (int step = 0; ; ++step) {
                        sequence.truncate(0);
                        model.step(Step.of(sequence, Fixtures.KJV).under(adapter).logits(logits));
                        assertSameBits(expected, logits, "step " + step);
                      }
                    } catch (IllegalStateException closed) {
                      return true;
                    } finally {
                      sequence.close();
                    }
                  }));
        }
        begun.await();
        Thread.sleep(round);
        adapter.close();
        model.close();
        for (Future<Boolean> call : calls) {
          assertTrue(call.get(60, TimeUnit.SECONDS));
        }
      }
    } finally {
      pool.shutdownNow();
    }
  }

  /** Nothing holds the feed-forward, the adapter and the buffers but the call itself. */
  private static float[] runOnWhatNobodyHolds() {
    FeedForward feedForward = Fixtures.feedForward(runtime, 64, 128);
    Matrix output = Matrix.allocate(DType.F32, 64, 64);
    feedForward.run(
        new Batch(new Fixtures.Random(1).matrix(64, 64, 1), output).range(Fixtures.lora(feedForward, 3), 0, 64));
    return output.row(63);
  }

  @Test
  void collectionDuringCalls() throws Exception {
    float[] expected = runOnWhatNobodyHolds();
    AtomicBoolean done = new AtomicBoolean();
    Thread collector =
        new Thread(
            () -> {
              while (!done.get()) {
                System.gc();
              }
            });
    collector.start();
    try {
      for (int i = 0; i < 200; ++i) {
        assertSameBits(expected, runOnWhatNobodyHolds(), "run " + i);
      }
    } finally {
      done.set(true);
      collector.join();
    }
  }
}
