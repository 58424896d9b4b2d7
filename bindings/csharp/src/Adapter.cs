using Moxie.Interop;

namespace Moxie;

/// <summary>LoRA, rsLoRA, DoRA, MixLoRA, LoRAMoE or MoLA over a frozen base. Immutable; any number of threads may use it
/// at once, and dispose it while batches run: a call that has started keeps what it needs, and disposing neither waits
/// for it nor disturbs it.</summary>
/// <remarks>Opened by <see cref="Model.OpenAdapter"/>, <see cref="Block.OpenAdapter"/> or
/// <see cref="FeedForward.OpenAdapter"/>, or made of your own factors by <see cref="FeedForward.CreateAdapter"/>.
/// </remarks>
public sealed unsafe class Adapter : IDisposable
{
    private readonly MoxieHandle handle;

    internal Adapter(MoxieHandle handle, Call call)
    {
        this.handle = handle;
        Info = AdapterInfo.Read(call.Hold(handle, this), call);
    }

    private Adapter(MoxieHandle handle, AdapterInfo info) => (this.handle, Info) = (handle, info);

    /// <summary>What it is.</summary>
    public AdapterInfo Info { get; }

    /// <summary>One more holder of the same weights, to be disposed on its own. The weights are freed with the last
    /// one.</summary>
    /// <exception cref="ObjectDisposedException">This holder was disposed.</exception>
    public Adapter Retain()
    {
        using var call = new Call();
        var another = NewHandle();
        another.Take(Raw.mox_adapter_retain(call.Hold(handle, this)));
        return new Adapter(another, Info);
    }

    /// <summary>A router loss's settings from the adapter's configuration (strategy, coefficients, top-k, ...); layers,
    /// sequences and mask are yours to add.</summary>
    /// <exception cref="MoxieUnsupportedException">The adapter adds no loss (LoRA, LoRAMoE, router_loss
    /// false).</exception>
    public RouterLossOptions GetRouterLossOptions()
    {
        using var call = new Call();
        var size = Raw.mox_router_loss_options_size_get();
        var native = call.Struct(size);
        Raw.mox_router_loss_options_init(native, size);
        call.Check(Raw.mox_adapter_router_loss(call.Hold(handle, this), native, call.Error));
        return RouterLossOptions.Read(native);
    }

    /// <summary>One holder fewer. Twice is fine.</summary>
    public void Dispose() => handle.Dispose();

    internal static MoxieHandle NewHandle() => new(&Raw.mox_adapter_release);

    internal static nint Hold(Adapter? adapter, Call call) => adapter is null ? 0 : call.Hold(adapter.handle, adapter);
}

/// <summary>What an <see cref="Adapter"/> is.</summary>
public sealed record AdapterInfo
{
    internal AdapterInfo() { }

    /// <summary>The kind.</summary>
    public AdapterKind Kind { get; internal init; }

    /// <summary>Experts of a router; 0 without experts.</summary>
    public int Experts { get; internal init; }

    /// <summary>Experts per row, where the router takes a fixed number.</summary>
    public int TopK { get; internal init; }

    /// <summary>Rank of the experts, or of the plain factors.</summary>
    public int Rank { get; internal init; }

    /// <summary>Whether magnitudes rescale outputs.</summary>
    public bool Dora { get; internal init; }

    /// <summary>Parameters.</summary>
    public long Parameters { get; internal init; }

    /// <summary>Bytes, as held.</summary>
    public long Bytes { get; internal init; }

    /// <summary>The folder's name, or the description's.</summary>
    public string Name { get; internal init; } = "";

    internal static AdapterInfo Read(nint adapter, Call call)
    {
        var size = Raw.mox_adapter_info_size_get();
        var info = call.Struct(size);
        Raw.mox_adapter_info_struct_size_set(info, size);
        call.Check(Raw.mox_adapter_describe(adapter, info, call.Error));
        return new AdapterInfo
        {
            Kind = (AdapterKind)Raw.mox_adapter_info_kind_get(info),
            Experts = Raw.mox_adapter_info_experts_get(info),
            TopK = Raw.mox_adapter_info_top_k_get(info),
            Rank = Raw.mox_adapter_info_rank_get(info),
            Dora = Raw.mox_adapter_info_dora_get(info) != 0,
            Parameters = Raw.mox_adapter_info_parameters_get(info),
            Bytes = Raw.mox_adapter_info_bytes_get(info),
            Name = Call.Text(Raw.mox_adapter_info_name_get(info)),
        };
    }
}
