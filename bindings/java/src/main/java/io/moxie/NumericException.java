package io.moxie;

/** A NaN or an infinity where a router or a sampler has to decide. */
public final class NumericException extends MoxieException {
  private static final long serialVersionUID = 1L;

  NumericException(String message) {
    super(Status.NUMERIC, message, null);
  }
}
