using Moxie.Interop;

namespace Moxie;

/// <summary>The linears of one expert, or of a dense feed-forward. Biases are empty where there are none.</summary>
/// <param name="Gate">[ffn, hidden]; of a plain feed-forward the first linear.</param>
/// <param name="Up">[ffn, hidden]; null where plain.</param>
/// <param name="Down">[hidden, ffn].</param>
public sealed record ExpertWeights(Matrix Gate, Matrix? Up, Matrix Down)
{
    /// <summary>[ffn].</summary>
    public ReadOnlyMemory<float> GateBias { get; init; }

    /// <summary>[ffn].</summary>
    public ReadOnlyMemory<float> UpBias { get; init; }

    /// <summary>[hidden].</summary>
    public ReadOnlyMemory<float> DownBias { get; init; }
}

/// <summary>A feed-forward made of your weights. They are copied and packed.</summary>
public sealed record FeedForwardDescription
{
    /// <summary>The kind.</summary>
    public FeedForwardKind Kind { get; init; }

    /// <summary>Width of the rows.</summary>
    public int Hidden { get; init; }

    /// <summary>Inner width.</summary>
    public int Ffn { get; init; }

    /// <summary>The activation; never <see cref="Activation.Base"/>.</summary>
    public Activation Activation { get; init; } = Activation.Silu;

    /// <summary>One for the dense kinds, else the bank.</summary>
    public IReadOnlyList<ExpertWeights> Experts { get; init; } = [];

    /// <summary>Bank: [experts, hidden].</summary>
    public Matrix? Router { get; init; }

    /// <summary>Bank: experts per row.</summary>
    public int TopK { get; init; }

    /// <summary>How the weights are held and computed with.</summary>
    public WeightPrecision Weights { get; init; }

    /// <summary>How bfloat16 weights lie in memory.</summary>
    public WeightStorage Storage { get; init; }

    internal nint Write(Call call)
    {
        var size = Raw.mox_feed_forward_description_size_get();
        var native = call.Struct(size);
        Raw.mox_feed_forward_description_init(native, size);
        Raw.mox_feed_forward_description_kind_set(native, (int)Kind);
        Raw.mox_feed_forward_description_hidden_set(native, Hidden);
        Raw.mox_feed_forward_description_ffn_set(native, Ffn);
        Raw.mox_feed_forward_description_activation_set(native, (int)Activation);
        Raw.mox_feed_forward_description_top_k_set(native, TopK);
        Raw.mox_feed_forward_description_weights_set(native, (int)Weights);
        Raw.mox_feed_forward_description_storage_set(native, (int)Storage);
        Matrix.Write(Router, call, Raw.mox_feed_forward_description_router_get(native));

        var expertSize = Raw.mox_expert_weights_size_get();
        var experts = call.Array(Experts.Count, expertSize);
        for (var index = 0; index < Experts.Count; ++index)
        {
            var expert = Experts[index] ?? throw new ArgumentException($"{nameof(Experts)}[{index}] is null.");
            var target = experts + index * (nint)expertSize;
            Matrix.Write(expert.Gate, call, Raw.mox_expert_weights_gate_get(target));
            Matrix.Write(expert.Up, call, Raw.mox_expert_weights_up_get(target));
            Matrix.Write(expert.Down, call, Raw.mox_expert_weights_down_get(target));
            Raw.mox_expert_weights_gate_bias_set(target, Bias(expert.GateBias, Ffn, nameof(expert.GateBias)));
            Raw.mox_expert_weights_up_bias_set(target, Bias(expert.UpBias, Ffn, nameof(expert.UpBias)));
            Raw.mox_expert_weights_down_bias_set(target, Bias(expert.DownBias, Hidden, nameof(expert.DownBias)));

            nint Bias(ReadOnlyMemory<float> bias, int wanted, string name) =>
                bias.IsEmpty || bias.Length == wanted
                    ? call.Pin(bias)
                    : throw new ArgumentException(
                        $"Experts[{index}].{name} has {bias.Length} elements; expected {wanted}.");
        }
        Raw.mox_feed_forward_description_experts_set(native, experts);
        Raw.mox_feed_forward_description_expert_count_set(native, Experts.Count);
        return native;
    }
}

/// <summary>What a <see cref="FeedForward"/> is.</summary>
public sealed record FeedForwardInfo
{
    internal FeedForwardInfo() { }

    /// <summary>The kind.</summary>
    public FeedForwardKind Kind { get; internal init; }

    /// <summary>Width of the rows.</summary>
    public int Hidden { get; internal init; }

    /// <summary>Inner width.</summary>
    public int Ffn { get; internal init; }

    /// <summary>The activation.</summary>
    public Activation Activation { get; internal init; }

    /// <summary>Experts of the bank; 1 for the dense kinds.</summary>
    public int Experts { get; internal init; }

    /// <summary>Experts per row; 0 for the dense kinds.</summary>
    public int TopK { get; internal init; }

    /// <summary>Element type of the weights, as held.</summary>
    public ElementType Weights { get; internal init; }

    /// <summary>Bytes of the weights, packed.</summary>
    public long WeightBytes { get; internal init; }

    /// <summary>Bytes of them that are held compact.</summary>
    public long CompactBytes { get; internal init; }

    internal static FeedForwardInfo Read(nint feedForward, Call call)
    {
        var size = Raw.mox_feed_forward_info_size_get();
        var info = call.Struct(size);
        Raw.mox_feed_forward_info_struct_size_set(info, size);
        call.Check(Raw.mox_feed_forward_describe(feedForward, info, call.Error));
        return new FeedForwardInfo
        {
            Kind = (FeedForwardKind)Raw.mox_feed_forward_info_kind_get(info),
            Hidden = checked((int)Raw.mox_feed_forward_info_hidden_get(info)),
            Ffn = checked((int)Raw.mox_feed_forward_info_ffn_get(info)),
            Activation = (Activation)Raw.mox_feed_forward_info_activation_get(info),
            Experts = Raw.mox_feed_forward_info_expert_count_get(info),
            TopK = Raw.mox_feed_forward_info_top_k_get(info),
            Weights = (ElementType)Raw.mox_feed_forward_info_weights_get(info),
            WeightBytes = Raw.mox_feed_forward_info_weight_bytes_get(info),
            CompactBytes = Raw.mox_feed_forward_info_compact_bytes_get(info),
        };
    }
}
