package io.moxie;

/** There is no such file, folder, layer or tensor. */
public final class NotFoundException extends MoxieException {
  private static final long serialVersionUID = 1L;

  NotFoundException(String message) {
    super(Status.NOT_FOUND, message, null);
  }
}
