package tenants;

import io.moxie.Adapter;
import io.moxie.Model;
import io.moxie.Sequence;
import io.moxie.Step;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;

/**
 * One thread that takes whatever is ready and moves it on in one mixed step: prefill and decode, base and adapters. What
 * comes while a step runs waits for the next.
 */
final class Gatherer implements AutoCloseable {
  private record Request(Step step, float[] logits, CompletableFuture<float[]> answer) {}

  private static final Request END = new Request(null, null, null);

  private final Model model;
  private final BlockingQueue<Request> ready = new LinkedBlockingQueue<>();
  private final Thread thread = new Thread(this::gather, "gatherer");
  private int steps;
  private int moved;
  private int widest;

  Gatherer(Model model) {
    this.model = model;
    thread.start();
  }

  /** Gives the logits of the last token, some time later. The caller keeps sequence and adapter open until then. */
  CompletableFuture<float[]> submit(Sequence sequence, Adapter adapter, int... tokens) {
    float[] logits = new float[model.describe().vocabulary()];
    Request request =
        new Request(
            Step.of(sequence, tokens).under(adapter).logits(logits), logits, new CompletableFuture<>());
    ready.add(request);
    return request.answer;
  }

  private void gather() {
    List<Request> batch = new ArrayList<>();
    try {
      while (true) {
        batch.add(ready.take());
        ready.drainTo(batch);
        boolean end = batch.remove(END);
        if (!batch.isEmpty()) {
          step(batch);
        }
        if (end) {
          return;
        }
        batch.clear();
      }
    } catch (InterruptedException interrupted) {
      batch.forEach(request -> request.answer.cancel(false));
    }
  }

  private void step(List<Request> batch) {
    try {
      model.step(batch.stream().map(Request::step).toList());
    } catch (RuntimeException problem) {
      // All or nothing: no sequence has moved. A server would try each alone to find whose fault it was.
      batch.forEach(request -> request.answer.completeExceptionally(problem));
      return;
    }
    ++steps;
    moved += batch.size();
    widest = Math.max(widest, batch.size());
    batch.forEach(request -> request.answer.complete(request.logits));
  }

  /** Finishes what was submitted. */
  @Override
  public void close() {
    ready.add(END);
    try {
      thread.join();
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
    }
  }

  /** For after {@link #close}. */
  int widest() {
    return widest;
  }

  @Override
  public String toString() {
    return steps + " steps moved " + moved + " sequences on, " + widest + " at once at most";
  }
}
