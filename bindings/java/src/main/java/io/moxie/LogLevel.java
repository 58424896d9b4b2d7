package io.moxie;

import io.moxie.internal.mox_log_level;

/** How much a log tells; each level includes those before it. */
public enum LogLevel {
  /** Something is not as asked, and the call went on. */
  WARNING(mox_log_level.MOX_LOG_WARNING),
  /** What was chosen. */
  INFO(mox_log_level.MOX_LOG_INFO),
  /** And why other choices were not taken. */
  VERBOSE(mox_log_level.MOX_LOG_VERBOSE);

  private final int code;

  LogLevel(int code) {
    this.code = code;
  }

  int code() {
    return code;
  }

  static LogLevel of(int code) {
    for (LogLevel value : values()) {
      if (value.code == code) {
        return value;
      }
    }
    throw new InternalException("the library answered with mox_log_level " + code + ", which this version does not know");
  }
}
