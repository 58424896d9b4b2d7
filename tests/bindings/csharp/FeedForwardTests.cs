using Xunit;
using static Moxie.Tests.PlainFeedForward;

namespace Moxie.Tests;

public class FeedForwardTests
{
    private const int Hidden = TinyLayer.Hidden, Rows = 6;

    private readonly TinyLayer layer = new();

    [Fact]
    public void RangesUnderTheirAdaptersAgreeWithTheFormulas()
    {
        using var feedForward = layer.Create();
        using var lora = feedForward.CreateAdapter(layer.Lora);
        using var mixlora = feedForward.CreateAdapter(layer.MixLora);
        float[] input = Shared.Random(Rows * Hidden, 1, 7), output = new float[input.Length];
        using var routing = feedForward.RunWithRouting(input, output,
            [new RowRange(null, 0, 2), new RowRange(lora, 2, 4), new RowRange(mixlora, 4, 6)]);

        Assert.Equal((1, 3), (routing.Layers, routing.Ranges));
        Assert.Equal(0, routing.Describe(0, 1).Routers);
        var decision = routing.Read(0, 2);
        Assert.Equal(new RoutingInfo(2, 1, TinyLayer.Experts, TinyLayer.TopK), decision.Info);
        Assert.Equal("mlp", routing.RouterName(0, 2, 0));
        for (var row = 0; row < Rows; ++row)
        {
            var x = input.AsSpan(row * Hidden, Hidden).ToArray().Select(value => (double)value).ToArray();
            var truth = new double[Hidden];
            if (row < 4)
            {
                truth = Gated(layer.Gate, layer.Up, layer.Down, row < 2 ? null : layer.OnGate[0],
                    row < 2 ? null : layer.OnDown[0], x);
            }
            else
            {
                var route = Route(layer.Router, TinyLayer.TopK, x);
                for (var place = 0; place < TinyLayer.TopK; ++place)
                {
                    var (expert, weight) = route[place];
                    Assert.Equal(expert, decision.Experts[(row - 4) * TinyLayer.TopK + place]);
                    Assert.Equal(weight, decision.Weights[(row - 4) * TinyLayer.TopK + place], 5);
                    var one = Gated(layer.Gate, layer.Up, layer.Down, layer.OnGate[expert], layer.OnDown[expert], x);
                    truth = truth.Zip(one, (sum, value) => sum + weight * value).ToArray();
                }
            }
            Assert.InRange(RelativeError(output.AsSpan(row * Hidden, Hidden), truth), 0, 1e-5);
        }
    }

    [Fact]
    public void ABankRoutesByItself()
    {
        using var bank = Shared.Runtime.CreateFeedForward(new FeedForwardDescription
        {
            Kind = FeedForwardKind.Experts,
            Hidden = Hidden,
            Ffn = TinyLayer.Ffn,
            TopK = 2,
            Router = layer.Router.Matrix,
            Experts = Enumerable.Range(0, TinyLayer.Experts).Select(e => new ExpertWeights(
                Dense.Random(TinyLayer.Ffn, Hidden, 0.3f, 100 + e).Matrix, layer.Up.Matrix, layer.Down.Matrix)).ToArray(),
        });
        Assert.Equal((FeedForwardKind.Experts, TinyLayer.Experts, 2), (bank.Info.Kind, bank.Info.Experts, bank.Info.TopK));
        float[] input = Shared.Random(Hidden, 1, 8), output = new float[Hidden];
        bank.Run(input, output, [new RowRange(null, 0, 1)]);
        var x = input.Select(value => (double)value).ToArray();
        var truth = new double[Hidden];
        foreach (var (expert, weight) in Route(layer.Router, 2, x))
        {
            var one = Gated(Dense.Random(TinyLayer.Ffn, Hidden, 0.3f, 100 + expert), layer.Up, layer.Down, null, null, x);
            truth = truth.Zip(one, (sum, value) => sum + weight * value).ToArray();
        }
        Assert.InRange(RelativeError(output, truth), 0, 1e-5);
    }

