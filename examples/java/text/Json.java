package text;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Reads JSON into maps, lists, strings, doubles, booleans and null. */
public final class Json {
  private final String text;
  private int at;

  private Json(String text) {
    this.text = text;
  }

  public static Object read(String text) {
    Json json = new Json(text);
    Object value = json.value();
    json.skipSpace();
    if (json.at != text.length()) {
      throw json.failure("the end");
    }
    return value;
  }

  /** Goes down through objects: {@code Json.at(root, "model", "vocab")}. */
  public static Object at(Object value, String... keys) {
    for (String key : keys) {
      if (!(value instanceof Map<?, ?> map) || !map.containsKey(key)) {
        throw new IllegalArgumentException("there is no \"" + key + "\" of " + String.join(".", keys));
      }
      value = map.get(key);
    }
    return value;
  }

  private Object value() {
    skipSpace();
    return switch (peek()) {
      case '{' -> object();
      case '[' -> array();
      case '"' -> string();
      case 't' -> word("true", true);
      case 'f' -> word("false", false);
      case 'n' -> word("null", null);
      default -> number();
    };
  }

  private Map<String, Object> object() {
    Map<String, Object> result = new LinkedHashMap<>();
    expect('{');
    if (next('}')) {
      return result;
    }
    do {
      skipSpace();
      String key = string();
      skipSpace();
      expect(':');
      result.put(key, value());
    } while (next(','));
    expect('}');
    return result;
  }

  private List<Object> array() {
    List<Object> result = new ArrayList<>();
    expect('[');
    if (next(']')) {
      return result;
    }
    do {
      result.add(value());
    } while (next(','));
    expect(']');
    return result;
  }

  private String string() {
    StringBuilder result = new StringBuilder();
    expect('"');
    while (peek() != '"') {
      char c = text.charAt(at++);
      result.append(c == '\\' ? escaped() : c);
    }
    expect('"');
    return result.toString();
  }

  private char escaped() {
    char c = peek();
    ++at;
    return switch (c) {
      case 'b' -> '\b';
      case 'f' -> '\f';
      case 'n' -> '\n';
      case 'r' -> '\r';
      case 't' -> '\t';
      case 'u' -> {
        at += 4;
        if (at > text.length()) {
          throw failure("four digits");
        }
        yield (char) Integer.parseInt(text.substring(at - 4, at), 16);
      }
      default -> c;
    };
  }

  private Object word(String word, Object meaning) {
    if (!text.startsWith(word, at)) {
      throw failure(word);
    }
    at += word.length();
    return meaning;
  }

  private Double number() {
    int begin = at;
    while (at < text.length() && "+-.0123456789eE".indexOf(text.charAt(at)) >= 0) {
      ++at;
    }
    if (begin == at) {
      throw failure("a value");
    }
    return Double.valueOf(text.substring(begin, at));
  }

  private boolean next(char wanted) {
    skipSpace();
    if (peek() != wanted) {
      return false;
    }
    ++at;
    return true;
  }

  private void expect(char wanted) {
    if (peek() != wanted) {
      throw failure("'" + wanted + "'");
    }
    ++at;
  }

  private char peek() {
    if (at >= text.length()) {
      throw failure("more");
    }
    return text.charAt(at);
  }

  private void skipSpace() {
    while (at < text.length() && Character.isWhitespace(text.charAt(at))) {
      ++at;
    }
  }

  private IllegalArgumentException failure(String expected) {
    return new IllegalArgumentException("JSON, character " + at + ": expected " + expected);
  }
}
