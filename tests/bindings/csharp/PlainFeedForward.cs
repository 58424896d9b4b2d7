namespace Moxie.Tests;

/// <summary>The formulas written out in float64, to compare with.</summary>
internal static class PlainFeedForward
{
    internal sealed record Dense(float[] Data, int Rows, int Columns)
    {
        internal static Dense Random(int rows, int columns, float size, int seed) =>
            new(Shared.Random(rows * columns, size, seed), rows, columns);

        internal Matrix Matrix => new(Data, Rows, Columns);

        internal double[] Times(double[] x) => Enumerable.Range(0, Rows)
            .Select(row => Enumerable.Range(0, Columns).Sum(column => (double)Data[row * Columns + column] * x[column]))
            .ToArray();
    }

    internal sealed record Pair(Dense A, Dense B, float Scaling)
    {
        internal LoraFactors Factors => new(A.Matrix, B.Matrix, Scaling);

        internal double[] Add(double[] y, double[] x) =>
            B.Times(A.Times(x)).Zip(y, (delta, value) => value + Scaling * delta).ToArray();
    }

    internal static double[] Gated(Dense gate, Dense up, Dense down, Pair? onGate, Pair? onDown, double[] x)
    {
        double[] g = gate.Times(x), u = up.Times(x);
        if (onGate is not null)
            g = onGate.Add(g, x);
        var inner = g.Zip(u, (a, b) => a / (1 + Math.Exp(-a)) * b).ToArray();
        var y = down.Times(inner);
        return onDown is null ? y : onDown.Add(y, inner);
    }

    /// <summary>Softmax over all, the k most probable, renormalised.</summary>
    internal static (int Expert, double Weight)[] Route(Dense router, int topK, double[] x)
    {
        var logits = router.Times(x);
        var chosen = Enumerable.Range(0, logits.Length).OrderByDescending(e => logits[e]).Take(topK).ToArray();
        var sum = chosen.Sum(e => Math.Exp(logits[e] - logits[chosen[0]]));
        return chosen.Select(e => (e, Math.Exp(logits[e] - logits[chosen[0]]) / sum)).ToArray();
    }

    internal static double RelativeError(ReadOnlySpan<float> actual, double[] truth)
    {
        double difference = 0, size = 0;
        for (var index = 0; index < truth.Length; ++index)
        {
            difference += Math.Pow(actual[index] - truth[index], 2);
            size += truth[index] * truth[index];
        }
        return Math.Sqrt(difference / size);
    }
}