    [Fact]
    public void BiasesAndActivationsOfAPlainOneAreUsed()
    {
        float[] gateBias = Shared.Random(TinyLayer.Ffn, 0.5f, 20), downBias = Shared.Random(Hidden, 0.5f, 21);
        using var plain = Shared.Runtime.CreateFeedForward(new FeedForwardDescription
        {
            Kind = FeedForwardKind.Plain,
            Activation = Activation.Relu,
            Hidden = Hidden,
            Ffn = TinyLayer.Ffn,
            Experts = [new ExpertWeights(layer.Gate.Matrix, null, layer.Down.Matrix) { GateBias = gateBias, DownBias = downBias }],
        });
        float[] input = Shared.Random(Hidden, 1, 9), output = new float[Hidden];
        plain.Run(input, output, [new RowRange(null, 0, 1)]);
        var inner = layer.Gate.Times(input.Select(value => (double)value).ToArray())
            .Zip(gateBias, (value, bias) => Math.Max(value + bias, 0)).ToArray();
        var truth = layer.Down.Times(inner).Zip(downBias, (value, bias) => value + bias).ToArray();
        Assert.InRange(RelativeError(output, truth), 0, 1e-5);

        var wrong = Assert.Throws<ArgumentException>(() => Shared.Runtime.CreateFeedForward(new FeedForwardDescription
        {
            Kind = FeedForwardKind.Plain,
            Hidden = Hidden,
            Ffn = TinyLayer.Ffn,
            Experts = [new ExpertWeights(layer.Gate.Matrix, null, layer.Down.Matrix) { GateBias = gateBias.AsMemory(1) }],
        }));
        Assert.Contains($"Experts[0].GateBias has {TinyLayer.Ffn - 1} elements; expected {TinyLayer.Ffn}", wrong.Message);
    }

    [Fact]
    public void GapsAndBFloat16RowsAreTakenAsTheyLie()
    {
        const int stride = Hidden + 5;
        using var feedForward = layer.Create();
        var spaced = Shared.Random(3 * stride, 1, 11).Select(value => (BFloat16)value).ToArray();
        var tight = Enumerable.Range(0, 3 * Hidden).Select(i => (float)spaced[i / Hidden * stride + i % Hidden]).ToArray();
        var output = Enumerable.Repeat(-77f, 3 * stride).ToArray();
        feedForward.Run(new InputRows(spaced, stride), new OutputRows(output, stride), [new RowRange(null, 0, 3)]);
        var expected = new float[tight.Length];
        feedForward.Run(tight, expected, [new RowRange(null, 0, 3)]);
        for (var row = 0; row < 3; ++row)
        {
            Shared.SameBits(expected.AsSpan(row * Hidden, Hidden), output.AsSpan(row * stride, Hidden), $"row {row}");
            Assert.All(output[(row * stride + Hidden)..((row + 1) * stride)], gap => Assert.Equal(-77f, gap));
        }
        var rounded = new BFloat16[tight.Length];
        feedForward.Run(tight, rounded, [new RowRange(null, 0, 3)]);
        Assert.Equal(expected.Select(value => (BFloat16)value), rounded);
    }

    [Fact]
    public void CompactWeightsGiveTheBitsOfPlainOnes()
    {
        Compare(storage => Shared.Runtime.CreateFeedForward(new FeedForwardDescription
        {
            Hidden = Hidden,
            Ffn = TinyLayer.Ffn,
            Weights = WeightPrecision.BFloat16,
            Storage = storage,
            Experts = [new ExpertWeights(layer.Gate.Matrix, layer.Up.Matrix, layer.Down.Matrix)],
        }));
        Compare(storage => Shared.Runtime.OpenFeedForward(Shared.ModelFolder("tiny-llama"), 2,
            new LoadOptions { Weights = WeightPrecision.BFloat16, Storage = storage }));

        static void Compare(Func<WeightStorage, FeedForward> made)
        {
            using FeedForward plain = made(WeightStorage.Plain), compact = made(WeightStorage.Compact);
            Assert.Equal(0, plain.Info.CompactBytes);
            Assert.InRange(compact.Info.CompactBytes, 1, compact.Info.WeightBytes);
            Assert.InRange(compact.Info.WeightBytes, 1, plain.Info.WeightBytes - 1);
            float[] input = Shared.Random(3 * plain.Info.Hidden, 1, 13), expected = new float[input.Length],
                actual = new float[input.Length];
            plain.Run(input, expected, [new RowRange(null, 0, 3)]);
            compact.Run(input, actual, [new RowRange(null, 0, 3)]);
            Shared.SameBits(expected, actual, "compact");
        }
    }

