using Xunit;

namespace Moxie.Tests;

/// <summary>Taking the decision out of the router's hands.</summary>
public sealed class RoutingTests : IDisposable
{
    private const int BaseRows = 2, Routed = 4, TopK = 2, Experts = 8;

    private readonly FeedForward feedForward = Shared.Runtime.OpenFeedForward(Shared.ModelFolder("tiny-llama"), 1, Shared.Float32);
    private readonly Adapter adapter;
    private readonly float[] input;
    private readonly RowRange[] ranges;

    public RoutingTests()
    {
        adapter = feedForward.OpenAdapter(Shared.ModelFolder("kjv-mixlora"));
        input = Shared.Random((BaseRows + Routed) * feedForward.Info.Hidden, 1.5f, 3);
        ranges = [new RowRange(null, 0, BaseRows), new RowRange(adapter, BaseRows, BaseRows + Routed)];
    }

    public void Dispose()
    {
        adapter.Dispose();
        feedForward.Dispose();
    }

    [Fact]
    public void TheRoutersOwnPlanGivesTheRoutersOwnBits()
    {
        using var decided = feedForward.Route(input, ranges);
        var decision = decided.Read(0, 1);
        Assert.Equal(new RoutingInfo(Routed, 1, Experts, TopK), decision.Info);
        Assert.All(decision.Weights.Chunk(TopK), pair => Assert.Equal(1, pair.Sum(), 6));
        using var rebuilt = Plan(decision.Experts, decision.Weights);
        var free = Run(null);
        Shared.SameBits(free, Run(decided), "the plan as it came");
        Shared.SameBits(free, Run(rebuilt), "the plan rebuilt");
        Assert.All(rebuilt.Read(0, 1).Logits, logit => Assert.True(float.IsNaN(logit)));
    }

    [Fact]
    public void AnotherPlanSendsRowsToOtherExperts()
    {
        using Routing first = SameForAll(0, 1, -1, 0), second = SameForAll(5, 1, -1, 0), half = SameForAll(0, 0.5f, 5, 0.5f);
        float[] a = Run(first), b = Run(second), mean = Run(half);
        Assert.NotEqual(a, b);
        Assert.InRange(PlainFeedForward.RelativeError(mean, a.Zip(b, (x, y) => 0.5 * ((double)x + y)).ToArray()), 0, 1e-5);
        Shared.SameBits(a.AsSpan(0, BaseRows * feedForward.Info.Hidden), b.AsSpan(0, BaseRows * feedForward.Info.Hidden), "base rows");
    }

    [Fact]
    public void SpansThatAreNotWantedAreLeftOutAndOthersMustFit()
    {
        using var decided = feedForward.Route(input, ranges);
        var experts = new int[Routed * TopK];
        decided.Read(0, 1, [], experts, []);
        Assert.Equal(decided.Read(0, 1).Experts, experts);
        Assert.Contains("experts has 7 elements; expected 8",
            Assert.Throws<ArgumentException>(() => decided.Read(0, 1, [], experts.AsSpan(1), [])).Message);
        Assert.ThrowsAny<MoxieException>(() => decided.Read(0, 2));
        Assert.ThrowsAny<MoxieException>(() => decided.Describe(1, 0));
        Assert.ThrowsAny<MoxieException>(() => decided.RouterName(0, 1, 1));
    }

    [Fact]
    public void APlanThatMakesNoSenseIsRefused()
    {
        Assert.Contains("8", Assert.Throws<MoxieArgumentException>(() => SameForAll(0, 1, Experts, 1)).Message);
        Assert.Throws<MoxieArgumentException>(() => SameForAll(3, 1, 3, 1));
        Assert.Throws<MoxieArgumentException>(() => SameForAll(3, float.NaN, 4, 1));
        Assert.Contains("expected 8 of each", Assert.Throws<ArgumentException>(() => Plan(new int[8], new float[7])).Message);
        using var forAnother = Routing.Create(RoutingChoice.None(1));
        Assert.Throws<MoxieArgumentException>(() => Run(forAnother));
    }

    private float[] Run(Routing? plan)
    {
        var output = new float[input.Length];
        feedForward.Run(input, output, ranges, plan);
        return output;
    }

    private static Routing SameForAll(int first, float firstWeight, int second, float secondWeight) => Plan(
        Enumerable.Range(0, Routed).SelectMany(_ => new[] { first, second }).ToArray(),
        Enumerable.Range(0, Routed).SelectMany(_ => new[] { firstWeight, secondWeight }).ToArray());

    private static Routing Plan(int[] experts, float[] weights) => Routing.Create(
        RoutingChoice.None(BaseRows),
        new RoutingChoice { Rows = Routed, Routers = 1, Experts = Experts, Places = TopK, ExpertIds = experts, Weights = weights });
}
