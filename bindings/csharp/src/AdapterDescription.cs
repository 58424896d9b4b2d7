using Moxie.Interop;

namespace Moxie;

/// <summary>One pair of factors over one linear: y + scaling * B (A x); with magnitudes (DoRA),
/// (m / n) * (W x + scaling * B A x) + bias, n the L2 norm of each row of W + scaling * B A.</summary>
/// <param name="A">[rank, in].</param>
/// <param name="B">[out, rank].</param>
/// <param name="Scaling">alpha / rank, or alpha / sqrt(rank) for rsLoRA.</param>
public sealed record LoraFactors(Matrix A, Matrix B, float Scaling)
{
    /// <summary>[out]; empty: no DoRA.</summary>
    public ReadOnlyMemory<float> Magnitude { get; init; }
}

/// <summary>The factors over one projection.</summary>
/// <param name="Projection">Which linear.</param>
/// <param name="Factors">One pair for LoRA, else one for each expert.</param>
public sealed record AdapterProjection(Projection Projection, IReadOnlyList<LoraFactors> Factors)
{
    /// <summary>LoRAMoE, MoLA: the linear's own router [experts, in]; else null.</summary>
    public Matrix? Router { get; init; }
}

/// <summary>An adapter made of your factors, over one feed-forward. They are copied.</summary>
public sealed record AdapterDescription
{
    /// <summary>The kind.</summary>
    public AdapterKind Kind { get; init; }

    /// <summary>For messages; null: "adapter".</summary>
    public string? Name { get; init; }

    /// <summary>Experts; 0 for LoRA.</summary>
    public int Experts { get; init; }

    /// <summary>MixLoRA, MoLA: experts per row.</summary>
    public int TopK { get; init; }

    /// <summary>Dynamic: in (0, 1]. Null: the library's default.</summary>
    public float? TopP { get; init; }

    /// <summary>Dynamic: at least 0. Null: the library's default.</summary>
    public float? Temperature { get; init; }

    /// <summary>Switch: rows of a sequence that an expert serves. Null: the library's default.</summary>
    public long? Capacity { get; init; }

    /// <summary>MixLoRA: inside the experts.</summary>
    public Activation Activation { get; init; }

    /// <summary>MixLoRA: [experts, hidden].</summary>
    public Matrix? Router { get; init; }

    /// <summary>The projections that have factors.</summary>
    public IReadOnlyList<AdapterProjection> Projections { get; init; } = [];

    internal nint Write(Call call)
    {
        var size = Raw.mox_adapter_description_size_get();
        var native = call.Struct(size);
        Raw.mox_adapter_description_init(native, size);
        Raw.mox_adapter_description_kind_set(native, (int)Kind);
        if (Name is not null)
            Raw.mox_adapter_description_name_set(native, call.Utf8(Name));
        Raw.mox_adapter_description_experts_set(native, Experts);
        Raw.mox_adapter_description_top_k_set(native, TopK);
        if (TopP is { } topP)
            Raw.mox_adapter_description_top_p_set(native, topP);
        if (Temperature is { } temperature)
            Raw.mox_adapter_description_temperature_set(native, temperature);
        if (Capacity is { } capacity)
            Raw.mox_adapter_description_capacity_set(native, capacity);
        Raw.mox_adapter_description_activation_set(native, (int)Activation);
        Matrix.Write(Router, call, Raw.mox_adapter_description_router_get(native));

        var projectionSize = Raw.mox_adapter_projection_size_get();
        var projections = call.Array(Projections.Count, projectionSize);
        for (var index = 0; index < Projections.Count; ++index)
        {
            var projection = Projections[index]
                ?? throw new ArgumentException($"{nameof(Projections)}[{index}] is null.");
            var target = projections + index * (nint)projectionSize;
            Raw.mox_adapter_projection_projection_set(target, (int)projection.Projection);
            Raw.mox_adapter_projection_factors_set(target, WriteFactors(projection.Factors, call));
            Raw.mox_adapter_projection_factor_count_set(target, (nuint)projection.Factors.Count);
            Matrix.Write(projection.Router, call, Raw.mox_adapter_projection_router_get(target));
        }
        Raw.mox_adapter_description_projections_set(native, projections);
        Raw.mox_adapter_description_projection_count_set(native, (nuint)Projections.Count);
        return native;
    }

    private static nint WriteFactors(IReadOnlyList<LoraFactors> factors, Call call)
    {
        var size = Raw.mox_lora_factors_size_get();
        var native = call.Array(factors.Count, size);
        for (var index = 0; index < factors.Count; ++index)
        {
            var pair = factors[index];
            var target = native + index * (nint)size;
            if (!pair.Magnitude.IsEmpty && pair.Magnitude.Length != pair.B.Rows)
                throw new ArgumentException(
                    $"Factors[{index}].Magnitude has {pair.Magnitude.Length} elements; B has {pair.B.Rows} rows.");
            Matrix.Write(pair.A, call, Raw.mox_lora_factors_a_get(target));
            Matrix.Write(pair.B, call, Raw.mox_lora_factors_b_get(target));
            Raw.mox_lora_factors_scaling_set(target, pair.Scaling);
            Raw.mox_lora_factors_magnitude_set(target, call.Pin(pair.Magnitude));
        }
        return native;
    }
}
