package io.moxie.test;

/** What the tests need that neither Java nor Moxie has. */
final class NativeTesting {
  static {
    System.load(Fixtures.path("moxie.test.native").toString());
  }

  private NativeTesting() {}

  /** Calls a log callback from a new thread that the virtual machine does not know, and waits for it. */
  static native void logFromForeignThread(long callback, long payload);

  /** Bytes that malloc has given out, in all arenas and by mapping. */
  static native long mallocBytes();
}
