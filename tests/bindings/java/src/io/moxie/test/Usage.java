package io.moxie.test;

import static org.junit.jupiter.api.Assertions.fail;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.ToLongFunction;
import java.util.stream.Stream;

/** What this process has of the system. Resident memory is what belongs to no file, the Java heap with it. */
record Usage(long malloc, long resident, long mappedFiles, long threads, long openFiles) {
  private static final int JUDGED = 5;
  private static final int MOST = 12;

  /** How much of each kind a window may grow: malloc's count is exact, and the Java heap is not. */
  private static final long MALLOC = 64 << 10;
  private static final long RESIDENT = 2 << 20;
  private static final long MAPPED = 1 << 20;

  /**
   * What leaks grows in every window. What the virtual machine's heap and compiler take and give back, they take in some of
   * them: so the middle one of the last five is judged, again while it is too large, for compiling comes to an end.
   */
  static void assertNoGrowth(int times, Runnable each) throws InterruptedException {
    List<Usage> growth = new ArrayList<>();
    Usage before = afterCollection();
    while (growth.size() < MOST) {
      for (int i = 0; i < times; ++i) {
        each.run();
      }
      Usage after = afterCollection();
      growth.add(after.minus(before));
      before = after;
      if (growth.size() >= JUDGED
          && middle(growth, Usage::malloc) < MALLOC
          && middle(growth, Usage::resident) < RESIDENT
          && middle(growth, Usage::mappedFiles) < MAPPED
          && middle(growth, Usage::threads) < 1
          && middle(growth, Usage::openFiles) < 1) {
        return;
      }
    }
    fail("most windows grew: " + growth);
  }

  private static long middle(List<Usage> growth, ToLongFunction<Usage> what) {
    return growth.subList(growth.size() - JUDGED, growth.size()).stream()
        .mapToLong(what)
        .sorted()
        .toArray()[JUDGED / 2];
  }

  private Usage minus(Usage before) {
    return new Usage(
        malloc - before.malloc,
        resident - before.resident,
        mappedFiles - before.mappedFiles,
        threads - before.threads,
        openFiles - before.openFiles);
  }

  private static Usage afterCollection() throws InterruptedException {
    for (int i = 0; i < 5; ++i) {
      System.gc();
      Thread.sleep(50);
    }
    try (Stream<Path> files = Files.list(Path.of("/proc/self/fd"))) {
      return new Usage(
          NativeTesting.mallocBytes(),
          status("RssAnon:") + status("VmSwap:") << 10,
          mapped(),
          status("Threads:"),
          files.count());
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

  /** A line is "from-to rights offset device inode path". */
  private static long mapped() throws IOException {
    try (Stream<String> lines = Files.lines(Path.of("/proc/self/maps"))) {
      return lines
          .filter(line -> line.contains("/"))
          .map(line -> line.substring(0, line.indexOf(' ')).split("-"))
          .mapToLong(ends -> Long.parseUnsignedLong(ends[1], 16) - Long.parseUnsignedLong(ends[0], 16))
          .sum();
    }
  }
}
