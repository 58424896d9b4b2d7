package io.moxie;

/**
 * Receives what a runtime has to say, a line at a time, on whichever thread noticed: it must be safe to call from
 * several threads at once. What it throws stops nothing: it is reported to the {@link System.Logger} named "io.moxie",
 * level ERROR, and the call goes on.
 */
@FunctionalInterface
public interface LogCallback {
  /**
   * Receives one line.
   *
   * @param level how much it matters
   * @param text the line, without a line break
   */
  void log(LogLevel level, String text);
}
