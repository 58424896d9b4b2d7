using Xunit;

namespace Moxie.Tests;

public class GenerationTests
{
    private readonly Model model = Shared.Llama;

    [Fact]
    public async Task TheStreamIsTheReferencesContinuation()
    {
        using var adapter = model.OpenAdapter(Shared.ModelFolder("jargon-lora"));
        var (prompt, expected) = Shared.Greedy("jargon-lora", "sotu");
        using var sequence = model.CreateSequence();
        var tokens = new List<int>();
        var options = new GenerationOptions { Adapter = adapter, MaxTokens = 24, EndToken = -1 };
        await foreach (var token in model.GenerateAsync(sequence, prompt, options))
            tokens.Add(token);
        Assert.Equal(expected.Take(24), tokens);
        Assert.Equal(prompt.Length + 23, sequence.Length);

        using var again = model.CreateSequence();
        Assert.Equal(tokens, model.Generate(again, prompt, options));
    }

    [Fact]
    public void GoesOnWhereItEnded()
    {
        var (prompt, expected) = Shared.Greedy("tiny-llama", "kjv");
        using var sequence = model.CreateSequence();
        var options = new GenerationOptions { MaxTokens = 5, EndToken = -1 };
        var first = model.Generate(sequence, prompt, options).ToArray();
        var second = model.Generate(sequence, first.AsMemory(4), options);
        Assert.Equal(expected.Take(10), first.Concat(second));
    }

    [Fact]
    public void TheEndTokenEndsItAndIsNotGiven()
    {
        var (prompt, expected) = Shared.Greedy("tiny-llama", "kjv");
        var end = expected[6];
        using var sequence = model.CreateSequence();
        Assert.Equal(expected.TakeWhile(token => token != end),
            model.Generate(sequence, prompt, new GenerationOptions { EndToken = end }));
        using var none = model.CreateSequence();
        Assert.Empty(model.Generate(none, prompt, new GenerationOptions { MaxTokens = 0 }));
        Assert.Equal(0, none.Length);
    }

    [Fact]
    public void ASeedGivesTheSameTokensAgain()
    {
        var prompt = Shared.Greedy("tiny-llama", "moby").Prompt;
        var options = new SamplerOptions { Temperature = 0.9f, TopK = 40, TopP = 0.95f, Seed = 42 };
        Assert.Equal(Run(options), Run(options));
        Assert.NotEqual(Run(options), Run(options with { Seed = 43 }));

        int[] Run(SamplerOptions settings)
        {
            using var sampler = new Sampler(settings);
            using var sequence = model.CreateSequence();
            return model.Generate(sequence, prompt, new GenerationOptions { Sampler = sampler, MaxTokens = 20, EndToken = -1 }).ToArray();
        }
    }

    [Fact]
    public async Task CancellingEndsTheStreamBetweenTwoSteps()
    {
        var prompt = Shared.Greedy("tiny-llama", "kjv").Prompt;
        using var sequence = model.CreateSequence();
        using var cancellation = new CancellationTokenSource();
        var tokens = new List<int>();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            await foreach (var token in model.GenerateAsync(sequence, prompt, new GenerationOptions { EndToken = -1 })
                .WithCancellation(cancellation.Token))
            {
                tokens.Add(token);
                if (tokens.Count == 3)
                    await cancellation.CancelAsync();
            }
        });
        Assert.Equal(3, tokens.Count);
        Assert.Equal(prompt.Length + 2, sequence.Length);

        using var before = model.CreateSequence();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
            await model.GenerateAsync(before, prompt, null, cancellation.Token).GetAsyncEnumerator().MoveNextAsync());
        Assert.Equal(0, before.Length);
    }

    [Fact]
    public void WhatMakesNoSenseIsRefusedAtOnce()
    {
        using var sequence = model.CreateSequence();
        Assert.Throws<ArgumentException>(() => model.Generate(sequence, default));
        Assert.Throws<ArgumentException>(() => model.GenerateAsync(sequence, default));
        Assert.Throws<ArgumentOutOfRangeException>(() =>
            model.Generate(sequence, new[] { 1 }, new GenerationOptions { MaxTokens = -1 }));
        Assert.Throws<ArgumentNullException>(() => model.Generate(null!, new[] { 1 }));
    }

    [Fact]
    public void TheSamplerRefusesWhatItCannotDecide()
    {
        using var sampler = new Sampler();
        Assert.Equal(2, sampler.Next([0, 1, 5, 5]));
        Assert.Throws<MoxieNumericException>(() => sampler.Next([0, float.NaN]));
        Assert.Throws<MoxieArgumentException>(() => sampler.Next([]));
        Assert.Throws<MoxieArgumentException>(() => new Sampler(new SamplerOptions { Temperature = -1 }));
    }
}
