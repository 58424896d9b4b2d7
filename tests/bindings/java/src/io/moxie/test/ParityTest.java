package io.moxie.test;

import static io.moxie.test.Fixtures.assertSameBits;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.moxie.Adapter;
import io.moxie.Batch;
import io.moxie.DType;
import io.moxie.FeedForward;
import io.moxie.LoadOptions;
import io.moxie.Matrix;
import io.moxie.Model;
import io.moxie.Runtime;
import io.moxie.Sequence;
import io.moxie.Step;
import io.moxie.Weights;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

/** What the C library recorded, computed again through Java: the same bits. */
class ParityTest {
  @TestFactory
  List<DynamicTest> everyRecordedCase() throws IOException {
    String folder = System.getenv("MOXIE_RECORDED_CASES");
    assertNotNull(folder, "MOXIE_RECORDED_CASES must name the folder that record_cases wrote");
    List<Path> cases;
    try (Stream<Path> found = Files.list(Path.of(folder))) {
      cases = found.filter(path -> Files.exists(path.resolve("plan.txt"))).sorted().toList();
    }
    List<Plan> plans = new ArrayList<>();
    for (Path path : cases) {
      plans.add(Plan.read(path));
    }
    for (String kind : List.of("feed_forward", "model")) {
      assertTrue(plans.stream().anyMatch(plan -> plan.one("kind").equals(kind)), folder + " has no case of " + kind);
    }
    return plans.stream().map(plan -> DynamicTest.dynamicTest(plan.name(), plan::check)).toList();
  }

  /** A plan.txt: lines by their first word. */
  private record Plan(Path folder, Map<String, List<String[]>> lines) {
    static Plan read(Path folder) throws IOException {
      Map<String, List<String[]>> lines = new TreeMap<>();
      for (String line : Files.readAllLines(folder.resolve("plan.txt"))) {
        String[] words = line.split(" ");
        lines.computeIfAbsent(words[0], key -> new ArrayList<>()).add(Arrays.copyOfRange(words, 1, words.length));
      }
      return new Plan(folder, lines);
    }

    String name() {
      return folder.getFileName().toString();
    }

    List<String[]> all(String key) {
      return lines.getOrDefault(key, List.of());
    }

    String one(String key) {
      assertEquals(1, all(key).size(), name() + ": " + key);
      return all(key).get(0)[0];
    }

    int number(String key) {
      return Integer.parseInt(one(key));
    }

    LoadOptions load() {
      return new LoadOptions().weights(Weights.valueOf(one("weights").toUpperCase(Locale.ROOT)));
    }

    float[] floats(String file) throws IOException {
      ByteBuffer bytes = ByteBuffer.wrap(Files.readAllBytes(folder.resolve(file))).order(ByteOrder.LITTLE_ENDIAN);
      float[] result = new float[bytes.remaining() / Float.BYTES];
      bytes.asFloatBuffer().get(result);
      assertFalse(result.length == 0, file + " is empty");
      return result;
    }

    void check() throws IOException {
      switch (one("kind")) {
        case "feed_forward" -> checkFeedForward();
        case "model" -> checkModel();
        default -> throw new IllegalArgumentException(name() + ": kind " + one("kind"));
      }
    }

    private void checkFeedForward() throws IOException {
      int rows = number("rows");
      int hidden = number("hidden");
      Map<String, Adapter> adapters = new TreeMap<>();
      try (Runtime runtime = Runtime.create();
          FeedForward feedForward = FeedForward.open(runtime, Path.of(one("base")), number("layer"), load())) {
        all("adapter").forEach(words -> adapters.put(words[0], Adapter.open(feedForward, Path.of(words[1]))));
        float[] expected = floats("output.bin");
        float[] input = floats("input.bin");
        float[] output = new float[rows * hidden];
        Matrix direct = Matrix.allocate(DType.F32, rows, hidden);
        for (Matrix results : List.of(Matrix.of(output, rows, hidden), direct)) {
          Batch batch = new Batch(Matrix.of(input, rows, hidden), results);
          for (String[] words : all("range")) {
            batch.range(adapter(adapters, words[2]), Integer.parseInt(words[0]), Integer.parseInt(words[1]));
          }
          feedForward.run(batch);
        }
        assertSameBits(expected, output, name());
        for (int row = 0; row < rows; ++row) {
          assertSameBits(
              Arrays.copyOfRange(expected, row * hidden, (row + 1) * hidden), direct.row(row), name() + " row " + row);
        }
      } finally {
        adapters.values().forEach(Adapter::close);
      }
    }

    private void checkModel() throws IOException {
      int vocabulary = number("vocabulary");
      Map<String, Adapter> adapters = new TreeMap<>();
      List<Sequence> sequences = new ArrayList<>();
      try (Runtime runtime = Runtime.create();
          Model model = Model.open(runtime, Path.of(one("base")), load())) {
        all("adapter").forEach(words -> adapters.put(words[0], Adapter.open(model, Path.of(words[1]))));
        assertEquals(vocabulary, model.describe().vocabulary());
        float[] expected = floats("logits.bin");
        float[] logits = new float[expected.length];
        List<Step> steps = new ArrayList<>();
        int rows = 0;
        for (String[] words : all("sequence")) {
          Sequence sequence = Sequence.create(model);
          sequences.add(sequence);
          int[] tokens = Arrays.stream(words).skip(1).mapToInt(Integer::parseInt).toArray();
          Matrix mine = Matrix.of(logits, rows * vocabulary, tokens.length, vocabulary, vocabulary);
          steps.add(Step.of(sequence, tokens).under(adapter(adapters, words[0])).logits(mine));
          rows += tokens.length;
        }
        assertEquals(expected.length, rows * vocabulary);
        model.step(steps);
        assertSameBits(expected, logits, name());
      } finally {
        sequences.forEach(Sequence::close);
        adapters.values().forEach(Adapter::close);
      }
    }

    private Adapter adapter(Map<String, Adapter> adapters, String name) {
      if (name.equals("-")) {
        return null;
      }
      return assertPresent(adapters.get(name), this.name() + ": adapter " + name);
    }

    private static Adapter assertPresent(Adapter adapter, String what) {
      assertNotNull(adapter, what);
      return adapter;
    }
  }
}
