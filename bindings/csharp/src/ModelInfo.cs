using Moxie.Interop;

namespace Moxie;

/// <summary>What a model is.</summary>
public sealed record ModelInfo
{
    internal ModelInfo() { }

    /// <summary>"llama", "mistral", "mixtral", "mistral-consolidated".</summary>
    public string Family { get; internal init; } = "";

    /// <summary>Width of hidden states.</summary>
    public int Hidden { get; internal init; }

    /// <summary>Inner width of a feed-forward.</summary>
    public int Ffn { get; internal init; }

    /// <summary>Token ids are 0 to this - 1; also the width of a row of logits.</summary>
    public int Vocabulary { get; internal init; }

    /// <summary>Positions the model was made for; 0: not stated.</summary>
    public long MaxPositions { get; internal init; }

    /// <summary>Transformer blocks.</summary>
    public int Layers { get; internal init; }

    /// <summary>Heads of queries.</summary>
    public int Heads { get; internal init; }

    /// <summary>Heads of keys and values.</summary>
    public int KeyValueHeads { get; internal init; }

    /// <summary>Width of a head.</summary>
    public int HeadSize { get; internal init; }

    /// <summary>Experts of a layer; 0: dense.</summary>
    public int Experts { get; internal init; }

    /// <summary>Experts per token; 0: dense.</summary>
    public int TopK { get; internal init; }

    /// <summary>Parameters.</summary>
    public long Parameters { get; internal init; }

    /// <summary>Bytes of the weights, as held.</summary>
    public long WeightBytes { get; internal init; }

    /// <summary>Element type of the linears, as held.</summary>
    public ElementType Weights { get; internal init; }

    /// <summary>Token that begins a sequence; null: not stated.</summary>
    public int? BeginToken { get; internal init; }

    /// <summary>Token that ends a sequence; null: not stated, or several.</summary>
    public int? EndToken { get; internal init; }

    internal static ModelInfo Read(nint model, Call call)
    {
        var size = Raw.mox_model_info_size_get();
        var info = call.Struct(size);
        Raw.mox_model_info_struct_size_set(info, size);
        call.Check(Raw.mox_model_describe(model, info, call.Error));
        int begin = Raw.mox_model_info_bos_token_get(info), end = Raw.mox_model_info_eos_token_get(info);
        return new ModelInfo
        {
            Family = Call.Text(Raw.mox_model_info_family_get(info)),
            Hidden = checked((int)Raw.mox_model_info_hidden_get(info)),
            Ffn = checked((int)Raw.mox_model_info_ffn_get(info)),
            Vocabulary = checked((int)Raw.mox_model_info_vocabulary_get(info)),
            MaxPositions = Raw.mox_model_info_max_positions_get(info),
            Layers = Raw.mox_model_info_layers_get(info),
            Heads = Raw.mox_model_info_heads_get(info),
            KeyValueHeads = Raw.mox_model_info_kv_heads_get(info),
            HeadSize = Raw.mox_model_info_head_dim_get(info),
            Experts = Raw.mox_model_info_experts_get(info),
            TopK = Raw.mox_model_info_top_k_get(info),
            Parameters = Raw.mox_model_info_parameters_get(info),
            WeightBytes = Raw.mox_model_info_weight_bytes_get(info),
            Weights = (ElementType)Raw.mox_model_info_weights_get(info),
            BeginToken = begin < 0 ? null : begin,
            EndToken = end < 0 ? null : end,
        };
    }
}
