package io.moxie;

import io.moxie.internal.Memory;
import io.moxie.internal.NativeLibrary;
import io.moxie.internal.mox_status;
import io.moxie.internal.raw;
import java.util.function.Function;

/** The classes of failure, and the exception that stands for each. */
public enum Status {
  /** The arguments do not fit together, or with the object. */
  INVALID_ARGUMENT(mox_status.MOX_INVALID_ARGUMENT, InvalidArgumentException::new),
  /** A file's contents are damaged, hostile or contradictory. */
  INVALID_FILE(mox_status.MOX_INVALID_FILE, InvalidFileException::new),
  /** No such file, folder, layer or tensor. */
  NOT_FOUND(mox_status.MOX_NOT_FOUND, NotFoundException::new),
  /** Well formed, but this library, this build or this machine cannot do it. */
  UNSUPPORTED(mox_status.MOX_UNSUPPORTED, UnsupportedException::new),
  /** No memory outside the Java heap. */
  OUT_OF_MEMORY(mox_status.MOX_OUT_OF_MEMORY, OutOfNativeMemoryException::new),
  /** A NaN or infinity where a decision is to be made. */
  NUMERIC(mox_status.MOX_NUMERIC, NumericException::new),
  /** The operating system refused to read or write. */
  IO(mox_status.MOX_IO, FileAccessException::new),
  /** A defect of the library. */
  INTERNAL(mox_status.MOX_INTERNAL, InternalException::new);

  private final int code;
  private final Function<String, MoxieException> exception;

  Status(int code, Function<String, MoxieException> exception) {
    this.code = code;
    this.exception = exception;
  }

  /**
   * Returns the library's own name for it, "invalid argument" for example.
   *
   * @return the name
   */
  public String label() {
    NativeLibrary.require();
    return Memory.text(raw.mox_status_name(code));
  }

  /**
   * Returns a new exception of this class of failure.
   *
   * @param message what was found and what was expected
   * @return the exception, to be thrown
   */
  public MoxieException exception(String message) {
    return exception.apply(message);
  }

  /**
   * Returns the class of failure that the C library has this number for.
   *
   * @param code a {@code mox_status} that is not success
   * @return the class of failure; {@link #INTERNAL} for a number of a newer library
   */
  public static Status of(int code) {
    for (Status status : values()) {
      if (status.code == code) {
        return status;
      }
    }
    return INTERNAL;
  }
}
