package io.moxie;

/** A file whose contents are damaged, hostile or contradictory. */
public final class InvalidFileException extends MoxieException {
  private static final long serialVersionUID = 1L;

  InvalidFileException(String message) {
    super(Status.INVALID_FILE, message, null);
  }
}
