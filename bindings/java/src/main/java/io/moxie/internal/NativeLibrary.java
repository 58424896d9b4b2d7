package io.moxie.internal;

import io.moxie.NativeLibraryException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;

/**
 * Finds libmoxie and the glue between it and Java, loads both once, and checks that they fit this jar. What goes wrong
 * is said in one message, which every later use repeats.
 */
public final class NativeLibrary {
  /** A folder with libmoxie.so or libmoxie.so.0 that is used instead of the library in the jar. */
  public static final String PATH_PROPERTY = "moxie.library.path";

  private static final String LIBRARY = "libmoxie.so";
  private static final List<String> LIBRARY_NAMES = List.of(LIBRARY, "libmoxie.so.0");
  private static final String GLUE = "libmoxie_java.so";

  private static volatile boolean loaded;
  private static NativeLibraryException failure;
  private static Path library;

  private NativeLibrary() {}

  private static native byte[] libraryVersion();

  private static native byte[] glueVersion();

  /** Loads the libraries where that has not happened; the same exception each time where they cannot be. */
  public static void require() {
    if (!loaded) {
      load();
    }
  }

  /** The file that libmoxie was loaded from. */
  public static Path file() {
    require();
    return library;
  }

  private static synchronized void load() {
    if (loaded) {
      return;
    }
    if (failure == null) {
      try {
        find();
        loaded = true;
        return;
      } catch (NativeLibraryException problem) {
        failure = problem;
      }
    }
    // A new one each time: its stack trace tells who asked.
    throw new NativeLibraryException(failure.getMessage(), failure);
  }

  private static void find() {
    String given = System.getProperty(PATH_PROPERTY);
    if (given != null) {
      fromFolder(given);
      return;
    }
    BundledNatives bundled = bundled(platform());
    bundled.extracted(
        folder -> {
          open(folder.resolve(LIBRARY));
          open(folder.resolve(GLUE));
          check(folder.resolve(LIBRARY), folder.resolve(GLUE), bundled.version());
        },
        LIBRARY,
        GLUE);
  }

  private static void fromFolder(String given) {
    Path folder = Path.of(given).toAbsolutePath();
    String origin = " (from -D" + PATH_PROPERTY + ")";
    if (!Files.isDirectory(folder)) {
      throw new NativeLibraryException(folder + origin + " is not a folder; expected one that has " + LIBRARY, null);
    }
    Path found =
        LIBRARY_NAMES.stream()
            .map(folder::resolve)
            .filter(Files::exists)
            .findFirst()
            .orElseThrow(
                () ->
                    new NativeLibraryException(
                        folder + origin + " has neither " + String.join(" nor ", LIBRARY_NAMES), null));
    BundledNatives bundled = bundled(platform());
    open(found);
    Path glue = folder.resolve(GLUE);
    if (Files.exists(glue)) {
      open(glue);
      check(found, glue, bundled.version());
    } else {
      bundled.extracted(
          cache -> {
            open(cache.resolve(GLUE));
            check(found, cache.resolve(GLUE), bundled.version());
          },
          GLUE);
    }
  }

  private static String platform() {
    String system = System.getProperty("os.name");
    String processor = System.getProperty("os.arch");
    String name = system.toLowerCase(Locale.ROOT) + "-" + (processor.equals("amd64") ? "x86_64" : processor);
    if (!name.equals("linux-x86_64")) {
      throw new NativeLibraryException("Moxie runs on linux-x86_64; this virtual machine runs on " + name, null);
    }
    return name;
  }

  private static BundledNatives bundled(String platform) {
    try {
      return BundledNatives.of(platform);
    } catch (IOException problem) {
      throw new NativeLibraryException(
          "the jar's own list of its libraries cannot be read (" + problem + "); is the jar whole?", problem);
    }
  }

  private static void open(Path file) {
    try {
      // The virtual machine prints warnings of its own about files that are no libraries.
      requireElf(file);
      System.load(file.toString());
    } catch (IOException | UnsatisfiedLinkError problem) {
      String reason = problem.getMessage();
      String prefix = file + ": ";
      while (reason.startsWith(prefix)) {
        reason = reason.substring(prefix.length());
      }
      throw new NativeLibraryException(file + " cannot be loaded: " + reason, problem);
    }
  }

  private static void requireElf(Path file) throws IOException {
    byte[] magic = {0x7F, 'E', 'L', 'F'};
    try (InputStream stream = Files.newInputStream(file)) {
      if (!Arrays.equals(stream.readNBytes(magic.length), magic)) {
        throw new IOException("it is no shared library");
      }
    }
  }

  private static void check(Path file, Path glue, String wanted) {
    String glued = new String(glueVersion(), StandardCharsets.UTF_8);
    if (!glued.equals(wanted)) {
      throw new NativeLibraryException(glue + " is of version " + glued + "; this jar is of version " + wanted, null);
    }
    String found = new String(libraryVersion(), StandardCharsets.UTF_8);
    if (!Versions.serves(found, wanted)) {
      throw new NativeLibraryException(
          file + " is of version " + found + "; this jar needs " + Versions.range(wanted), null);
    }
    library = file;
  }
}
