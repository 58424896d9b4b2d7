using static Moxie.Tests.PlainFeedForward;

namespace Moxie.Tests;

/// <summary>A dense gated feed-forward of random weights, with factors for adapters over it.</summary>
internal sealed class TinyLayer
{
    internal const int Hidden = 24, Ffn = 40, Experts = 4, TopK = 2, Rank = 3;

    internal Dense Gate { get; } = Dense.Random(Ffn, Hidden, 0.3f, 1);
    internal Dense Up { get; } = Dense.Random(Ffn, Hidden, 0.3f, 2);
    internal Dense Down { get; } = Dense.Random(Hidden, Ffn, 0.3f, 3);
    internal Dense Router { get; } = Dense.Random(Experts, Hidden, 1, 4);
    internal Pair[] OnGate { get; } = Pairs(Hidden, Ffn, 10);
    internal Pair[] OnDown { get; } = Pairs(Ffn, Hidden, 50);

    internal FeedForward Create() => Shared.Runtime.CreateFeedForward(new FeedForwardDescription
    {
        Kind = FeedForwardKind.Gated,
        Hidden = Hidden,
        Ffn = Ffn,
        Experts = [new ExpertWeights(Gate.Matrix, Up.Matrix, Down.Matrix)],
    });

    internal AdapterDescription Lora => new()
    {
        Kind = AdapterKind.Lora,
        Name = "ours",
        Projections =
        [
            new AdapterProjection(Projection.Gate, [OnGate[0].Factors]),
            new AdapterProjection(Projection.Down, [OnDown[0].Factors]),
        ],
    };

    internal AdapterDescription MixLora => new()
    {
        Kind = AdapterKind.MixLora,
        Experts = Experts,
        TopK = TopK,
        Router = Router.Matrix,
        Projections =
        [
            new AdapterProjection(Projection.Gate, OnGate.Select(pair => pair.Factors).ToArray()),
            new AdapterProjection(Projection.Down, OnDown.Select(pair => pair.Factors).ToArray()),
        ],
    };

    private static Pair[] Pairs(int columns, int rows, int seed) => Enumerable.Range(0, Experts)
        .Select(e => new Pair(Dense.Random(Rank, columns, 0.3f, seed + 2 * e), Dense.Random(rows, Rank, 0.3f, seed + 2 * e + 1), 2))
        .ToArray();
}
