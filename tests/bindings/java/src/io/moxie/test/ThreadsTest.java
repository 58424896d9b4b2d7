package io.moxie.test;

import static io.moxie.test.Fixtures.assertSameBits;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.moxie.Adapter;
import io.moxie.Generation;
import io.moxie.InvalidArgumentException;
import io.moxie.Model;
import io.moxie.Runtime;
import io.moxie.Sequence;
import io.moxie.Step;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

class ThreadsTest {
  @Test
  void sixtyFourThreadsOnOneModel() throws Exception {
    ExecutorService pool = Executors.newFixedThreadPool(64);
    try (Runtime runtime = Runtime.create();
        Model model = Fixtures.tinyLlama(runtime);
        Adapter kjv = Adapter.open(model, Fixtures.models().resolve("kjv-mixlora"))) {
      List<Callable<int[]>> tasks = new ArrayList<>();
      for (int i = 0; i < 64; ++i) {
        boolean adapted = i % 2 == 0;
        tasks.add(
            () -> {
              try (Sequence sequence = Sequence.create(model)) {
                int[] prompt = adapted ? Fixtures.KJV : Fixtures.SOTU;
                return Generation.of(model, sequence, 12, prompt).under(adapted ? kjv : null).toArray();
              }
            });
      }
      List<Future<int[]>> results = pool.invokeAll(tasks);
      for (int i = 0; i < 64; ++i) {
        int[] expected = i % 2 == 0 ? Fixtures.KJV_UNDER_KJV_MIXLORA : Fixtures.SOTU_ON_BASE;
        assertArrayEquals(expected, results.get(i).get(), "thread " + i);
      }
    } finally {
      pool.shutdownNow();
    }
  }

  @Test
  void oneSequenceInTwoCallsIsAnErrorInOneOfThem() throws Exception {
    ExecutorService pool = Executors.newFixedThreadPool(8);
    try (Runtime runtime = Runtime.create();
        Model model = Fixtures.tinyLlama(runtime);
        Sequence shared = Sequence.create(model)) {
      AtomicInteger steps = new AtomicInteger();
      AtomicInteger refusals = new AtomicInteger();
      List<Callable<Void>> tasks = new ArrayList<>();
      for (int i = 0; i < 8; ++i) {
        tasks.add(
            () -> {
              for (int step = 0; step < 20; ++step) {
                try {
                  model.step(Step.of(shared, 1));
                  steps.incrementAndGet();
                } catch (InvalidArgumentException busy) {
                  assertTrue(busy.getMessage().contains("call"), busy.getMessage());
                  refusals.incrementAndGet();
                }
              }
              return null;
            });
      }
      for (Future<Void> task : pool.invokeAll(tasks)) {
        task.get();
      }
      assertEquals(160, steps.get() + refusals.get());
      assertEquals(steps.get(), shared.length());
      float[] logits = new float[2048];
      float[] alone = new float[2048];
      model.step(Step.of(shared, 2).logits(logits));
      try (Sequence same = Sequence.create(model)) {
        for (int i = 0; i < steps.get(); ++i) {
          model.step(Step.of(same, 1));
        }
        model.step(Step.of(same, 2).logits(alone));
      }
      assertSameBits(alone, logits, "after the quarrel");
    } finally {
      pool.shutdownNow();
    }
  }
}
