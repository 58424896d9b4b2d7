package io.moxie;

/** There is no memory left outside the Java heap. */
public final class OutOfNativeMemoryException extends MoxieException {
  private static final long serialVersionUID = 1L;

  OutOfNativeMemoryException(String message) {
    super(Status.OUT_OF_MEMORY, message, null);
  }
}