    [Fact]
    public void OneLayerOfACheckpointRunsUnderAdaptersFromFiles()
    {
        using var feedForward = Shared.Runtime.OpenFeedForward(Shared.ModelFolder("tiny-llama"), 2, Shared.Float32);
        Assert.Equal(ElementType.Float32, feedForward.Info.Weights);
        string[] names = ["kjv-mixlora", "melville-loramoe", "presidents-mola", "jargon-lora"];
        var adapters = names.Select(name => feedForward.OpenAdapter(Shared.ModelFolder(name))).ToArray();
        Assert.Equal([AdapterKind.MixLora, AdapterKind.LoraMoe, AdapterKind.Mola, AdapterKind.Lora],
            adapters.Select(adapter => adapter.Info.Kind));
        Assert.Equal(names, adapters.Select(adapter => adapter.Info.Name));
        var hidden = feedForward.Info.Hidden;
        float[] input = Shared.Random(8 * hidden, 1.5f, 12), mixed = new float[input.Length], alone = new float[2 * hidden];
        feedForward.Run(input, mixed, adapters.Select((adapter, i) => new RowRange(adapter, 2 * i, 2 * i + 2)).ToArray());
        for (var i = 0; i < adapters.Length; ++i)
        {
            feedForward.Run(input.AsSpan(2 * i * hidden, 2 * hidden), alone, [new RowRange(adapters[i], 0, 2)]);
            Shared.SameBits(alone, mixed.AsSpan(2 * i * hidden, 2 * hidden), names[i]);
            adapters[i].Dispose();
        }
        using var elsewhere = feedForward.OpenAdapter(Shared.ModelFolder("kjv-mixlora"), layer: 0);
        feedForward.Run(input.AsSpan(0, 2 * hidden), alone, [new RowRange(elsewhere, 0, 2)]);
        Assert.False(alone.AsSpan().SequenceEqual(mixed.AsSpan(0, 2 * hidden)), "layer 0's factors give layer 2's figures");
    }

    [Fact]
    public void SequenceBeginsReachTheRouterThatCountsThem()
    {
        using var feedForward = layer.Create();
        using var switching = feedForward.CreateAdapter(layer.MixLora with { Kind = AdapterKind.MixLoraSwitch, TopK = 1, Capacity = 1 });
        var one = Shared.Random(Hidden, 1, 13);
        float[] input = [.. one, .. one], output = new float[2 * Hidden];
        using var together = feedForward.RunWithRouting(input, output, [new RowRange(switching, 0, 2)]);
        using var apart = feedForward.RunWithRouting(input, output, [new RowRange(switching, 0, 2)], sequenceBegins: [0, 1]);
        Assert.Equal(-1, together.Read(0, 0).Experts[1]);
        Assert.Equal(apart.Read(0, 0).Experts[0], apart.Read(0, 0).Experts[1]);
        Assert.NotEqual(-1, apart.Read(0, 0).Experts[1]);
    }

    [Fact]
    public void ABatchThatDoesNotFitIsRefusedAndLeavesTheOutputAlone()
    {
        using var feedForward = layer.Create();
        var input = Shared.Random(2 * Hidden, 1, 14);
        var output = Enumerable.Repeat(5f, input.Length).ToArray();

        Refused<MoxieArgumentException>([new RowRange(null, 0, 3)], "3");
        Refused<MoxieArgumentException>([new RowRange(null, 0, 1)], "1");
        Refused<MoxieArgumentException>([new RowRange(null, 0, 2), new RowRange(null, 1, 2)], "1");
        Refused<MoxieArgumentException>([new RowRange(null, -1, 2)], "-1");
        Refused<MoxieArgumentException>([], "");
        Assert.Contains("rows of 24 do not fill that", Assert.Throws<ArgumentException>(() =>
            feedForward.Run(input.AsSpan(1), output, [new RowRange(null, 0, 2)])).Message);
        Assert.Contains("output has 1 rows; input has 2", Assert.Throws<ArgumentException>(() =>
            feedForward.Run(input, output.AsSpan(0, Hidden), [new RowRange(null, 0, 2)])).Message);
        Assert.Contains("the stride is 3; a row has 24", Assert.Throws<ArgumentException>(() =>
            feedForward.Run(new InputRows(input, 3), output, [new RowRange(null, 0, 2)])).Message);
        Assert.All(output, value => Assert.Equal(5f, value));

        void Refused<T>(RowRange[] ranges, string mentions) where T : MoxieException
        {
            var exception = Assert.Throws<T>(() => feedForward.Run(input, output, ranges));
            Assert.Contains(mentions, exception.Message, StringComparison.Ordinal);
            Assert.Equal(Status.InvalidArgument, exception.Status);
        }
    }

