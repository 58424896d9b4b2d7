package io.moxie.internal;

/** Which library serves which jar: the C interface only grows within a major version. */
final class Versions {
  private Versions() {}

  static boolean serves(String library, String wanted) {
    int[] has = numbers(library);
    int[] needs = numbers(wanted);
    if (has == null || needs == null || has[0] != needs[0]) {
      return false;
    }
    return has[1] != needs[1] ? has[1] > needs[1] : has[2] >= needs[2];
  }

  static String range(String wanted) {
    int[] needs = numbers(wanted);
    return needs == null ? wanted : wanted + " or newer, below " + (needs[0] + 1) + ".0.0";
  }

  private static int[] numbers(String version) {
    String[] parts = version.split("\\.");
    if (parts.length != 3) {
      return null;
    }
    int[] result = new int[3];
    for (int i = 0; i < 3; ++i) {
      try {
        result[i] = Integer.parseUnsignedInt(parts[i]);
      } catch (NumberFormatException problem) {
        return null;
      }
    }
    return result;
  }
}
