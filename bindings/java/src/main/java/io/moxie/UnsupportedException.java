package io.moxie;

/** Well formed, but this library, this build or this machine cannot do it. */
public final class UnsupportedException extends MoxieException {
  private static final long serialVersionUID = 1L;

  UnsupportedException(String message) {
    super(Status.UNSUPPORTED, message, null);
  }
}
