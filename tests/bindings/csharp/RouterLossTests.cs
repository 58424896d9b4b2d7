using Xunit;

namespace Moxie.Tests;

public class RouterLossTests
{
    [Fact]
    public void LossAndProfileOfAModelsRoutersAgreeWithTheFormula()
    {
        using var model = Shared.Runtime.OpenModel(Shared.ModelFolder("tiny-mixtral"));
        Examine(model, null, new RouterLossOptions
        {
            Kind = RouterKind.TopK,
            Experts = model.Info.Experts,
            TopK = model.Info.TopK,
            BalanceCoefficient = 0.02,
        });
    }

    [Fact]
    public void AnAdaptersConfigurationSaysWhichLossItIsTrainedWith()
    {
        using var adapter = Shared.Llama.OpenAdapter(Shared.ModelFolder("kjv-mixlora"));
        var options = adapter.GetRouterLossOptions();
        Assert.Equal((RouterKind.MixLora, 8, 2), (options.Kind, options.Experts, options.TopK));
        Assert.True(options.BalanceCoefficient > 0);
        Examine(Shared.Llama, adapter, options);

        using var lora = Shared.Llama.OpenAdapter(Shared.ModelFolder("jargon-lora"));
        Assert.Throws<MoxieUnsupportedException>(lora.GetRouterLossOptions);
    }

    [Fact]
    public void WhatDoesNotFitIsRefused()
    {
        var options = new RouterLossOptions { Kind = RouterKind.TopK, Experts = 4, TopK = 2, Layers = 2 };
        Assert.Contains("rows of 4 do not fill that", Assert.Throws<ArgumentException>(() => RouterLoss.Compute(options, new float[9])).Message);
        Assert.Contains("Mask has 3 elements", Assert.Throws<ArgumentException>(() =>
            RouterLoss.Compute(options with { Mask = new bool[3] }, new float[16])).Message);
        Assert.Throws<MoxieArgumentException>(() => RouterLoss.Compute(options with { TopK = 5 }, new float[16]));
        Assert.ThrowsAny<MoxieException>(() => RouterLoss.Compute(options with { Kind = RouterKind.LoraMoe }, new float[16]));
    }

    private static void Examine(Model model, Adapter? adapter, RouterLossOptions options)
    {
        int[][] prompts = [Shared.Greedy("tiny-llama", "kjv").Prompt, Shared.Greedy("tiny-llama", "jargon").Prompt];
        var sequences = prompts.Select(_ => model.CreateSequence()).ToArray();
        using var routing = model.StepWithRouting(
            prompts.Select((prompt, i) => new Step(sequences[i], prompt, default, adapter)).ToArray());
        int rows = prompts.Max(prompt => prompt.Length), layers = model.Info.Layers, experts = options.Experts, places = options.TopK;
        var mask = prompts.SelectMany(prompt => Enumerable.Range(0, rows).Select(row => row < prompt.Length)).ToArray();
        var logits = new float[layers * mask.Length * experts];
        double[] taken = new double[layers * experts], probability = new double[experts];
        for (var layer = 0; layer < layers; ++layer)
            for (var s = 0; s < prompts.Length; ++s)
            {
                var decision = routing.Read(layer, s);
                decision.Logits.CopyTo(logits, (layer * prompts.Length + s) * rows * experts);
                foreach (var expert in decision.Experts)
                    taken[layer * experts + expert] += 1.0 / prompts.Sum(prompt => prompt.Length);
                foreach (var row in decision.Logits.Chunk(experts))
                    for (var e = 0; e < experts; ++e)
                        probability[e] += 1 / row.Sum(other => Math.Exp((double)other - row[e]));
            }
        options = options with { Layers = layers, Sequences = prompts.Length, Mask = mask };
        Assert.Equal(taken, RouterLoss.Profile(options, logits), (a, b) => Math.Abs(a - b) < 1e-12);
        var count = layers * prompts.Sum(prompt => prompt.Length);
        var balance = experts * Enumerable.Range(0, experts).Sum(e =>
            Enumerable.Range(0, layers).Sum(layer => taken[layer * experts + e]) / layers * (probability[e] / count));
        Assert.Equal(options.BalanceCoefficient!.Value * balance, RouterLoss.Compute(options, logits), 1e-9);
        Array.ForEach(sequences, sequence => sequence.Dispose());
    }
}
