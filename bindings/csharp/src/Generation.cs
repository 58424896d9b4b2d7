using System.Runtime.CompilerServices;

namespace Moxie;

/// <summary>How <see cref="Model.Generate"/> goes on.</summary>
public sealed record GenerationOptions
{
    /// <summary>Held by you until the generation has ended; null: the plain base.</summary>
    public Adapter? Adapter { get; init; }

    /// <summary>Used by the generation alone until it has ended; null: greedy.</summary>
    public Sampler? Sampler { get; init; }

    /// <summary>At most as many tokens.</summary>
    public int MaxTokens { get; init; } = 256;

    /// <summary>The token that ends the text; it is not part of it. Null: the model's own, where it states one. -1: none
    /// does.</summary>
    public int? EndToken { get; init; }
}

public sealed partial class Model
{
    /// <summary>Continues a sequence: takes the prompt, then token after token, each chosen by the sampler. Runs as the
    /// result is enumerated, on the enumerating thread.</summary>
    /// <param name="sequence">Used by the generation alone until it has ended. It then holds the prompt and all given
    /// tokens but the last, which no step has taken yet: give that first when you go on.</param>
    /// <param name="prompt">At least one token.</param>
    /// <param name="options">Null: 256 tokens at most, greedy, plain base.</param>
    /// <returns>The new tokens, without the one that ended the text.</returns>
    /// <exception cref="ArgumentException">The prompt is empty.</exception>
    public IEnumerable<int> Generate(Sequence sequence, ReadOnlyMemory<int> prompt, GenerationOptions? options = null)
    {
        CheckGeneration(sequence, prompt, options);
        return Iterate(sequence, prompt, options ?? new GenerationOptions());
    }

    /// <summary>The same as a stream. Each step runs on the thread pool; nothing is pinned or held between steps.
    /// Cancelling takes effect between two steps; the sequence then holds what the steps before took.</summary>
    /// <inheritdoc cref="Generate"/>
    /// <param name="sequence">As for <see cref="Generate"/>.</param>
    /// <param name="prompt">At least one token; must not change until the first token is there.</param>
    /// <param name="options">As for <see cref="Generate"/>.</param>
    /// <param name="cancellationToken">Ends the stream with an <see cref="OperationCanceledException"/>.</param>
    public IAsyncEnumerable<int> GenerateAsync(Sequence sequence, ReadOnlyMemory<int> prompt,
        GenerationOptions? options = null, CancellationToken cancellationToken = default)
    {
        CheckGeneration(sequence, prompt, options);
        return IterateAsync(sequence, prompt, options ?? new GenerationOptions(), cancellationToken);
    }

    private static void CheckGeneration(Sequence sequence, ReadOnlyMemory<int> prompt, GenerationOptions? options)
    {
        ArgumentNullException.ThrowIfNull(sequence);
        if (prompt.IsEmpty)
            throw new ArgumentException("The prompt is empty; a generation needs at least one token to start from.",
                nameof(prompt));
        if (options is not null)
            ArgumentOutOfRangeException.ThrowIfNegative(options.MaxTokens, nameof(options));
    }

    private IEnumerable<int> Iterate(Sequence sequence, ReadOnlyMemory<int> prompt, GenerationOptions options)
    {
        using var generation = new GenerationState(this, sequence, prompt, options);
        while (generation.Advance(out var token))
            yield return token;
    }

    private async IAsyncEnumerable<int> IterateAsync(Sequence sequence, ReadOnlyMemory<int> prompt,
        GenerationOptions options, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        using var generation = new GenerationState(this, sequence, prompt, options);
        while (true)
        {
            cancellationToken.ThrowIfCancellationRequested();
            var next = await Task.Run(() => generation.Advance(out var token) ? token : (int?)null, cancellationToken)
                .ConfigureAwait(false);
            if (next is not { } chosen)
                yield break;
            yield return chosen;
        }
    }

    private sealed class GenerationState(Model model, Sequence sequence, ReadOnlyMemory<int> prompt,
        GenerationOptions options) : IDisposable
    {
        private readonly float[] logits = new float[model.Info.Vocabulary];
        private readonly int[] last = new int[1];
        private readonly Sampler? own = options.Sampler is null ? new Sampler() : null;
        private readonly int end = options.EndToken ?? model.Info.EndToken ?? -1;
        private int given;

        internal bool Advance(out int token)
        {
            token = 0;
            if (given == options.MaxTokens)
                return false;
            model.Step(sequence, given == 0 ? prompt.Span : last, logits, options.Adapter);
            token = last[0] = (options.Sampler ?? own!).Next(logits);
            ++given;
            return token != end;
        }

        public void Dispose() => own?.Dispose();
    }
}
