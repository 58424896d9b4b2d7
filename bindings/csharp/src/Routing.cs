using Moxie.Interop;

namespace Moxie;

/// <summary>What the routers of a call decided, for every layer it ran and every range (or step) of it: each router's
/// logits, chosen experts and weights. Or a plan of yours. Immutable; any number of threads may read it at
/// once.</summary>
public sealed unsafe class Routing : IDisposable
{
    private readonly MoxieHandle handle;

    internal Routing(MoxieHandle handle, Call call)
    {
        this.handle = handle;
        var self = call.Hold(handle, this);
        Layers = checked((int)Raw.mox_routing_layers(self));
        Ranges = checked((int)Raw.mox_routing_ranges(self));
    }

    /// <summary>Layers it covers.</summary>
    public int Layers { get; }

    /// <summary>Ranges (or steps) it covers.</summary>
    public int Ranges { get; }

    /// <summary>Builds a plan of one layer from your choices, one for each range of the batch it is meant for.</summary>
    /// <exception cref="MoxieArgumentException">An id is not within -1 to experts - 1 or stands twice in a row, or a weight
    /// is not finite.</exception>
    public static Routing Create(params RoutingChoice[] choices)
    {
        ArgumentNullException.ThrowIfNull(choices);
        using var call = new Call();
        var size = Raw.mox_routing_choice_size_get();
        var native = call.Array(choices.Length, size);
        for (var index = 0; index < choices.Length; ++index)
            (choices[index] ?? throw new ArgumentException($"choices[{index}] is null.", nameof(choices)))
                .Write(native + index * (nint)size, call, index);
        var slot = call.Slot();
        return new Routing(call.Create(new MoxieHandle(&Raw.mox_routing_free),
            Raw.mox_routing_create(native, (nuint)choices.Length, (nint)slot, call.Error), slot), call);
    }

    /// <summary>The routers of one range in one layer.</summary>
    /// <exception cref="MoxieException">There is no such layer or range.</exception>
    public RoutingInfo Describe(int layer, int range)
    {
        using var call = new Call();
        return Describe(call.Hold(handle, this), layer, range, call);
    }

    /// <summary>Name of a router: "mlp" for one that serves a whole feed-forward, else its linear's ("q_proj",
    /// "gate_proj", ...).</summary>
    /// <exception cref="MoxieException">There is no such layer, range or router.</exception>
    public string RouterName(int layer, int range, int router)
    {
        using var call = new Call();
        var slot = call.Slot();
        call.Check(Raw.mox_routing_router_name(call.Hold(handle, this), layer, range, router, (nint)slot, call.Error));
        return Call.Text(*slot);
    }

    /// <summary>Copies out what was decided, router after router. An empty span: not wanted.</summary>
    /// <param name="layer">Layer.</param>
    /// <param name="range">Range, or step.</param>
    /// <param name="logits">[routers * rows, experts], before any softmax; NaN throughout where the plan is
    /// yours.</param>
    /// <param name="experts">[routers * rows, places].</param>
    /// <param name="weights">[routers * rows, places].</param>
    /// <exception cref="ArgumentException">A span that is not empty has another length than that.</exception>
    public void Read(int layer, int range, Span<float> logits, Span<int> experts, Span<float> weights)
    {
        using var call = new Call();
        var self = call.Hold(handle, this);
        var info = Describe(self, layer, range, call);
        Expect(logits.Length, (long)info.Routers * info.Rows * info.Experts, nameof(logits));
        Expect(experts.Length, (long)info.Routers * info.Rows * info.Places, nameof(experts));
        Expect(weights.Length, (long)info.Routers * info.Rows * info.Places, nameof(weights));
        fixed (float* logitData = logits, weightData = weights)
        fixed (int* expertData = experts)
            call.Check(Raw.mox_routing_read(self, layer, range, (nint)logitData, (nint)expertData, (nint)weightData,
                call.Error));
    }

