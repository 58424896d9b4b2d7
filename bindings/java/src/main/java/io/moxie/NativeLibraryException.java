package io.moxie;

/**
 * The C library is missing, cannot be loaded, or is of a version that does not fit this jar. The message names the file
 * that was tried. Every use of Moxie throws it again.
 */
public final class NativeLibraryException extends MoxieException {
  private static final long serialVersionUID = 1L;

  /**
   * Creates the exception.
   *
   * @param message what was looked for, where, and what was found
   * @param cause what the virtual machine or the system said; may be null
   */
  public NativeLibraryException(String message, Throwable cause) {
    super(Status.UNSUPPORTED, message, cause);
  }
}
