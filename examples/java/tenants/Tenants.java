package tenants;

import io.moxie.Adapter;
import io.moxie.Model;
import io.moxie.Runtime;
import io.moxie.Sampler;
import io.moxie.SamplerOptions;
import io.moxie.Sequence;
import io.moxie.Step;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicBoolean;
import text.Tokenizer;

/**
 * Tenants of one model: a pool of workers, in which every task owns a sequence and an adapter and chooses its own
 * tokens, and one thread that gathers what is ready into mixed steps. Meanwhile an administrator keeps replacing and
 * unloading the adapters. Every answer is compared with the one computed alone: the same tokens from the same bits.
 *
 * <pre>tenants.Tenants [MODELS [VISITS [WORKERS [SEED]]]]     default: examples/models 24 8 1</pre>
 */
public final class Tenants {
  private static final List<String> ADAPTERS =
      List.of("", "kjv-mixlora", "kjv-mixlora-dynamic", "melville-loramoe", "presidents-mola", "jargon-lora");
  private static final List<String> PROMPTS =
      List.of(
          "And it came to pass in those days, that",
          "Captain Ahab stood upon the quarter-deck, and",
          "My fellow Americans, tonight",
          "hacker\n /hak'er/, n.\n\n    1. A person who");

  private Tenants() {}

  /** What a tenant wants; no adapter: the plain base. */
  private record Visit(String adapter, int[] prompt, int newTokens, float temperature, long seed) {
    Sampler sampler() {
      return Sampler.create(new SamplerOptions().temperature(temperature).topK(40).seed(seed));
    }
  }

  /** What it got: the tokens, and the logits each was chosen from. */
  private record Answer(int[] tokens, float[][] logits) {
    Answer(int count) {
      this(new int[count], new float[count][]);
    }

    boolean sameBits(Answer other) {
      if (!Arrays.equals(tokens, other.tokens)) {
        return false;
      }
      for (int i = 0; i < logits.length; ++i) {
        for (int j = 0; j < logits[i].length; ++j) {
          if (Float.floatToRawIntBits(logits[i][j]) != Float.floatToRawIntBits(other.logits[i][j])) {
            return false;
          }
        }
      }
      return true;
    }
  }

  public static void main(String[] arguments) throws IOException, InterruptedException, ExecutionException {
    Path models = Path.of(arguments.length > 0 ? arguments[0] : "examples/models");
    int count = arguments.length > 1 ? Integer.parseInt(arguments[1]) : 24;
    int workers = arguments.length > 2 ? Integer.parseInt(arguments[2]) : 8;
    long seed = arguments.length > 3 ? Long.parseLong(arguments[3]) : 1;
    Tokenizer tokenizer = new Tokenizer(models.resolve("tokenizer/tokenizer.json"));
    List<Visit> visits = visits(tokenizer, count, seed);

    try (Runtime runtime = Runtime.create();
        Model model = Model.open(runtime, models.resolve("tiny-llama"));
        AdapterShelf shelf = new AdapterShelf(model, models)) {
      List<Answer> answers = new ArrayList<>();
      ExecutorService pool = Executors.newFixedThreadPool(workers);
      Gatherer gatherer = new Gatherer(model);
      AtomicBoolean done = new AtomicBoolean();
      CompletableFuture<Integer> administrator = CompletableFuture.supplyAsync(() -> administrate(shelf, done));
      try (gatherer) {
        List<Callable<Answer>> tasks = new ArrayList<>();
        visits.forEach(visit -> tasks.add(() -> serve(model, shelf, gatherer, visit)));
        for (Future<Answer> answer : pool.invokeAll(tasks)) {
          answers.add(answer.get());
        }
      } finally {
        done.set(true);
        pool.shutdown();
      }
      int replaced = administrator.get();
      System.out.println(gatherer + "; adapters replaced or unloaded meanwhile: " + replaced);
      check(replaced > 0, "adapters were replaced meanwhile");
      check(workers == 1 || count == 1 || gatherer.widest() > 1, "steps were mixed");

      for (int i = 0; i < visits.size(); ++i) {
        Visit visit = visits.get(i);
        check(answers.get(i).sameBits(alone(model, shelf, visit)), "visit " + i + " has the bits it has alone");
        if (i < ADAPTERS.size()) {
          System.out.println("\n[" + (visit.adapter.isEmpty() ? "base" : visit.adapter) + "]");
          System.out.println(tokenizer.decode(visit.prompt) + " |" + tokenizer.decode(answers.get(i).tokens));
        }
      }
    }
    System.out.println("\nall " + count + " answers have the bits they have alone");
  }

  private static List<Visit> visits(Tokenizer tokenizer, int count, long seed) {
    Random random = new Random(seed);
    List<Visit> result = new ArrayList<>();
    for (int i = 0; i < count; ++i) {
      int[] prompt = tokenizer.encode(PROMPTS.get(random.nextInt(PROMPTS.size())));
      float temperature = random.nextBoolean() ? 0.8f : 0;
      result.add(new Visit(ADAPTERS.get(i % ADAPTERS.size()), prompt, 8 + random.nextInt(16), temperature, i));
    }
    return result;
  }

  /** A task: its own sequence, sampler and adapter; the steps are the gatherer's. */
  private static Answer serve(Model model, AdapterShelf shelf, Gatherer gatherer, Visit visit)
      throws InterruptedException, ExecutionException {
    Answer answer = new Answer(visit.newTokens);
    try (Sequence sequence = Sequence.create(model);
        Sampler sampler = visit.sampler();
        Adapter adapter = visit.adapter.isEmpty() ? null : shelf.take(visit.adapter)) {
      int[] tokens = visit.prompt;
      for (int i = 0; i < visit.newTokens; ++i) {
        answer.logits[i] = gatherer.submit(sequence, adapter, tokens).get();
        answer.tokens[i] = sampler.next(answer.logits[i]);
        tokens = new int[] {answer.tokens[i]};
      }
    }
    return answer;
  }

  private static Answer alone(Model model, AdapterShelf shelf, Visit visit) {
    Answer answer = new Answer(visit.newTokens);
    int vocabulary = model.describe().vocabulary();
    try (Sequence sequence = Sequence.create(model);
        Sampler sampler = visit.sampler();
        Adapter adapter = visit.adapter.isEmpty() ? null : shelf.take(visit.adapter)) {
      int[] tokens = visit.prompt;
      for (int i = 0; i < visit.newTokens; ++i) {
        answer.logits[i] = new float[vocabulary];
        model.step(Step.of(sequence, tokens).under(adapter).logits(answer.logits[i]));
        answer.tokens[i] = sampler.next(answer.logits[i]);
        tokens = new int[] {answer.tokens[i]};
      }
    }
    return answer;
  }

  private static int administrate(AdapterShelf shelf, AtomicBoolean done) {
    int changes = 0;
    while (!done.get()) {
      String name = ADAPTERS.get(1 + changes % (ADAPTERS.size() - 1));
      if (changes % 3 == 2) {
        shelf.unload(name);
      } else {
        shelf.replace(name);
      }
      ++changes;
    }
    return changes;
  }

  private static void check(boolean holds, String what) {
    if (!holds) {
      throw new IllegalStateException("does not hold: " + what);
    }
  }
}
