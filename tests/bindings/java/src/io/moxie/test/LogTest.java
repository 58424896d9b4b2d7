package io.moxie.test;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.moxie.LogCallback;
import io.moxie.LogLevel;
import io.moxie.Moxie;
import io.moxie.Runtime;
import io.moxie.RuntimeOptions;
import io.moxie.internal.LogHook;
import java.lang.ref.Reference;
import java.lang.ref.WeakReference;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.logging.Handler;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import org.junit.jupiter.api.Test;

class LogTest {
  /** Collects what is reported to the logger "io.moxie". */
  private static final class Reports extends Handler implements AutoCloseable {
    final List<LogRecord> records = new CopyOnWriteArrayList<>();
    private final Logger logger = Logger.getLogger("io.moxie");

    Reports() {
      logger.setUseParentHandlers(false);
      logger.addHandler(this);
    }

    @Override
    public void publish(LogRecord record) {
      records.add(record);
    }

    @Override
    public void flush() {}

    @Override
    public void close() {
      logger.removeHandler(this);
      logger.setUseParentHandlers(true);
    }
  }

  @Test
  void linesArrive() {
    List<String> lines = new CopyOnWriteArrayList<>();
    List<LogLevel> levels = new CopyOnWriteArrayList<>();
    RuntimeOptions options =
        new RuntimeOptions()
            .log(
                LogLevel.VERBOSE,
                (level, text) -> {
                  levels.add(level);
                  lines.add(text);
                });
    try (Runtime runtime = Runtime.create(options)) {
      assertTrue(lines.stream().anyMatch(line -> line.contains(runtime.describe().kernelF32())), lines.toString());
      assertTrue(levels.contains(LogLevel.VERBOSE));
    }
    int count = lines.size();
    Runtime.create().close();
    assertEquals(count, lines.size(), "a runtime without a log is silent");
  }

  @Test
  void aCallbackThatThrowsStopsNothing() {
    try (Reports reports = new Reports()) {
      AtomicInteger calls = new AtomicInteger();
      RuntimeOptions options =
          new RuntimeOptions()
              .log(
                  LogLevel.VERBOSE,
                  (level, text) -> {
                    if (calls.getAndIncrement() % 2 == 0) {
                      throw new IllegalStateException("thrown by the callback");
                    }
                    throw new StackOverflowError("and an error");
                  });
      try (Runtime runtime = Runtime.create(options)) {
        assertTrue(runtime.describe().threads() > 0);
      }
      assertTrue(calls.get() >= 2);
      assertEquals(calls.get(), reports.records.size());
      assertEquals("thrown by the callback", reports.records.get(0).getThrown().getMessage());
    }
  }

  @Test
  void linesMayComeFromThreadsThatJavaHasNeverSeen() {
    Moxie.version();
    List<String> lines = new CopyOnWriteArrayList<>();
    LogHook hook =
        new LogHook(
            (level, text) -> {
              lines.add(level + " " + text + " " + Thread.currentThread().isDaemon());
              if (lines.size() == 2) {
                throw new IllegalStateException("on a foreign thread");
              }
            });
    try (Reports reports = new Reports()) {
      for (int i = 0; i < 3; ++i) {
        NativeTesting.logFromForeignThread(LogHook.callback(), hook.payload());
      }
      assertEquals(1, reports.records.size());
    }
    String line = "1 from afar \uD83D\uDE00 true";
    assertEquals(List.of(line, line, line), lines);
    Reference.reachabilityFence(hook);
  }

  @Test
  void aLateLineFindsNobody() throws InterruptedException {
    List<String> lines = new CopyOnWriteArrayList<>();
    Moxie.version();
    LogHook hook = new LogHook((level, text) -> lines.add(text));
    long payload = hook.payload();
    WeakReference<LogHook> gone = new WeakReference<>(hook);
    hook = null;
    for (int i = 0; i < 100 && gone.get() != null; ++i) {
      System.gc();
      Thread.sleep(10);
    }
    NativeTesting.logFromForeignThread(LogHook.callback(), payload);
    assertTrue(lines.isEmpty());
    NativeTesting.logFromForeignThread(LogHook.callback(), 1L << 40);
  }

  private static final class Cycle implements LogCallback {
    private Runtime runtime;

    @Override
    public void log(LogLevel level, String text) {
      runtime.describe();
    }
  }

  private static WeakReference<Runtime> runtimeThatItsCallbackHolds() {
    Cycle callback = new Cycle();
    callback.runtime = Runtime.create(new RuntimeOptions().log(LogLevel.WARNING, callback));
    return new WeakReference<>(callback.runtime);
  }

  @Test
  void aCallbackThatHoldsItsRuntimeKeepsNeitherAlive() throws InterruptedException {
    WeakReference<Runtime> gone = runtimeThatItsCallbackHolds();
    for (int i = 0; i < 100 && gone.get() != null; ++i) {
      System.gc();
      Thread.sleep(10);
    }
    assertNull(gone.get());
  }
}
