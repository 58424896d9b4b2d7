package io.moxie.internal;

import java.nio.Buffer;
import java.nio.charset.StandardCharsets;

/** Memory outside the Java heap, by address. Whoever calls answers for the address. */
public final class Memory {
  static {
    NativeLibrary.require();
  }

  private Memory() {}

  /** Zeroed memory, or 0 where there is none. */
  static native long allocate(long size);

  static native void free(long address);

  private static native long textLength(long address);

  /** Where a direct buffer's first element lies, wherever its position is. */
  public static native long bufferAddress(Buffer buffer);

  public static native void copyBytesIn(long to, byte[] from, int offset, int count);

  public static native void copyBytesOut(long from, byte[] to, int offset, int count);

  public static native void copyShortsIn(long to, short[] from, int offset, int count);

  public static native void copyShortsOut(long from, short[] to, int offset, int count);

  public static native void copyIntsIn(long to, int[] from, int offset, int count);

  public static native void copyIntsOut(long from, int[] to, int offset, int count);

  public static native void copyLongsIn(long to, long[] from, int offset, int count);

  public static native void copyLongsOut(long from, long[] to, int offset, int count);

  public static native void copyFloatsIn(long to, float[] from, int offset, int count);

  public static native void copyFloatsOut(long from, float[] to, int offset, int count);

  public static native void copyDoublesIn(long to, double[] from, int offset, int count);

  public static native void copyDoublesOut(long from, double[] to, int offset, int count);

  /** The UTF-8 text that ends with a zero byte; null for address 0. */
  public static String text(long address) {
    if (address == 0) {
      return null;
    }
    byte[] bytes = new byte[Math.toIntExact(textLength(address))];
    copyBytesOut(address, bytes, 0, bytes.length);
    return new String(bytes, StandardCharsets.UTF_8);
  }

  public static long readLong(long address) {
    long[] value = new long[1];
    copyLongsOut(address, value, 0, 1);
    return value[0];
  }

  public static int readInt(long address) {
    int[] value = new int[1];
    copyIntsOut(address, value, 0, 1);
    return value[0];
  }

  public static double readDouble(long address) {
    double[] value = new double[1];
    copyDoublesOut(address, value, 0, 1);
    return value[0];
  }
}
