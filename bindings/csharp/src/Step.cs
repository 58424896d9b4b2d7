namespace Moxie;

/// <summary>What one sequence does in a step: takes tokens (many: prefill; one: decode) under an adapter, and gives the
/// logits of its last rows.</summary>
public readonly record struct Step
{
    /// <summary>A step of a sequence.</summary>
    /// <param name="sequence">Whose tokens they are.</param>
    /// <param name="tokens">The tokens it takes, at least one.</param>
    /// <param name="logits">Where the logits of its last rows go; see <see cref="Logits"/>.</param>
    /// <param name="adapter">Null: the plain base.</param>
    public Step(Sequence sequence, ReadOnlyMemory<int> tokens, Memory<float> logits = default, Adapter? adapter = null)
    {
        Sequence = sequence;
        Tokens = tokens;
        Logits = logits;
        Adapter = adapter;
    }

    /// <summary>Whose tokens they are. A sequence may stand in a step once, and be in one call at a time.</summary>
    public Sequence Sequence { get; init; }

    /// <summary>The adapter, held by you at least until the call has returned; null: the plain base.</summary>
    public Adapter? Adapter { get; init; }

    /// <summary>The tokens it takes.</summary>
    public ReadOnlyMemory<int> Tokens { get; init; }

    /// <summary>Receives the logits of the last rows: as many rows of [vocabulary] as fit, which must be a whole number,
    /// at most one for each token. Empty: none are wanted. Untouched on error.</summary>
    public Memory<float> Logits { get; init; }

    /// <summary>Elements from one row of logits to the next; 0: the vocabulary.</summary>
    public int LogitsStride { get; init; }
}