    /// <summary>The same into fresh memory.</summary>
    /// <exception cref="MoxieException">There is no such layer or range.</exception>
    public RoutingDecision Read(int layer, int range)
    {
        var info = Describe(layer, range);
        var places = new int[checked(info.Routers * info.Rows * info.Places)];
        var decision = new RoutingDecision(info, new float[checked(info.Routers * info.Rows * info.Experts)], places,
            new float[places.Length]);
        Read(layer, range, decision.Logits, decision.Experts, decision.Weights);
        return decision;
    }

    /// <summary>Frees it. Twice is fine.</summary>
    public void Dispose() => handle.Dispose();

    internal static nint Hold(Routing? plan, Call call) => plan is null ? 0 : call.Hold(plan.handle, plan);

    private static void Expect(int length, long wanted, string name)
    {
        if (length != 0 && length != wanted)
            throw new ArgumentException($"{name} has {length} elements; expected {wanted}, or none.", name);
    }

    private static RoutingInfo Describe(nint routing, int layer, int range, Call call)
    {
        var size = Raw.mox_routing_info_size_get();
        var info = call.Struct(size);
        Raw.mox_routing_info_struct_size_set(info, size);
        call.Check(Raw.mox_routing_describe(routing, layer, range, info, call.Error));
        return new RoutingInfo(checked((int)Raw.mox_routing_info_rows_get(info)),
            Raw.mox_routing_info_routers_get(info), Raw.mox_routing_info_experts_get(info),
            Raw.mox_routing_info_places_get(info));
    }
}

/// <summary>The routers of one range in one layer.</summary>
/// <param name="Rows">Rows of the range.</param>
/// <param name="Routers">1 for a bank or MixLoRA; one for each linear of LoRAMoE and MoLA, in the order q, k, v, o, gate,
/// down, up; 0 for a range without a router.</param>
/// <param name="Experts">Experts each router chooses from.</param>
/// <param name="Places">Expert ids and weights per row and router: top-k's k, likeliest first; 1 for a switch, -1 where
/// over capacity; all experts for top-p (likeliest first, then -1 with weight 0) and LoRAMoE (in order).</param>
public readonly record struct RoutingInfo(int Rows, int Routers, int Experts, int Places);

/// <summary>What the routers of one range in one layer decided, router after router.</summary>
/// <param name="Info">The shapes.</param>
/// <param name="Logits">[routers * rows, experts].</param>
/// <param name="Experts">[routers * rows, places].</param>
/// <param name="Weights">[routers * rows, places].</param>
public sealed record RoutingDecision(RoutingInfo Info, float[] Logits, int[] Experts, float[] Weights);

/// <summary>What you decide for one range; see <see cref="RoutingInfo"/> for the order.</summary>
public sealed record RoutingChoice
{
    /// <summary>Rows of the range.</summary>
    public int Rows { get; init; }

    /// <summary>0 for a range without a router.</summary>
    public int Routers { get; init; }

    /// <summary>Experts to choose from.</summary>
    public int Experts { get; init; }

    /// <summary>Experts per row.</summary>
    public int Places { get; init; }

    /// <summary>[routers * rows, places]; -1 leaves a place empty.</summary>
    public ReadOnlyMemory<int> ExpertIds { get; init; }

    /// <summary>[routers * rows, places].</summary>
    public ReadOnlyMemory<float> Weights { get; init; }

    /// <summary>A range of <paramref name="rows"/> rows that has no router.</summary>
    public static RoutingChoice None(int rows) => new() { Rows = rows };

    internal void Write(nint target, Call call, int index)
    {
        var wanted = (long)Routers * Rows * Places;
        if (ExpertIds.Length != wanted || Weights.Length != wanted)
            throw new ArgumentException(
                $"choices[{index}] has {ExpertIds.Length} expert ids and {Weights.Length} weights; expected {wanted} of each "
                + $"({Routers} routers of {Rows} rows with {Places} places).");
        Raw.mox_routing_choice_rows_set(target, Rows);
        Raw.mox_routing_choice_routers_set(target, Routers);
        Raw.mox_routing_choice_experts_set(target, Experts);
        Raw.mox_routing_choice_places_set(target, Places);
        Raw.mox_routing_choice_expert_ids_set(target, call.Pin(ExpertIds));
        Raw.mox_routing_choice_weights_set(target, call.Pin(Weights));
    }
}
