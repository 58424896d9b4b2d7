using Xunit;

namespace Moxie.Tests;

public sealed class BlockTests : IDisposable
{
    private readonly Block block = Shared.Runtime.OpenBlock(Shared.ModelFolder("tiny-llama"), 1, Shared.Float32);

    public void Dispose() => block.Dispose();

    [Fact]
    public void RowsHaveTheSameBitsAtOnceInTurnsAndInCompany()
    {
        using var adapter = block.OpenAdapter(Shared.ModelFolder("presidents-mola"));
        using Sequence once = block.CreateSequence(), turns = block.CreateSequence(), other = block.CreateSequence();
        var input = Shared.Random(5 * block.Hidden, 1, 1);
        float[] whole = new float[input.Length], parts = new float[input.Length], after = new float[input.Length];
        using var routing = block.RunWithRouting([new BlockStep(once, input, whole, after) { Adapter = adapter }]);
        Assert.Equal((1, 1), (routing.Layers, routing.Ranges));
        Assert.True(routing.Describe(0, 0).Routers > 1);
        Assert.NotEqual(whole, after);

        var split = 2 * block.Hidden;
        block.Run([new BlockStep(turns, input.AsMemory(0, split), parts.AsMemory(0, split)) { Adapter = adapter }]);
        block.Run([
            new BlockStep(other, input.AsMemory(0, split), new float[split]),
            new BlockStep(turns, input.AsMemory(split), parts.AsMemory(split)) { Adapter = adapter },
        ]);
        Shared.SameBits(whole, parts, "in turns");
        Assert.Equal((5, 5, 2), (once.Length, turns.Length, other.Length));
    }

    [Fact]
    public void BFloat16RowsMayLieApart()
    {
        var stride = block.Hidden + 4;
        using Sequence one = block.CreateSequence(), two = block.CreateSequence();
        var input = Shared.Random(2 * stride, 1, 2).Select(value => (BFloat16)value).ToArray();
        BFloat16[] output = new BFloat16[input.Length], tight = new BFloat16[2 * block.Hidden];
        block.Run([new BlockStep(one, input, output) { Stride = stride }]);
        BFloat16[] close = [.. input[..block.Hidden], .. input[stride..(stride + block.Hidden)]];
        block.Run([new BlockStep(two, close, tight)]);
        Assert.Equal(tight, output[..block.Hidden].Concat(output[stride..(stride + block.Hidden)]));
    }

    [Fact]
    public void WhatDoesNotFitIsRefusedAndMovesNobody()
    {
        using var sequence = block.CreateSequence();
        using var ofModel = Shared.Llama.CreateSequence();
        var row = new float[block.Hidden];
        Assert.Contains("1 rows of input, 0 of output", Assert.Throws<ArgumentException>(() =>
            block.Run([new BlockStep(sequence, row, default)])).Message);
        Assert.Throws<MoxieArgumentException>(() => block.Run([new BlockStep(ofModel, row, new float[block.Hidden])]));
        Assert.Throws<ArgumentNullException>(() => new BlockStep(null!, row, row));
        Assert.Equal(0, sequence.Length);
    }
}
