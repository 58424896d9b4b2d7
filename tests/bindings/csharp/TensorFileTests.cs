using System.Runtime.InteropServices;
using Xunit;

namespace Moxie.Tests;

public class TensorFileTests
{
    [Fact]
    public void ACheckpointIsLookedAtAndItsTensorsRead()
    {
        using var file = new TensorFile(Shared.ModelFolder("tiny-llama"));
        Assert.Equal((TensorFileKind.Checkpoint, "llama", "Hugging Face", 0L),
            (file.Info.Kind, file.Info.Family, file.Info.Format, file.Info.Problems));
        Assert.Empty(file.Problems);
        Assert.Contains(file.Settings, setting => setting.Key == "hidden");
        Assert.Equal(file.Info.Tensors, file.Tensors.Count);
        Assert.Equal(file.Tensors.Select(tensor => tensor.Name).Order(StringComparer.Ordinal), file.Tensors.Select(tensor => tensor.Name));

        var gate = file.Find("model.layers.0.mlp.gate_proj.weight");
        Assert.Equal((ElementType.BFloat16, 2, "model.safetensors"), (gate.Type, gate.Shape.Count, gate.File));
        var bytes = new byte[gate.Bytes];
        file.Read(gate, bytes);
        Assert.Equal(gate.Shape[0] * gate.Shape[1], MemoryMarshal.Cast<byte, BFloat16>(bytes).Length);
        Assert.Contains(bytes, value => value != 0);
        Assert.Throws<MoxieArgumentException>(() => file.Read(gate, bytes.AsSpan(1)));
        Assert.Throws<MoxieNotFoundException>(() => file.Find("nobody"));
    }

    [Fact]
    public void WhatLoadingWouldRefuseIsListed()
    {
        using var file = new TensorFile(Shared.ModelFolder("tiny-mixtral-jargon-peft"));
        Assert.Equal(TensorFileKind.Adapter, file.Info.Kind);
        Assert.Equal(file.Info.Problems, file.Problems.Count);
        Assert.NotEmpty(file.Problems);
        Assert.All(file.Problems, Assert.NotEmpty);
        Assert.Throws<MoxieNotFoundException>(() => new TensorFile("/nowhere/at/all"));
    }
}
