package io.moxie;

import io.moxie.internal.Memory;
import io.moxie.internal.NativeLibrary;
import io.moxie.internal.raw;
import java.nio.file.Path;

/** The C library behind this package. */
public final class Moxie {
  private Moxie() {}

  /**
   * Returns the version of the C library that is loaded, "MAJOR.MINOR.PATCH". Loads it where that has not happened yet.
   *
   * @return the version
   * @throws NativeLibraryException where it cannot be loaded
   */
  public static String version() {
    NativeLibrary.require();
    return Memory.text(raw.mox_version());
  }

  /**
   * Returns the file that the C library was loaded from.
   *
   * @return the file
   * @throws NativeLibraryException where it cannot be loaded
   */
  public static Path libraryFile() {
    return NativeLibrary.file();
  }
}
