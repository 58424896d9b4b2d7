package io.moxie.test;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.moxie.Batch;
import io.moxie.DType;
import io.moxie.FeedForward;
import io.moxie.InvalidArgumentException;
import io.moxie.Matrix;
import io.moxie.Runtime;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.ShortBuffer;
import org.junit.jupiter.api.Test;

class MatrixTest {
  private static ByteBuffer direct(int bytes) {
    return ByteBuffer.allocateDirect(bytes).order(ByteOrder.nativeOrder());
  }

  private static String refusal(Runnable body) {
    return assertThrows(InvalidArgumentException.class, body::run).getMessage();
  }

  @Test
  void boundsAreChecked() {
    float[] six = new float[6];
    assertEquals(2, Matrix.of(six, 2, 3).rows());
    assertEquals("3 rows of 3 need 9 elements; there are 6", refusal(() -> Matrix.of(six, 3, 3)));
    // The last row needs no gap after it.
    assertEquals(2, Matrix.of(six, 1, 2, 2, 3).rows());
    assertTrue(refusal(() -> Matrix.of(six, 2, 2, 2, 3)).contains("need 5 elements; there are 4"));
    refusal(() -> Matrix.of(six, -1, 1, 1, 1));
    refusal(() -> Matrix.of(six, 7, 0, 1, 1));
    refusal(() -> Matrix.of(six, -1, 3));
    refusal(() -> Matrix.of(six, 1, 0));
    assertEquals("the stride is 2; rows have 3 columns", refusal(() -> Matrix.of(six, 0, 1, 3, 2)));
    refusal(() -> Matrix.of(six, 0, Integer.MAX_VALUE, Integer.MAX_VALUE, Integer.MAX_VALUE));
    refusal(() -> Matrix.of(direct(24), DType.F32, 3, 3, 3));
    refusal(() -> Matrix.of(direct(24).position(4), DType.F32, 2, 3, 3));
    refusal(() -> Matrix.of(direct(24).limit(20), DType.F32, 2, 3, 3));
    refusal(() -> Matrix.of(direct(24).asFloatBuffer().position(1), 2, 3));
    assertEquals(2, Matrix.of(direct(12), DType.BF16, 2, 3, 3).rows());
    refusal(() -> Matrix.of(direct(12), DType.I8, 2, 3, 3));
    refusal(() -> Matrix.of(new short[6], DType.F32, 2, 3));
    refusal(() -> Matrix.allocate(DType.F32, 1 << 20, 1 << 20));
  }

  @Test
  void buffersMustBeDirectAndOfNativeOrder() {
    assertTrue(refusal(() -> Matrix.of(FloatBuffer.allocate(6), 2, 3)).contains("on the Java heap"));
    assertTrue(refusal(() -> Matrix.of(ByteBuffer.allocate(24), DType.F32, 2, 3, 3)).contains("on the Java heap"));
    ByteBuffer foreign = ByteBuffer.allocateDirect(24);
    ByteOrder other = ByteOrder.nativeOrder() == ByteOrder.LITTLE_ENDIAN ? ByteOrder.BIG_ENDIAN : ByteOrder.LITTLE_ENDIAN;
    foreign.order(other);
    String message = refusal(() -> Matrix.of(foreign, DType.F32, 2, 3, 3));
    assertTrue(message.contains(other + "; expected " + ByteOrder.nativeOrder()), message);
    assertTrue(refusal(() -> Matrix.of(foreign.asFloatBuffer(), 2, 3)).contains(other.toString()));
    ShortBuffer halves = foreign.asShortBuffer();
    assertTrue(refusal(() -> Matrix.of(halves, DType.BF16, 2, 3, 3)).contains(other.toString()));
  }

  @Test
  void rowsAreReadAndWrittenWhereTheyLie() {
    float[] array = {9, 1, 2, 9, 3, 4};
    Matrix matrix = Matrix.of(array, 1, 2, 2, 3);
    assertArrayEquals(new float[] {3, 4}, matrix.row(1));
    matrix.setRow(0, new float[] {5, 6});
    assertArrayEquals(new float[] {9, 5, 6, 9, 3, 4}, array);
    assertThrows(IndexOutOfBoundsException.class, () -> matrix.row(2));
    refusal(() -> matrix.setRow(0, new float[3]));

    for (Matrix bytes :
        new Matrix[] {
          Matrix.allocate(DType.F32, 2, 2),
          Matrix.of(direct(32).position(8), DType.F32, 2, 2, 3),
          Matrix.of(direct(24).asFloatBuffer().position(2), 2, 2),
          Matrix.of(direct(16).asShortBuffer().position(1), DType.BF16, 2, 2, 3),
          Matrix.of(new short[8], DType.BF16, 2, 2, 2, 3)
        }) {
      bytes.setRow(1, new float[] {1.5f, -2});
      assertArrayEquals(new float[] {0, 0}, bytes.row(0));
      assertArrayEquals(new float[] {1.5f, -2}, bytes.row(1));
    }
  }

  @Test
  void halvesAreWidenedAndRounded() {
    Matrix f16 =
        Matrix.of(new short[] {0x3C00, (short) 0xC000, 0x0001, 0x7C00, (short) 0x8000}, DType.F16, 1, 5);
    assertArrayEquals(new float[] {1, -2, 0x1p-24f, Float.POSITIVE_INFINITY, -0.0f}, f16.row(0));
    Matrix bf16 = Matrix.allocate(DType.BF16, 1, 4);
    // Halfway between two: to the even one. NaN stays NaN.
    bf16.setRow(0, new float[] {0x1.01p0f, 0x1.03p0f, Float.NaN, Float.MAX_VALUE});
    assertArrayEquals(new float[] {1, 0x1.04p0f, Float.NaN, Float.POSITIVE_INFINITY}, bf16.row(0));
  }

  @Test
  void buffersThatDoNotServeAreRefusedByTheCall() {
    try (Runtime runtime = Runtime.create();
        FeedForward feedForward = Fixtures.feedForward(runtime, 8, 16)) {
      FloatBuffer readOnly = direct(32).asFloatBuffer().asReadOnlyBuffer();
      Matrix rows = Matrix.of(readOnly, 1, 8);
      Matrix output = Matrix.allocate(DType.F32, 1, 8);
      feedForward.run(new Batch(rows, output).base(0, 1));
      String message = refusal(() -> feedForward.run(new Batch(output, rows).base(0, 1)));
      assertTrue(message.contains("read-only"), message);
      Matrix odd = Matrix.of(direct(34).position(1), DType.F32, 1, 8, 8);
      assertTrue(refusal(() -> feedForward.run(new Batch(odd, output).base(0, 1))).contains("aligned to 4"));
    }
  }
}
