package io.moxie;

/** Arguments that do not fit together, or with the object they were given to. */
public final class InvalidArgumentException extends MoxieException {
  private static final long serialVersionUID = 1L;

  InvalidArgumentException(String message) {
    super(Status.INVALID_ARGUMENT, message, null);
  }
}
