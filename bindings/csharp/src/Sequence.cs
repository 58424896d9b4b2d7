using Moxie.Interop;

namespace Moxie;

/// <summary>The keys and values of one sequence, in every layer: what attention remembers. One owner at a time: a
/// sequence that is in a call must not be used by another; the second call fails and says so. Memory grows with the
/// tokens it holds.</summary>
public sealed unsafe class Sequence : IDisposable
{
    private readonly MoxieHandle handle;

    internal Sequence(MoxieHandle handle) => this.handle = handle;

    /// <summary>Tokens held.</summary>
    /// <exception cref="ObjectDisposedException">The sequence was disposed.</exception>
    public int Length
    {
        get
        {
            using var call = new Call();
            return checked((int)Raw.mox_sequence_length(Hold(call)));
        }
    }

    /// <summary>A second sequence that remembers the same; what they share is copied only when one of them
    /// writes.</summary>
    /// <exception cref="MoxieArgumentException">The sequence is in a call.</exception>
    public Sequence Fork()
    {
        using var call = new Call();
        var slot = call.Slot();
        return new Sequence(call.Create(new MoxieHandle(&Raw.mox_sequence_free),
            Raw.mox_sequence_fork(Hold(call), (nint)slot, call.Error), slot));
    }

    /// <summary>Forgets everything after the first <paramref name="length"/> tokens.</summary>
    /// <param name="length">0 to <see cref="Length"/>.</param>
    /// <exception cref="MoxieArgumentException">There are not as many, or the sequence is in a call.</exception>
    public void Truncate(int length)
    {
        using var call = new Call();
        call.Check(Raw.mox_sequence_truncate(Hold(call), length, call.Error));
    }

    /// <summary>What it holds now.</summary>
    /// <exception cref="MoxieArgumentException">The sequence is in a call.</exception>
    public SequenceInfo Describe()
    {
        using var call = new Call();
        var size = Raw.mox_sequence_info_size_get();
        var info = call.Struct(size);
        Raw.mox_sequence_info_struct_size_set(info, size);
        call.Check(Raw.mox_sequence_describe(Hold(call), info, call.Error));
        return new SequenceInfo
        {
            Length = checked((int)Raw.mox_sequence_info_length_get(info)),
            FirstPosition = Raw.mox_sequence_info_first_position_get(info),
            KeyValues = (ElementType)Raw.mox_sequence_info_kv_get(info),
            KeyValueBytes = Raw.mox_sequence_info_kv_bytes_get(info),
        };
    }

    /// <summary>Frees the keys and values, after the call that the sequence is in, if it is in one. Twice is
    /// fine.</summary>
    public void Dispose() => handle.Dispose();

    internal nint Hold(Call call) => call.Hold(handle, this);
}

/// <summary>How a <see cref="Sequence"/> is made.</summary>
public sealed record SequenceOptions
{
    /// <summary>Position of the first token, for what would have stood left of it as padding.</summary>
    public long FirstPosition { get; init; }

    /// <summary>How keys and values are held: <see cref="ElementType.Float32"/>, or <see cref="ElementType.BFloat16"/>,
    /// which halves memory and what decoding reads; any other is refused.</summary>
    public ElementType KeyValues { get; init; } = ElementType.Float32;

    internal static nint Write(SequenceOptions? options, Call call)
    {
        if (options is null)
            return 0;
        var size = Raw.mox_sequence_options_size_get();
        var native = call.Struct(size);
        Raw.mox_sequence_options_init(native, size);
        Raw.mox_sequence_options_first_position_set(native, options.FirstPosition);
        Raw.mox_sequence_options_kv_set(native, (int)options.KeyValues);
        return native;
    }
}

/// <summary>What a <see cref="Sequence"/> holds.</summary>
public sealed record SequenceInfo
{
    internal SequenceInfo() { }

    /// <summary>Tokens held.</summary>
    public int Length { get; internal init; }

    /// <summary>Position of the first token.</summary>
    public long FirstPosition { get; internal init; }

    /// <summary>How keys and values are held.</summary>
    public ElementType KeyValues { get; internal init; }

    /// <summary>Memory of keys and values, in steps of 64 tokens; what forks share counts in each.</summary>
    public long KeyValueBytes { get; internal init; }
}
