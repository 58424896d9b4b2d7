package io.moxie;

/** The operating system refused to read or write. */
public final class FileAccessException extends MoxieException {
  private static final long serialVersionUID = 1L;

  FileAccessException(String message) {
    super(Status.IO, message, null);
  }
}
