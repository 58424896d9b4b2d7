package io.moxie.internal;

import io.moxie.NativeLibraryException;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.FileAttribute;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.DigestInputStream;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.Properties;
import java.util.Set;
import java.util.function.Consumer;

/**
 * The libraries inside the jar, and the folder they are copied to so that the system can load them: one for each
 * version, written once, checked at every start.
 */
final class BundledNatives {
  /** The folder that has the copies; default: moxie in the user's cache folder. */
  static final String CACHE_PROPERTY = "moxie.cache.dir";

  private static final long LOCK_PATIENCE_MS = 60_000;

  private final String resources;
  private final Properties list;

  private BundledNatives(String resources, Properties list) {
    this.resources = resources;
    this.list = list;
  }

  static BundledNatives of(String platform) throws IOException {
    String resources = "/natives/" + platform + "/";
    Properties list = new Properties();
    try (InputStream stream = resource(resources + "natives.properties")) {
      list.load(stream);
    }
    if (list.getProperty("version") == null) {
      throw new IOException("natives.properties has no version");
    }
    return new BundledNatives(resources, list);
  }

  /** The version of the jar. */
  String version() {
    return list.getProperty("version");
  }

  /**
   * Copies the named libraries to the cache, where they are not there already, and lets {@code user} load them before
   * another process may replace them.
   */
  void extracted(Consumer<Path> user, String... names) {
    Path folder = cache().resolve("java-" + version());
    try {
      Files.createDirectories(folder, onlyForTheOwner("rwx------"));
      try (FileChannel channel =
              FileChannel.open(
                  folder.resolve(".lock"),
                  Set.of(StandardOpenOption.CREATE, StandardOpenOption.WRITE),
                  onlyForTheOwner("rw-------"));
          FileLock lock = locked(channel)) {
        assert lock.isValid();
        for (String name : names) {
          extract(name, folder);
        }
        user.accept(folder);
      }
    } catch (IOException problem) {
      throw new NativeLibraryException(
          "the libraries of the jar cannot be copied to "
              + folder
              + ": "
              + problem
              + "; give a folder that can be written with -D"
              + CACHE_PROPERTY
              + ", or one that has the libraries with -D"
              + NativeLibrary.PATH_PROPERTY,
          problem);
    }
  }

  private static Path cache() {
    String given = System.getProperty(CACHE_PROPERTY);
    if (given != null && !given.isEmpty()) {
      return Path.of(given).toAbsolutePath();
    }
    String xdg = System.getenv("XDG_CACHE_HOME");
    if (xdg != null && Path.of(xdg).isAbsolute()) {
      return Path.of(xdg, "moxie");
    }
    // Where the XDG rules look; user.home is what the password database says, and may be another folder.
    String home = System.getenv("HOME");
    String folder = home != null && !home.isEmpty() ? home : System.getProperty("user.home");
    return Path.of(folder, ".cache", "moxie").toAbsolutePath();
  }

  private static FileAttribute<Set<PosixFilePermission>> onlyForTheOwner(String permissions) {
    return PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString(permissions));
  }

  /** Waits for other processes, and for another class loader of this one. */
  private static FileLock locked(FileChannel channel) throws IOException {
    long patience = System.currentTimeMillis() + LOCK_PATIENCE_MS;
    while (true) {
      try {
        return channel.lock();
      } catch (OverlappingFileLockException taken) {
        if (System.currentTimeMillis() > patience) {
          throw new IOException("the lock is taken by another class loader of this process", taken);
        }
        try {
          Thread.sleep(20);
        } catch (InterruptedException interrupted) {
          Thread.currentThread().interrupt();
          throw new IOException("interrupted while waiting for the lock", interrupted);
        }
      }
    }
  }

  private void extract(String name, Path folder) throws IOException {
    String expected = list.getProperty(name);
    if (expected == null) {
      throw new FileNotFoundException("the jar has no " + name);
    }
    Path file = folder.resolve(name);
    if (Files.isRegularFile(file) && digest(file).equals(expected)) {
      return;
    }
    // A start that is cut short leaves this one file, which the next start writes anew.
    Path part = folder.resolve(name + ".part");
    try (InputStream stream = resource(resources + name)) {
      Files.copy(stream, part, StandardCopyOption.REPLACE_EXISTING);
    }
    String found = digest(part);
    if (!found.equals(expected)) {
      Files.delete(part);
      throw new IOException(name + " has SHA-256 " + found + "; the jar's list says " + expected);
    }
    try (FileChannel channel = FileChannel.open(part, StandardOpenOption.WRITE)) {
      channel.force(true);
    }
    Files.move(part, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
  }

  private static InputStream resource(String path) throws IOException {
    InputStream stream = BundledNatives.class.getResourceAsStream(path);
    if (stream == null) {
      throw new FileNotFoundException("the jar has no " + path);
    }
    return stream;
  }

  private static String digest(Path file) throws IOException {
    try (InputStream stream = Files.newInputStream(file)) {
      MessageDigest digest = MessageDigest.getInstance("SHA-256");
      try (DigestInputStream reader = new DigestInputStream(stream, digest)) {
        reader.transferTo(OutputStream.nullOutputStream());
      }
      return HexFormat.of().formatHex(digest.digest());
    } catch (NoSuchAlgorithmException problem) {
      throw new IOException(problem);
    }
  }
}
