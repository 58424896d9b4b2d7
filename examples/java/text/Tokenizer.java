package text;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * The tokenizer of the example models: byte pair encoding as Llama's, read from a tokenizer.json. Spaces are written
 * U+2581, and characters without a piece of their own as the bytes of their UTF-8.
 */
public final class Tokenizer {
  private static final String SPACE = "\u2581";

  private final Map<String, Integer> ids = new HashMap<>();
  private final Map<Integer, String> pieces = new HashMap<>();
  private final Map<List<String>, Integer> ranks = new HashMap<>();
  private final int begin;

  public Tokenizer(Path file) throws IOException {
    Object json = Json.read(Files.readString(file));
    ((Map<?, ?>) Json.at(json, "model", "vocab"))
        .forEach(
            (piece, id) -> {
              ids.put((String) piece, ((Double) id).intValue());
              pieces.put(((Double) id).intValue(), (String) piece);
            });
    for (Object merge : (List<?>) Json.at(json, "model", "merges")) {
      List<?> pair = (List<?>) merge;
      ranks.put(List.of((String) pair.get(0), (String) pair.get(1)), ranks.size());
    }
    begin = ids.get("<s>");
  }

  /** The ids of a text, after the one that begins a sequence. */
  public int[] encode(String text) {
    List<String> parts = new ArrayList<>();
    (SPACE + text.replace(" ", SPACE)).codePoints().forEach(point -> addCharacter(parts, Character.toString(point)));
    while (mergeBest(parts)) {}
    int[] result = new int[parts.size() + 1];
    result[0] = begin;
    for (int i = 0; i < parts.size(); ++i) {
      result[i + 1] = ids.get(parts.get(i));
    }
    return result;
  }

  private void addCharacter(List<String> parts, String character) {
    if (ids.containsKey(character)) {
      parts.add(character);
      return;
    }
    for (byte b : character.getBytes(StandardCharsets.UTF_8)) {
      parts.add(String.format("<0x%02X>", b & 0xFF));
    }
  }

  /** Joins the two neighbours that were learned first; false where no neighbours were. */
  private boolean mergeBest(List<String> parts) {
    int best = -1;
    int bestRank = Integer.MAX_VALUE;
    for (int i = 0; i + 1 < parts.size(); ++i) {
      int rank = ranks.getOrDefault(List.of(parts.get(i), parts.get(i + 1)), Integer.MAX_VALUE);
      if (rank < bestRank) {
        best = i;
        bestRank = rank;
      }
    }
    if (best < 0) {
      return false;
    }
    parts.set(best, parts.get(best) + parts.remove(best + 1));
    return true;
  }

  /** The text of ids; those that begin or end a sequence have none. */
  public String decode(int... tokens) {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    for (int token : tokens) {
      String piece = pieces.get(token);
      if (piece == null) {
        throw new IllegalArgumentException("token " + token + " is not one of " + pieces.size());
      }
      if (piece.matches("<0x[0-9A-F]{2}>")) {
        bytes.write(Integer.parseInt(piece.substring(3, 5), 16));
      } else if (token > begin + 1) {
        bytes.writeBytes(piece.replace(SPACE, " ").getBytes(StandardCharsets.UTF_8));
      }
    }
    String text = bytes.toString(StandardCharsets.UTF_8);
    return text.startsWith(" ") ? text.substring(1) : text;
  }
}
