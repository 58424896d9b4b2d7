package quickstart;

import io.moxie.Adapter;
import io.moxie.Generation;
import io.moxie.LoadOptions;
import io.moxie.Model;
import io.moxie.Runtime;
import io.moxie.Sampler;
import io.moxie.Sequence;
import io.moxie.Step;
import io.moxie.Weights;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import text.Json;
import text.Tokenizer;

/**
 * One model, four adapters and none, one batch: the same prompt continued five ways in the same steps, and printed. Each
 * continuation is compared with the one generated alone, and with what the reference implementation wrote.
 *
 * <pre>quickstart.Quickstart [MODELS]     default: examples/models</pre>
 */
public final class Quickstart {
  private static final String PROMPT = "My fellow Americans, tonight";
  private static final List<String> ADAPTERS =
      List.of("kjv-mixlora", "melville-loramoe", "presidents-mola", "jargon-lora");
  private static final int NEW_TOKENS = 32;

  private Quickstart() {}

  public static void main(String[] arguments) throws IOException {
    Path models = Path.of(arguments.length > 0 ? arguments[0] : "examples/models");
    Tokenizer tokenizer = new Tokenizer(models.resolve("tokenizer/tokenizer.json"));
    int[] prompt = tokenizer.encode(PROMPT);
    Object reference = Json.read(Files.readString(models.resolve("reference.json")));
    checkTokenizer(tokenizer, reference);

    // float32, as the reference was measured; the default takes weights as they are stored.
    LoadOptions load = new LoadOptions().weights(Weights.F32);
    try (Runtime runtime = Runtime.create();
        Model model = Model.open(runtime, models.resolve("tiny-llama"), load);
        Sampler greedy = Sampler.greedy()) {
      List<Tenant> tenants = new ArrayList<>();
      try {
        tenants.add(new Tenant("tiny-llama", null, Sequence.create(model)));
        for (String name : ADAPTERS) {
          tenants.add(new Tenant(name, Adapter.open(model, models.resolve(name)), Sequence.create(model)));
        }
        continueTogether(model, greedy, prompt, tenants);

        for (Tenant tenant : tenants) {
          System.out.println("[" + tenant.name + "]");
          System.out.println(tokenizer.decode(joined(prompt, tenant.tokens)) + "\n");
          check(Arrays.equals(tenant.tokens, alone(model, prompt, tenant.adapter)), tenant.name + " alone");
          check(Arrays.equals(tenant.tokens, referenceTokens(reference, tenant.name)), tenant.name + " of the reference");
        }
      } finally {
        tenants.forEach(Tenant::close);
      }
    }
    System.out.println("together, alone, and in the reference: the same tokens");
  }

  /** Every step moves all sequences on, each under its own adapter: the prompts first, then a token each. */
  private static void continueTogether(Model model, Sampler sampler, int[] prompt, List<Tenant> tenants) {
    int vocabulary = model.describe().vocabulary();
    float[][] logits = new float[tenants.size()][vocabulary];
    for (int round = 0; round < NEW_TOKENS; ++round) {
      List<Step> steps = new ArrayList<>();
      for (int i = 0; i < tenants.size(); ++i) {
        Tenant tenant = tenants.get(i);
        int[] tokens = round == 0 ? prompt : new int[] {tenant.tokens[round - 1]};
        steps.add(Step.of(tenant.sequence, tokens).under(tenant.adapter).logits(logits[i]));
      }
      model.step(steps);
      for (int i = 0; i < tenants.size(); ++i) {
        tenants.get(i).tokens[round] = sampler.next(logits[i]);
      }
    }
  }

  /** The simple way, for one sequence. */
  private static int[] alone(Model model, int[] prompt, Adapter adapter) {
    try (Sequence sequence = Sequence.create(model)) {
      return Generation.of(model, sequence, NEW_TOKENS, prompt).under(adapter).toArray();
    }
  }

  private static void checkTokenizer(Tokenizer tokenizer, Object reference) {
    for (Object text : ((Map<?, ?>) Json.at(reference, "models", "tiny-llama", "greedy")).values()) {
      for (Object continuation : (List<?>) text) {
        String prompt = (String) Json.at(continuation, "prompt");
        int[] expected = ids(Json.at(continuation, "prompt_ids"));
        check(Arrays.equals(tokenizer.encode(prompt), expected), "the reference for: " + prompt);
        check(tokenizer.decode(expected).equals(prompt), "what was encoded: " + prompt);
      }
    }
  }

  private static int[] ids(Object list) {
    return ((List<?>) list).stream().mapToInt(id -> ((Double) id).intValue()).toArray();
  }

  private static int[] joined(int[] first, int[] second) {
    return IntStream.concat(Arrays.stream(first), Arrays.stream(second)).toArray();
  }

  private static int[] referenceTokens(Object reference, String name) {
    List<?> continuations = (List<?>) Json.at(reference, "models", name, "greedy", "sotu");
    for (Object continuation : continuations) {
      if (Json.at(continuation, "prompt").equals(PROMPT)) {
        return Arrays.copyOf(ids(Json.at(continuation, "ids")), NEW_TOKENS);
      }
    }
    throw new IllegalStateException("the reference has no continuation of: " + PROMPT);
  }

  private static void check(boolean holds, String what) {
    if (!holds) {
      throw new IllegalStateException("not the tokens of " + what);
    }
  }

  private record Tenant(String name, Adapter adapter, Sequence sequence, int[] tokens) {
    Tenant(String name, Adapter adapter, Sequence sequence) {
      this(name, adapter, sequence, new int[NEW_TOKENS]);
    }

    void close() {
      sequence.close();
      if (adapter != null) {
        adapter.close();
      }
    }
  }
}