    [Fact]
    public void AnAdapterOfAnotherBaseIsRefused()
    {
        using var feedForward = layer.Create();
        using var other = Shared.Runtime.OpenFeedForward(Shared.ModelFolder("tiny-llama"), 0);
        using var adapter = other.OpenAdapter(Shared.ModelFolder("jargon-lora"));
        float[] input = Shared.Random(Hidden, 1, 15), output = new float[Hidden];
        Assert.Throws<MoxieArgumentException>(() => feedForward.Run(input, output, [new RowRange(adapter, 0, 1)]));
    }

    [Fact]
    public void ANaNBeforeARouterIsItsOwnException()
    {
        using var feedForward = layer.Create();
        using var mixlora = feedForward.CreateAdapter(layer.MixLora);
        float[] input = Enumerable.Repeat(float.NaN, Hidden).ToArray(), output = new float[Hidden];
        Assert.Throws<MoxieNumericException>(() => feedForward.Run(input, output, [new RowRange(mixlora, 0, 1)]));
    }

    [Fact]
    public void HalfPrecisionAndDoraFactorsAreTaken()
    {
        using var feedForward = layer.Create();
        var pair = layer.OnGate[0];
        var half = new Matrix(pair.A.Data.Select(value => (Half)value).ToArray(), TinyLayer.Rank, Hidden);
        var bfloat = new Matrix(pair.B.Data.Select(value => (BFloat16)value).ToArray(), TinyLayer.Ffn, TinyLayer.Rank);
        using var adapter = feedForward.CreateAdapter(new AdapterDescription
        {
            Projections =
            [
                new AdapterProjection(Projection.Gate,
                    [new LoraFactors(half, bfloat, 2) { Magnitude = Enumerable.Repeat(1f, TinyLayer.Ffn).ToArray() }]),
            ],
        });
        Assert.True(adapter.Info.Dora);
        Assert.Equal((AdapterKind.Lora, TinyLayer.Rank, "adapter"), (adapter.Info.Kind, adapter.Info.Rank, adapter.Info.Name));
        float[] input = Shared.Random(Hidden, 1, 16), output = new float[Hidden], plain = new float[Hidden];
        feedForward.Run(input, output, [new RowRange(adapter, 0, 1)]);
        feedForward.Run(input, plain, [new RowRange(null, 0, 1)]);
        Assert.All(output, value => Assert.True(float.IsFinite(value)));
        Assert.NotEqual(plain, output);
    }

    [Fact]
    public void AMatrixThatIsTooShortIsRefused()
    {
        var exception = Assert.Throws<ArgumentException>(() => new Matrix(new float[11], 3, 4));
        Assert.Contains("11 elements are too few for [3, 4]", exception.Message);
        Assert.Throws<ArgumentOutOfRangeException>(() => new Matrix(new float[12], 3, 4, rowStride: 3));
        Assert.Throws<ArgumentOutOfRangeException>(() => new Matrix(new float[12], 0, 4));
    }

    [Theory]
    [InlineData(1.0f, 0x3f80)]
    [InlineData(1.00390625f, 0x3f80)] // half way, to even
    [InlineData(1.01171875f, 0x3f82)] // half way, to even
    [InlineData(-3.0e38f, 0xff62)]
    [InlineData(float.PositiveInfinity, 0x7f80)]
    [InlineData(float.MaxValue, 0x7f80)]
    public void BFloat16RoundsToNearestEven(float value, int bits) => Assert.Equal(bits, ((BFloat16)value).Bits);

    [Fact]
    public void BFloat16KeepsNaN() => Assert.True(float.IsNaN((BFloat16)float.NaN));
}
