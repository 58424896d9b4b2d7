using Moxie.Interop;

namespace Moxie;

/// <summary>Chooses the next token. Holds the state of a random generator: one owner at a time. The same seed and logits
/// give the same tokens on every machine.</summary>
public sealed unsafe class Sampler : IDisposable
{
    private readonly MoxieHandle handle;

    /// <summary>A sampler.</summary>
    /// <param name="options">Null: greedy.</param>
    /// <exception cref="MoxieArgumentException">An option has a value that makes no sense.</exception>
    public Sampler(SamplerOptions? options = null)
    {
        using var call = new Call();
        nint native = 0;
        if (options is not null)
        {
            var size = Raw.mox_sampler_options_size_get();
            native = call.Struct(size);
            Raw.mox_sampler_options_init(native, size);
            Raw.mox_sampler_options_temperature_set(native, options.Temperature);
            Raw.mox_sampler_options_top_k_set(native, options.TopK);
            Raw.mox_sampler_options_top_p_set(native, options.TopP);
            Raw.mox_sampler_options_seed_set(native, options.Seed);
        }
        var slot = call.Slot();
        handle = call.Create(new MoxieHandle(&Raw.mox_sampler_free),
            Raw.mox_sampler_create(native, (nint)slot, call.Error), slot);
    }

    /// <summary>Chooses from one row of logits [vocabulary].</summary>
    /// <exception cref="MoxieNumericException">One of them is NaN.</exception>
    public int Next(ReadOnlySpan<float> logits)
    {
        using var call = new Call();
        int token;
        fixed (float* data = logits)
            call.Check(Raw.mox_sampler_next(call.Hold(handle, this), (nint)data, logits.Length, (nint)(&token),
                call.Error));
        return token;
    }

    /// <summary>Frees it. Twice is fine.</summary>
    public void Dispose() => handle.Dispose();
}

/// <summary>How a <see cref="Sampler"/> chooses.</summary>
public sealed record SamplerOptions
{
    /// <summary>0: the likeliest token; of equals the lower id.</summary>
    public float Temperature { get; init; }

    /// <summary>Keeps the k likeliest; 0: all.</summary>
    public int TopK { get; init; }

    /// <summary>Then keeps the likeliest whose probabilities reach p; 1: all.</summary>
    public float TopP { get; init; } = 1;

    /// <summary>Where the random generator starts.</summary>
    public ulong Seed { get; init; }
}
