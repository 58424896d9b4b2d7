using Moxie.Interop;

namespace Moxie;

/// <summary>What a router adds to a training loss, and how it shares out the rows. Thread-safe.</summary>
public static unsafe class RouterLoss
{
    /// <summary>The auxiliary loss, coefficients included, computed in float64 over all layers at once.</summary>
    /// <param name="options">See <see cref="Adapter.GetRouterLossOptions"/>.</param>
    /// <param name="logits">[layers * sequences * rows, experts], the layers one after another.</param>
    /// <exception cref="MoxieArgumentException">They do not fit together, or the kind has no loss.</exception>
    public static double Compute(RouterLossOptions options, ReadOnlySpan<float> logits)
    {
        using var call = new Call();
        double loss;
        fixed (float* data = logits)
            call.Check(Raw.mox_router_loss(Write(options, logits.Length, call, out var rows), (nint)data, rows,
                (nint)(&loss), call.Error));
        return loss;
    }

    /// <summary>Share of each layer's rows that went to each expert: [layers, experts]. Places without an expert count for
    /// nobody.</summary>
    /// <inheritdoc cref="Compute"/>
    public static double[] Profile(RouterLossOptions options, ReadOnlySpan<float> logits)
    {
        using var call = new Call();
        var native = Write(options, logits.Length, call, out var rows);
        var profile = new double[checked(options.Layers * options.Experts)];
        fixed (float* data = logits)
        fixed (double* target = profile)
            call.Check(Raw.mox_router_profile(native, (nint)data, rows, (nint)target, call.Error));
        return profile;
    }

    private static nint Write(RouterLossOptions options, int length, Call call, out int rows)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(options.Experts);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(options.Layers);
        rows = Rows.Count(length, options.Experts, 0, "logits");
        if (!options.Mask.IsEmpty && (long)options.Mask.Length * options.Layers != rows)
            throw new ArgumentException(
                $"Mask has {options.Mask.Length} elements; {rows} rows of logits in {options.Layers} layers need "
                + $"{rows / options.Layers}.", nameof(options));
        var size = Raw.mox_router_loss_options_size_get();
        var native = call.Struct(size);
        Raw.mox_router_loss_options_init(native, size);
        Raw.mox_router_loss_options_kind_set(native, (int)options.Kind);
        Raw.mox_router_loss_options_experts_set(native, options.Experts);
        Raw.mox_router_loss_options_top_k_set(native, options.TopK);
        if (options.TopP is { } topP)
            Raw.mox_router_loss_options_top_p_set(native, topP);
        if (options.Temperature is { } temperature)
            Raw.mox_router_loss_options_temperature_set(native, temperature);
        if (options.Capacity is { } capacity)
            Raw.mox_router_loss_options_capacity_set(native, capacity);
        if (options.BalanceCoefficient is { } balance)
            Raw.mox_router_loss_options_balance_coefficient_set(native, balance);
        if (options.ZCoefficient is { } z)
            Raw.mox_router_loss_options_z_coefficient_set(native, z);
        Raw.mox_router_loss_options_layers_set(native, options.Layers);
        Raw.mox_router_loss_options_sequences_set(native, options.Sequences);
        if (!options.Mask.IsEmpty)
        {
            var mask = call.Array(options.Mask.Length, 1);
            var bytes = new Span<byte>((void*)mask, options.Mask.Length);
            for (var index = 0; index < bytes.Length; ++index)
                bytes[index] = options.Mask.Span[index] ? (byte)1 : (byte)0;
            Raw.mox_router_loss_options_mask_set(native, mask);
        }
        return native;
    }
}

/// <summary>Settings of a router's loss and profile. What is null has the library's default.</summary>
public sealed record RouterLossOptions
{
    /// <summary>The kind; <see cref="RouterKind.LoraMoe"/> has no loss.</summary>
    public RouterKind Kind { get; init; }

    /// <summary>Experts of a router.</summary>
    public int Experts { get; init; }

    /// <summary>Top-k, MixLoRA, MoLA.</summary>
    public int TopK { get; init; }

    /// <summary>Dynamic.</summary>
    public float? TopP { get; init; }

    /// <summary>Dynamic.</summary>
    public float? Temperature { get; init; }

    /// <summary>Switch: counts in the profile only.</summary>
    public long? Capacity { get; init; }

    /// <summary>Weight of the balance term.</summary>
    public double? BalanceCoefficient { get; init; }

    /// <summary>Switch: weight of the z term.</summary>
    public double? ZCoefficient { get; init; }

    /// <summary>Layers in the logits; a linear with a router of its own counts as one.</summary>
    public int Layers { get; init; } = 1;

    /// <summary>Sequences in each layer; all have as many rows.</summary>
    public int Sequences { get; init; } = 1;

    /// <summary>[sequences * rows], true: a real token, false: padding, repeated for each layer. Empty: all rows
    /// count.</summary>
    public ReadOnlyMemory<bool> Mask { get; init; }

    internal static RouterLossOptions Read(nint native) => new()
    {
        Kind = (RouterKind)Raw.mox_router_loss_options_kind_get(native),
        Experts = Raw.mox_router_loss_options_experts_get(native),
        TopK = Raw.mox_router_loss_options_top_k_get(native),
        TopP = Raw.mox_router_loss_options_top_p_get(native),
        Temperature = Raw.mox_router_loss_options_temperature_get(native),
        Capacity = Raw.mox_router_loss_options_capacity_get(native),
        BalanceCoefficient = Raw.mox_router_loss_options_balance_coefficient_get(native),
        ZCoefficient = Raw.mox_router_loss_options_z_coefficient_get(native),
    };
}
