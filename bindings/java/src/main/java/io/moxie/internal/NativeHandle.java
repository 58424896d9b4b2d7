package io.moxie.internal;

import java.lang.ref.Cleaner;
import java.lang.ref.Reference;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.LongConsumer;

/**
 * A handle of the C library. It is given back once: when it is closed, or when nobody can reach it any more; and not
 * before the calls that use it are over, whoever closes it meanwhile. Closing never waits.
 */
public final class NativeHandle {
  static final Cleaner CLEANER = Cleaner.create();

  private final State state;
  private final Cleaner.Cleanable cleanable;
  private final String noun;
  private final LogHook log;

  /**
   * @param noun what messages call it
   * @param address the handle
   * @param free gives it back; must not refer to the owner
   * @param log whom the library may still tell something about it; null: nobody
   */
  public NativeHandle(String noun, long address, LongConsumer free, LogHook log) {
    this.noun = noun;
    this.log = log;
    state = new State(address, free);
    cleanable = CLEANER.register(this, state);
  }

  public LogHook log() {
    return log;
  }

  /** The address, to be used until {@link #release}. */
  long acquire() {
    if (!state.enter()) {
      throw new IllegalStateException("the " + noun + " is closed");
    }
    return state.address;
  }

  void release() {
    state.leave();
    Reference.reachabilityFence(this);
  }

  public boolean isClosed() {
    return state.isClosed();
  }

  public void close() {
    cleanable.clean();
    Reference.reachabilityFence(this);
  }

  /** The number of calls that use the handle, and in the sign bit whether it is closed. */
  private static final class State implements Runnable {
    private static final int CLOSED = Integer.MIN_VALUE;

    private final AtomicInteger users = new AtomicInteger();
    private final long address;
    private final LongConsumer free;

    State(long address, LongConsumer free) {
      this.address = address;
      this.free = free;
    }

    boolean isClosed() {
      return users.get() < 0;
    }

    boolean enter() {
      return users.getAndUpdate(count -> count < 0 ? count : count + 1) >= 0;
    }

    void leave() {
      if (users.decrementAndGet() == CLOSED) {
        free.accept(address);
      }
    }

    @Override
    public void run() {
      if (users.getAndUpdate(count -> count | CLOSED) == 0) {
        free.accept(address);
      }
    }
  }
}
