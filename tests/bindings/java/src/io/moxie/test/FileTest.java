package io.moxie.test;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.moxie.DType;
import io.moxie.FileKind;
import io.moxie.InvalidArgumentException;
import io.moxie.LoadOptions;
import io.moxie.LogLevel;
import io.moxie.Matrix;
import io.moxie.Model;
import io.moxie.MoxieFile;
import io.moxie.NotFoundException;
import io.moxie.PackedCache;
import io.moxie.Runtime;
import io.moxie.RuntimeOptions;
import io.moxie.TensorInfo;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class FileTest {
  @Test
  void aCheckpointAndItsTensors() {
    try (MoxieFile file = MoxieFile.open(Fixtures.models().resolve("tiny-llama"))) {
      assertEquals(FileKind.CHECKPOINT, file.describe().kind());
      assertEquals("llama", file.describe().family());
      assertEquals("192", file.settings().get("hidden"));
      assertTrue(file.problems().isEmpty());
      List<TensorInfo> tensors = file.tensors();
      assertEquals(file.describe().tensors(), tensors.size());
      TensorInfo gate = file.tensor("model.layers.2.mlp.gate_proj.weight");
      assertEquals(gate, tensors.get(gate.index()));
      assertEquals(List.of(512L, 192L), gate.shape());
      assertEquals(DType.BF16, gate.type());
      assertEquals(512L * 192 * 2, gate.bytes());
      ByteBuffer bytes = file.read(gate);
      Matrix matrix = Matrix.of(bytes, gate.type(), 512, 192, 192);
      assertTrue(Math.abs(matrix.row(511)[191]) < 1 && matrix.row(511)[191] != 0);
      assertThrows(NotFoundException.class, () -> file.tensor("no such tensor"));
      ByteBuffer small = ByteBuffer.allocateDirect(10).order(ByteOrder.nativeOrder());
      assertThrows(InvalidArgumentException.class, () -> file.read(gate, small));
      assertThrows(InvalidArgumentException.class, () -> file.read(gate, ByteBuffer.allocate(512 * 192 * 2)));
    }
  }

  @Test
  void whatWouldBeRefused() {
    try (MoxieFile file = MoxieFile.open(Fixtures.models().resolve("tiny-mixtral-jargon-peft"))) {
      assertEquals(FileKind.ADAPTER, file.describe().kind());
      assertFalse(file.problems().isEmpty());
      assertEquals(file.describe().problems(), file.problems().size());
    }
    assertThrows(NotFoundException.class, () -> MoxieFile.open(Path.of("/no/such/file")));
  }

  @Test
  void thePackedCacheIsWrittenAndRead(@TempDir Path folder) {
    Queue<String> lines = new ConcurrentLinkedQueue<>();
    try (Runtime runtime =
        Runtime.create(new RuntimeOptions().log(LogLevel.VERBOSE, (level, text) -> lines.add(text)))) {
      Path file = folder.resolve("é.cache");
      LoadOptions options = new LoadOptions().packedCache(PackedCache.READ_WRITE, file.toString());
      Model.open(runtime, Fixtures.models().resolve("tiny-llama"), options).close();
      assertTrue(Files.isRegularFile(file), lines.toString());
      lines.clear();
      LoadOptions mapped = options.mapPackedCache(true).mapFiles(true);
      Model.open(runtime, Fixtures.models().resolve("tiny-llama"), mapped).close();
      assertTrue(lines.stream().anyMatch(line -> line.contains("é.cache")), lines.toString());
    }
  }
}
