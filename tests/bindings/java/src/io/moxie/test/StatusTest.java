package io.moxie.test;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.moxie.AdapterKind;
import io.moxie.Affinity;
import io.moxie.Backend;
import io.moxie.DType;
import io.moxie.InvalidArgumentException;
import io.moxie.InvalidFileException;
import io.moxie.Isa;
import io.moxie.Model;
import io.moxie.Moxie;
import io.moxie.MoxieException;
import io.moxie.NotFoundException;
import io.moxie.NumericException;
import io.moxie.Runtime;
import io.moxie.RuntimeOptions;
import io.moxie.Sampler;
import io.moxie.Status;
import io.moxie.UnsupportedException;
import java.io.IOException;
import java.lang.reflect.Field;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class StatusTest {
  @Test
  void everyStatusHasAnExceptionOfItsOwn() throws ReflectiveOperationException {
    Set<Class<?>> seen = new HashSet<>();
    for (Field field : Class.forName("io.moxie.internal.mox_status").getFields()) {
      int code = field.getInt(null);
      if (code == 0) {
        continue;
      }
      Status status = Status.of(code);
      assertEquals("MOX_" + status.name(), field.getName());
      MoxieException exception = status.exception("words");
      assertSame(status, exception.status());
      assertEquals("words", exception.getMessage());
      assertTrue(seen.add(exception.getClass()), field.getName());
    }
    assertEquals(Status.values().length, seen.size());
  }

  @Test
  void namesAreTheLibrarys() {
    assertEquals("invalid argument", Status.INVALID_ARGUMENT.label());
    assertEquals("avx2", Isa.AVX2.label());
    assertEquals("reference", Backend.REFERENCE.label());
    assertEquals("compact", Affinity.COMPACT.label());
    assertEquals("mixlora-dynamic", AdapterKind.MIXLORA_DYNAMIC.label());
    assertEquals("bfloat16", DType.BF16.label());
    assertEquals(2, DType.BF16.size());
    assertEquals(8, DType.I64.size());
  }

  @Test
  void theVersionIsTheJars() {
    assertEquals(System.getProperty("moxie.test.version"), Moxie.version());
    assertTrue(Files.isRegularFile(Moxie.libraryFile()));
  }

  @Test
  void failuresNameWhatWasFound(@TempDir Path folder) throws IOException {
    try (Runtime runtime = Runtime.create();
        Sampler sampler = Sampler.greedy()) {
      Path missing = folder.resolve("missing");
      Exception notFound = assertThrows(NotFoundException.class, () -> Model.open(runtime, missing));
      assertTrue(notFound.getMessage().contains(missing.toString()), notFound.getMessage());

      Files.writeString(folder.resolve("model.safetensors"), "no tensors");
      Files.writeString(folder.resolve("config.json"), "{");
      assertThrows(InvalidFileException.class, () -> Model.open(runtime, folder));

      Files.writeString(folder.resolve("config.json"), "{\"model_type\": \"gemma\", \"architectures\": [\"Gemma\"]}");
      assertThrows(UnsupportedException.class, () -> Model.open(runtime, folder));

      assertThrows(NumericException.class, () -> sampler.next(new float[] {1, Float.NaN}));
      Exception threads =
          assertThrows(InvalidArgumentException.class, () -> Runtime.create(new RuntimeOptions().threads(-3)));
      assertTrue(threads.getMessage().contains("-3"), threads.getMessage());
      assertThrows(NullPointerException.class, () -> Model.open(runtime, null));
    }
  }

  @Test
  void textIsUtf8() {
    // Beyond the basic plane: JNI's own UTF-8 would spell it differently.
    String odd = "\uD83D\uDE00 \u00e9";
    Exception refused =
        assertThrows(InvalidArgumentException.class, () -> Runtime.create(new RuntimeOptions().cpus(odd)));
    assertTrue(refused.getMessage().contains(odd), refused.getMessage());
    assertThrows(InvalidArgumentException.class, () -> Runtime.create(new RuntimeOptions().cpus("0\0")));
  }
}
