package io.moxie.test;

import io.moxie.Batch;
import io.moxie.DType;
import io.moxie.FeedForward;
import io.moxie.Matrix;
import io.moxie.Moxie;
import io.moxie.NativeLibraryException;
import io.moxie.Runtime;
import io.moxie.Sampler;

/** A program of its own for {@link LibraryTest}: uses the library, or says twice why it cannot. */
public final class Probe {
  private Probe() {}

  /** Prints where the library came from, or the messages of two attempts. */
  public static void main(String[] arguments) {
    try (Runtime runtime = Runtime.create();
        FeedForward feedForward = Fixtures.feedForward(runtime, 8, 16)) {
      Matrix rows = Matrix.allocate(DType.F32, 1, 8);
      feedForward.run(new Batch(rows, rows).base(0, 1));
      System.out.println("loaded " + Moxie.libraryFile());
    } catch (NativeLibraryException problem) {
      System.out.println("first: " + problem.getMessage());
      try {
        Sampler.greedy();
      } catch (NativeLibraryException again) {
        System.out.println("again: " + again.getMessage());
      }
    }
  }
}
