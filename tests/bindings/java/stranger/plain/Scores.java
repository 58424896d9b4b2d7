import io.moxie.Activation;
import io.moxie.Batch;
import io.moxie.ExpertWeights;
import io.moxie.FeedForward;
import io.moxie.InvalidArgumentException;
import io.moxie.Matrix;
import io.moxie.Runtime;
import io.moxie.Weights;

/** A program of somebody who has the jar and nothing else. */
public class Scores {
  public static void main(String[] arguments) {
    Matrix ones = Matrix.of(new float[] {1, 1, 1, 1}, 2, 2);
    float[] output = new float[2];
    try (Runtime runtime = Runtime.create();
        FeedForward feedForward =
            FeedForward.gated(runtime, Activation.RELU, new ExpertWeights(ones, ones, ones), Weights.F32)) {
      Matrix input = Matrix.of(new float[] {1, 2}, 1, 2);
      feedForward.run(new Batch(input, Matrix.of(output, 1, 2)).base(0, 1));
      try {
        feedForward.run(new Batch(input, input).base(0, 5));
        throw new IllegalStateException("five rows of one");
      } catch (InvalidArgumentException expected) {
        System.out.println("refused: " + expected.getMessage());
      }
    }
    // relu(1 + 2) * (1 + 2) = 9, twice.
    if (output[0] != 18 || output[1] != 18) {
      throw new IllegalStateException(output[0] + " and " + output[1] + " instead of 18");
    }
    System.out.println("plain: ok");
  }
}
