package io.moxie.test;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;

/** What this process has of the system. */
record Usage(long malloc, long resident, long threads, long files) {
  /** Threads and files come and go with the virtual machine's own housekeeping. */
  private static final long A_FEW = 6;

  static Usage afterCollection() throws InterruptedException {
    for (int i = 0; i < 5; ++i) {
      System.gc();
      Thread.sleep(50);
    }
    try (Stream<Path> files = Files.list(Path.of("/proc/self/fd"))) {
      return new Usage(NativeTesting.mallocBytes(), status("VmRSS:") << 10, status("Threads:"), files.count());
    } catch (IOException problem) {
      throw new UncheckedIOException(problem);
    }
  }

  private static long status(String key) throws IOException {
    try (Stream<String> lines = Files.lines(Path.of("/proc/self/status"))) {
      String line = lines.filter(text -> text.startsWith(key)).findFirst().orElseThrow();
      return Long.parseLong(line.replaceAll("[^0-9]", ""));
    }
  }

  /**
   * Malloc's own count is exact, and bounded tightly. Resident memory has the Java heap and its compiler in it as well,
   * and is bounded by what a leak of everything would exceed.
   */
  static void assertNoGrowth(Usage before, long malloc, String what) throws InterruptedException {
    Usage after = afterCollection();
    String both = what + ": " + before + " became " + after;
    assertTrue(after.malloc - before.malloc < malloc, both);
    assertTrue(after.resident - before.resident < malloc + (96L << 20), both);
    assertTrue(after.threads - before.threads <= A_FEW, both);
    assertTrue(after.files - before.files <= A_FEW, both);
  }
}
