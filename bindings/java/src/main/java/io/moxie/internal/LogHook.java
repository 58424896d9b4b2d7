package io.moxie.internal;

import java.lang.ref.WeakReference;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;

/**
 * Where the lines of one runtime's log go. Everything made with the runtime holds it, and the C library knows it by a
 * number only: a line that comes when nobody holds it any more is dropped.
 */
public final class LogHook {
  /** Receives a line. */
  public interface Sink {
    void line(int level, String text);
  }

  private static final Map<Long, WeakReference<LogHook>> HOOKS = new ConcurrentHashMap<>();
  private static final AtomicLong NEXT = new AtomicLong(1);

  private final long number = NEXT.getAndIncrement();
  private final Sink sink;

  public LogHook(Sink sink) {
    this.sink = sink;
    HOOKS.put(number, new WeakReference<>(this));
    long mine = number;
    NativeHandle.CLEANER.register(this, () -> HOOKS.remove(mine));
  }

  /** What the library hands back with each line. */
  public long payload() {
    return number;
  }

  /** The C function that brings lines here. */
  public static native long callback();

  /** Called from C, on any thread. Nothing may leave it: there is C below. */
  static void dispatch(long payload, int level, byte[] text) {
    try {
      WeakReference<LogHook> reference = HOOKS.get(payload);
      LogHook hook = reference == null ? null : reference.get();
      if (hook != null) {
        hook.sink.line(level, new String(text, StandardCharsets.UTF_8));
      }
    } catch (Throwable thrown) {
      report(thrown);
    }
  }

  private static void report(Throwable thrown) {
    try {
      System.getLogger("io.moxie").log(System.Logger.Level.ERROR, "the log callback threw", thrown);
    } catch (Throwable again) {
      // There is nobody left to tell.
    }
  }
}
