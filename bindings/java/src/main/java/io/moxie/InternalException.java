package io.moxie;

/** A defect of Moxie. Please report it with its message. */
public final class InternalException extends MoxieException {
  private static final long serialVersionUID = 1L;

  InternalException(String message) {
    super(Status.INTERNAL, message, null);
  }
}
