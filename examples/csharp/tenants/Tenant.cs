using Moxie;

/// <summary>Somebody with a prompt, an adapter and a way to choose tokens.</summary>
internal sealed class Tenant
{
    public required int Number { get; init; }

    public required string? Adapter { get; init; }

    public required int[] Prompt { get; init; }

    public required int NewTokens { get; init; }

    public required float Temperature { get; init; }

    public required TimeSpan Arrival { get; init; }

    public List<int> Tokens { get; } = [];

    /// <summary>The logits that each token was chosen from.</summary>
    public List<float[]> Logits { get; } = [];

    /// <summary>The same wishes, nothing said yet.</summary>
    public Tenant Again() => new()
    {
        Number = Number,
        Adapter = Adapter,
        Prompt = Prompt,
        NewTokens = NewTokens,
        Temperature = Temperature,
        Arrival = Arrival,
    };

    /// <summary>Speaks its tokens; who runs the steps, and with whom, is not its business.</summary>
    public async Task SpeakAsync(Model model, Adapter? adapter, Func<Step, Task> run)
    {
        using var sequence = model.CreateSequence();
        using var sampler = new Sampler(new SamplerOptions { Temperature = Temperature, TopK = 40, Seed = (ulong)Number });
        for (var i = 0; i < NewTokens; ++i)
        {
            var logits = new float[model.Info.Vocabulary];
            await run(new Step(sequence, i == 0 ? Prompt : new[] { Tokens[^1] }, logits, adapter));
            Logits.Add(logits);
            Tokens.Add(sampler.Next(logits));
        }
    }
}
