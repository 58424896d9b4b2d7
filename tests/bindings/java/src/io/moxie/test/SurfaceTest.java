package io.moxie.test;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.reflect.Constructor;
import java.lang.reflect.Executable;
import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.lang.reflect.Type;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.TreeSet;
import java.util.jar.JarFile;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** What is reachable from Java, and what a user of it gets to see. */
class SurfaceTest {
  /** Functions of the C library that Java has no need of, each with the reason. None at present. */
  private static final Set<String> NOT_REACHED = Set.of();

  private static Set<String> found(Path folder, String suffix, Pattern pattern) throws IOException {
    Set<String> result = new TreeSet<>();
    List<Path> files;
    try (Stream<Path> all = Files.walk(folder)) {
      files = all.filter(path -> path.toString().endsWith(suffix)).toList();
    }
    assertTrue(!files.isEmpty(), folder.toString());
    for (Path file : files) {
      Matcher matcher = pattern.matcher(Files.readString(file));
      while (matcher.find()) {
        result.add(matcher.group(1));
      }
    }
    return result;
  }

  @Test
  void everyFunctionOfTheHeadersIsReached() throws IOException, ReflectiveOperationException {
    Set<String> declared =
        found(Fixtures.path("moxie.test.headers"), ".h", Pattern.compile("MOX_API[^;(]*?\\b(mox_[a-z0-9_]+)\\("));
    assertTrue(declared.size() > 60, declared.toString());

    Set<String> raw = new TreeSet<>();
    for (Method method : Class.forName("io.moxie.internal.raw").getMethods()) {
      if (Modifier.isStatic(method.getModifiers())) {
        raw.add(method.getName());
      }
    }
    assertEquals(declared, raw, "the raw layer has every function, and no other");

    Set<String> used =
        found(Fixtures.path("moxie.test.sources"), ".java", Pattern.compile("\\braw(?:\\.|::)(mox_[a-z0-9_]+)"));
    Set<String> expected = new TreeSet<>(declared);
    expected.removeAll(NOT_REACHED);
    assertEquals(expected, used, "the layer above uses every function");
  }

  private static List<Class<?>> publicClasses() throws IOException, ReflectiveOperationException {
    List<Class<?>> result = new ArrayList<>();
    try (JarFile jar = new JarFile(Fixtures.path("moxie.test.jar").toFile())) {
      for (String name : jar.stream().map(entry -> entry.getName()).toList()) {
        if (name.matches("io/moxie/[A-Za-z$]+\\.class")) {
          Class<?> type = Class.forName(name.substring(0, name.length() - 6).replace('/', '.'));
          if (Modifier.isPublic(type.getModifiers())) {
            result.add(type);
          }
        }
      }
    }
    assertTrue(result.size() > 40);
    return result;
  }

  @Test
  void noPublicSignatureShowsWhatIsBelow() throws IOException, ReflectiveOperationException {
    for (Class<?> type : publicClasses()) {
      List<Type> seen = new ArrayList<>();
      seen.add(type.getGenericSuperclass());
      seen.addAll(Arrays.asList(type.getGenericInterfaces()));
      for (Constructor<?> constructor : type.getDeclaredConstructors()) {
        add(seen, constructor, null);
      }
      for (Method method : type.getDeclaredMethods()) {
        add(seen, method, method.getGenericReturnType());
      }
      for (Field field : type.getDeclaredFields()) {
        if (Modifier.isPublic(field.getModifiers()) || Modifier.isProtected(field.getModifiers())) {
          seen.add(field.getGenericType());
        }
      }
      for (Type part : seen) {
        String name = part == null ? "" : part.getTypeName();
        assertTrue(!name.contains("internal") && !name.contains("SWIG") && !name.contains("mox_"), type + ": " + name);
      }
    }
  }

  private static void add(List<Type> seen, Executable executable, Type result) {
    if (!Modifier.isPublic(executable.getModifiers()) && !Modifier.isProtected(executable.getModifiers())) {
      return;
    }
    seen.addAll(Arrays.asList(executable.getGenericParameterTypes()));
    seen.addAll(Arrays.asList(executable.getGenericExceptionTypes()));
    if (result != null) {
      seen.add(result);
    }
  }

  /** An enum that grows in a header must grow here. */
  @Test
  void enumsHaveAllThatTheHeadersHave() throws IOException, ReflectiveOperationException {
    int checked = 0;
    for (Class<?> type : publicClasses()) {
      if (!type.isEnum() || type.getEnclosingClass() != null || type.getSimpleName().equals("Status")) {
        continue;
      }
      String raw = type.getSimpleName().replaceAll("([a-z])([A-Z])", "$1_$2").toLowerCase(Locale.ROOT);
      raw = raw.equals("d_type") ? "dtype" : raw.equals("weight_storage") ? "storage" : raw;
      Class<?> constants = Class.forName("io.moxie.internal.mox_" + raw);
      List<String> expected =
          Arrays.stream(constants.getFields()).map(Field::getName).sorted().toList();
      List<String> actual = new ArrayList<>();
      for (Object value : type.getEnumConstants()) {
        String name = ((Enum<?>) value).name();
        actual.add(
            expected.stream()
                .filter(full -> full.endsWith("_" + name))
                .min(Comparator.comparingInt(String::length))
                .orElseThrow());
        ++checked;
      }
      assertEquals(expected, actual.stream().sorted().toList(), type.getName());
    }
    assertTrue(checked > 40);
  }
}
