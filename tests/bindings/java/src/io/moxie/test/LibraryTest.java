package io.moxie.test;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** How the library is found, loaded and refused, each time by a virtual machine of its own. */
class LibraryTest {
  @TempDir Path temporary;
  private Path cache;
  private Path copies;

  @BeforeEach
  void chooseCache() {
    cache = temporary.resolve("cache");
    copies = cache.resolve("java-" + System.getProperty("moxie.test.version"));
  }

  private Process start(String... properties) throws IOException {
    return start(Map.of(), properties);
  }

  private static Process start(Map<String, String> environment, String... properties) throws IOException {
    List<String> command = new ArrayList<>();
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    command.add("-Xcheck:jni");
    command.addAll(List.of(properties));
    command.add("-cp");
    command.add(System.getProperty("java.class.path"));
    command.add("io.moxie.test.Probe");
    ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true);
    builder.environment().remove("XDG_CACHE_HOME");
    builder.environment().put("MOXIE_THREADS", "1");
    builder.environment().putAll(environment);
    return builder.start();
  }

  private static String output(Process process) throws IOException, InterruptedException {
    String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8).strip();
    assertEquals(0, process.waitFor(), output);
    return output;
  }

  private String probe(String... properties) throws IOException, InterruptedException {
    return output(start(properties));
  }

  private String cacheProperty() {
    return "-Dmoxie.cache.dir=" + cache;
  }

  private static Set<String> names(Path folder) throws IOException {
    try (Stream<Path> files = Files.list(folder)) {
      return files.map(path -> path.getFileName().toString()).collect(Collectors.toSet());
    }
  }

  private static Object identity(Path file) throws IOException {
    BasicFileAttributes attributes = Files.readAttributes(file, BasicFileAttributes.class);
    return attributes.fileKey() + " " + attributes.lastModifiedTime();
  }

  /** Two lines, of one message. */
  private static String refusal(String output) {
    String[] lines = output.split("\n");
    assertEquals(2, lines.length, output);
    assertTrue(lines[0].startsWith("first: ") && lines[1].startsWith("again: "), output);
    String message = lines[0].substring(7);
    assertEquals(message, lines[1].substring(7));
    return message;
  }

  @Test
  void oneCopyIsMadeAndUsedAgain() throws Exception {
    Path scratch = Files.createDirectory(temporary.resolve("tmp"));
    String tmp = "-Djava.io.tmpdir=" + scratch;
    Path library = copies.resolve("libmoxie.so");
    assertEquals("loaded " + library, probe(cacheProperty(), tmp));
    assertEquals(Set.of(".lock", "libmoxie.so", "libmoxie_java.so"), names(copies));
    Object first = identity(library);
    assertEquals("loaded " + library, probe(cacheProperty(), tmp));
    assertEquals(first, identity(library), "written again");
    assertEquals(Set.of("java-" + System.getProperty("moxie.test.version")), names(cache));
    assertEquals(Set.of(), names(scratch));
  }

  @Test
  void aDamagedCopyIsReplaced() throws Exception {
    Path library = copies.resolve("libmoxie.so");
    probe(cacheProperty());
    byte[] whole = Files.readAllBytes(library);
    byte[] damaged = whole.clone();
    damaged[damaged.length / 2] ^= 1;
    for (byte[] content : List.of(damaged, Arrays.copyOf(whole, 1000), new byte[0])) {
      Files.write(library, content);
      Files.writeString(copies.resolve("libmoxie_java.so.part"), "left by a start that was cut short");
      assertEquals("loaded " + library, probe(cacheProperty()));
      assertEquals(-1, Arrays.mismatch(whole, Files.readAllBytes(library)));
    }
    Files.delete(library);
    assertEquals("loaded " + library, probe(cacheProperty()));
  }

  @Test
  void manyProcessesAtOnce() throws Exception {
    List<Process> processes = new ArrayList<>();
    for (int i = 0; i < 5; ++i) {
      processes.add(start(cacheProperty()));
    }
    for (Process process : processes) {
      assertEquals("loaded " + copies.resolve("libmoxie.so"), output(process));
    }
    assertEquals(Set.of(".lock", "libmoxie.so", "libmoxie_java.so"), names(copies));
  }

  @Test
  void withoutAPropertyTheUsersCacheIsUsed() throws Exception {
    Path mine = Path.of("moxie").resolve(copies.getFileName()).resolve("libmoxie.so");
    assertEquals(
        "loaded " + temporary.resolve("xdg").resolve(mine),
        output(start(Map.of("HOME", "/no/such/home", "XDG_CACHE_HOME", temporary.resolve("xdg").toString()))));
    // A relative one is to be ignored.
    assertEquals(
        "loaded " + temporary.resolve(".cache").resolve(mine),
        output(start(Map.of("HOME", temporary.toString(), "XDG_CACHE_HOME", "xdg"))));
  }

  @Test
  void aCacheThatCannotBeWrittenIsNamed() throws Exception {
    Path file = Files.writeString(temporary.resolve("file"), "");
    String message = refusal(probe("-Dmoxie.cache.dir=" + file.resolve("cache")));
    assertTrue(message.contains(file + "/cache"), message);
    assertTrue(message.contains("-Dmoxie.cache.dir") && message.contains("-Dmoxie.library.path"), message);
  }

  @Test
  void aFolderOfTheCaller() throws Exception {
    Path library = Fixtures.path("moxie.test.library");
    String given = "-Dmoxie.library.path=" + library.getParent();
    assertEquals("loaded " + library.getParent().resolve("libmoxie.so"), probe(cacheProperty(), given));
    assertEquals(Set.of(".lock", "libmoxie_java.so"), names(copies), "only the glue is copied");

    // An installed library may have its versioned name only; and the glue may lie beside it.
    Path installed = Files.createDirectory(temporary.resolve("lib"));
    Files.copy(library, installed.resolve("libmoxie.so.0"));
    Files.copy(copies.resolve("libmoxie_java.so"), installed.resolve("libmoxie_java.so"));
    Path unused = temporary.resolve("unused");
    assertEquals(
        "loaded " + installed.resolve("libmoxie.so.0"),
        probe("-Dmoxie.cache.dir=" + unused, "-Dmoxie.library.path=" + installed));
    assertTrue(Files.notExists(unused));
  }

  @Test
  void aLibraryThatIsNotThere() throws Exception {
    String missing = refusal(probe("-Dmoxie.library.path=/no/such/folder"));
    assertTrue(missing.startsWith("/no/such/folder (from -Dmoxie.library.path) is not a folder"), missing);
    String empty = refusal(probe("-Dmoxie.library.path=" + temporary));
    assertEquals(temporary + " (from -Dmoxie.library.path) has neither libmoxie.so nor libmoxie.so.0", empty);
  }

  @Test
  void aFileThatIsNoLibrary() throws Exception {
    Path file = Files.writeString(temporary.resolve("libmoxie.so"), "not a library");
    String message = refusal(probe(cacheProperty(), "-Dmoxie.library.path=" + temporary));
    assertEquals(file + " cannot be loaded: it is no shared library", message);
  }

  @Test
  void aLibraryThatTheSystemRefuses() throws Exception {
    // Another machine's: the system's loader has the word, once and with the file's name.
    byte[] foreign = Files.readAllBytes(Fixtures.path("moxie.test.library"));
    foreign[18] = (byte) 183;
    Path file = Files.write(temporary.resolve("libmoxie.so"), foreign);
    String message = refusal(probe(cacheProperty(), "-Dmoxie.library.path=" + temporary));
    assertTrue(message.startsWith(file + " cannot be loaded: "), message);
    assertEquals(1, message.split(file.toString(), -1).length - 1, message);
  }

  @Test
  void aLibraryOfAnotherVersion() throws Exception {
    Path wrong = Fixtures.path("moxie.test.wrong");
    String message = refusal(probe(cacheProperty(), "-Dmoxie.library.path=" + wrong.getParent()));
    assertEquals(
        wrong
            + " is of version 0.0.9; this jar needs "
            + System.getProperty("moxie.test.version")
            + " or newer, below 1.0.0",
        message);
  }

  @Test
  void aJarThatIsNotWhole() throws Exception {
    // The classes without the natives: as if somebody had repacked the jar.
    String path = System.getProperty("java.class.path");
    String jar = Fixtures.path("moxie.test.jar").toString();
    assertTrue(path.contains(jar), path);
    Path classes = Fixtures.path("moxie.test.classes");
    assertNotEquals(jar, classes.toString());
    Process process =
        new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-cp",
                Arrays.stream(path.split(File.pathSeparator))
                    .map(part -> part.equals(jar) ? classes.toString() : part)
                    .collect(Collectors.joining(File.pathSeparator)),
                "io.moxie.test.Probe")
            .redirectErrorStream(true)
            .start();
    String message = refusal(output(process));
    assertTrue(message.contains("the jar has no /natives/linux-x86_64/natives.properties"), message);
  }
}
