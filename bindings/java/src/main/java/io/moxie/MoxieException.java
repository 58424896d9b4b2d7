package io.moxie;

import java.util.Objects;

/**
 * A call that failed. There is one subclass for each {@link Status}; the message is the library's own and names what
 * was found and what was expected. A call that fails has changed nothing: outputs are untouched, no sequence has moved.
 */
public abstract class MoxieException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  /** The class of the failure. */
  private final Status status;

  MoxieException(Status status, String message, Throwable cause) {
    super(message, cause);
    this.status = Objects.requireNonNull(status);
  }

  /**
   * Returns the class of the failure.
   *
   * @return the class of the failure
   */
  public Status status() {
    return status;
  }
}
