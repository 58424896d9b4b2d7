package io.moxie.internal;

import io.moxie.Status;
import java.lang.ref.Reference;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/**
 * What one call of the C library needs: memory for its structs and arrays, a place for its error, and the handles it
 * uses, held until it is over.
 */
public final class Call implements AutoCloseable {
  private static final long CHUNK = 4096;
  private static final long ALIGNMENT = 64;

  private final List<Long> chunks = new ArrayList<>(2);
  private final List<NativeHandle> handles = new ArrayList<>(4);
  private final List<Object> reachable = new ArrayList<>(4);
  private final List<Runnable> outputs = new ArrayList<>(2);
  private final long error;
  private long next;
  private long end;

  public Call() {
    NativeLibrary.require();
    error = allocate(mox_error.sizeOf());
  }

  /** Zeroed memory that lives as long as the call. */
  public long allocate(long size) {
    long rounded = Math.addExact(size, ALIGNMENT - 1) & -ALIGNMENT;
    if (rounded > end - next) {
      long chunk = Math.max(rounded + ALIGNMENT, CHUNK);
      long address = Memory.allocate(chunk);
      if (address == 0) {
        throw Status.OUT_OF_MEMORY.exception("no memory for " + size + " bytes of arguments");
      }
      chunks.add(address);
      long aligned = (address + ALIGNMENT - 1) & -ALIGNMENT;
      if (chunk > CHUNK) {
        return aligned;
      }
      next = aligned;
      end = address + chunk;
    }
    long address = next;
    next += rounded;
    return address;
  }

  /** Room for one pointer or number that the library writes. */
  public long out() {
    return allocate(Long.BYTES);
  }

  /** The text as UTF-8 with a zero byte at its end; 0 for null. */
  public long text(String name, String text) {
    if (text == null) {
      return 0;
    }
    if (text.indexOf('\0') >= 0) {
      throw Status.INVALID_ARGUMENT.exception(name + " has a zero character in it");
    }
    byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
    long address = allocate(bytes.length + 1L);
    Memory.copyBytesIn(address, bytes, 0, bytes.length);
    return address;
  }

  public long ints(int[] values) {
    long address = allocate((long) values.length * Integer.BYTES);
    Memory.copyIntsIn(address, values, 0, values.length);
    return address;
  }

  public long floats(float[] values) {
    long address = allocate((long) values.length * Float.BYTES);
    Memory.copyFloatsIn(address, values, 0, values.length);
    return address;
  }

  /** The address of a handle, which stays valid until the call is closed; 0 for null. */
  public long use(NativeHandle handle) {
    if (handle == null) {
      return 0;
    }
    long address = handle.acquire();
    handles.add(handle);
    return address;
  }

  /** Keeps an object, a buffer say, from being collected before the call is over. */
  public void keep(Object object) {
    reachable.add(object);
  }

  /** What is to be done when the call has succeeded: copying results into arrays. */
  public void afterwards(Runnable output) {
    outputs.add(output);
  }

  public long error() {
    return error;
  }

  /** Throws the exception of a status that is not success; else brings the results home. */
  public void check(int status) {
    if (status != mox_status.MOX_OK) {
      throw Status.of(status).exception(Memory.text(new mox_error(error).getMessage()));
    }
    outputs.forEach(Runnable::run);
  }

  @Override
  public void close() {
    chunks.forEach(Memory::free);
    chunks.clear();
    handles.forEach(NativeHandle::release);
    handles.clear();
    reachable.forEach(Reference::reachabilityFence);
  }
}
