using Moxie.Interop;

namespace Moxie;

/// <summary>The feed-forward of one layer: one frozen base shared by every range of a batch. Immutable; any number of
/// threads may run batches on it at once.</summary>
/// <remarks>Made by <see cref="Runtime.CreateFeedForward"/> or <see cref="Runtime.OpenFeedForward"/>. A row's output bits
/// depend on that row, its adapter and the weights only.</remarks>
public sealed unsafe class FeedForward : IDisposable
{
    private readonly MoxieHandle handle;

    internal FeedForward(MoxieHandle handle, Call call)
    {
        this.handle = handle;
        Info = FeedForwardInfo.Read(call.Hold(handle, this), call);
    }

    /// <summary>What it is.</summary>
    public FeedForwardInfo Info { get; }

    /// <summary>Reads an adapter folder and takes one layer's tensors from it; all are checked.</summary>
    /// <param name="folder">As MoE-PEFT writes it.</param>
    /// <param name="layer">Whose tensors; null: of the layer the feed-forward was opened from.</param>
    /// <inheritdoc cref="Model.OpenAdapter"/>
    public Adapter OpenAdapter(string folder, int? layer = null)
    {
        ArgumentNullException.ThrowIfNull(folder);
        if (layer is { } number)
            ArgumentOutOfRangeException.ThrowIfNegative(number, nameof(layer));
        using var call = new Call();
        var slot = call.Slot();
        return new Adapter(call.Create(Adapter.NewHandle(),
            Raw.mox_adapter_open_for_feed_forward(call.Hold(handle, this), call.Utf8(folder), layer ?? -1, (nint)slot,
                call.Error), slot), call);
    }

    /// <summary>Makes an adapter of your factors. They are copied.</summary>
    /// <exception cref="MoxieArgumentException">The factors do not fit the description or this
    /// feed-forward.</exception>
    public Adapter CreateAdapter(AdapterDescription description)
    {
        ArgumentNullException.ThrowIfNull(description);
        using var call = new Call();
        var slot = call.Slot();
        return new Adapter(call.Create(Adapter.NewHandle(),
            Raw.mox_adapter_create(call.Hold(handle, this), description.Write(call), (nint)slot, call.Error), slot),
            call);
    }

    /// <summary>Runs a batch: each row goes to its experts, each range's result lands in its own rows.</summary>
    /// <param name="input">[rows, hidden].</param>
    /// <param name="output">[rows, hidden]; untouched on error. May be the input itself.</param>
    /// <param name="ranges">Must cover every row exactly once, in any order.</param>
    /// <param name="plan">Null: the routers decide. Else a plan of one layer with one entry for each range.</param>
    /// <param name="sequenceBegins">First rows of sequences, ascending, for routers whose capacity counts per sequence.
    /// Empty: every range is one sequence.</param>
    /// <exception cref="ArgumentException">Input and output are not the same number of whole rows.</exception>
    /// <exception cref="MoxieArgumentException">The ranges leave a gap, overlap or leave the batch; an adapter belongs to
    /// another base; the plan does not fit.</exception>
    /// <exception cref="MoxieNumericException">A router met a NaN.</exception>
    public void Run(InputRows input, OutputRows output, ReadOnlySpan<RowRange> ranges, Routing? plan = null,
        ReadOnlySpan<long> sequenceBegins = default) =>
        Execute(input, output, ranges, plan, sequenceBegins, wanted: false);

    /// <summary>The same, and tells what was decided.</summary>
    /// <inheritdoc cref="Run"/>
    public Routing RunWithRouting(InputRows input, OutputRows output, ReadOnlySpan<RowRange> ranges,
        Routing? plan = null, ReadOnlySpan<long> sequenceBegins = default) =>
        Execute(input, output, ranges, plan, sequenceBegins, wanted: true)!;

    /// <summary>Decides without running. Where an adapter has a router on each linear (LoRAMoE, MoLA), the linears before
    /// the last are computed to route it.</summary>
    /// <inheritdoc cref="Run"/>
    public Routing Route(InputRows input, ReadOnlySpan<RowRange> ranges, ReadOnlySpan<long> sequenceBegins = default)
    {
        using var call = new Call();
        var batch = WriteBatch(call, input, ranges);
        fixed (byte* inputData = input)
        fixed (long* begins = sequenceBegins)
        {
            Raw.mox_batch_input_set(batch, (nint)inputData);
            WriteSequences(batch, (nint)begins, sequenceBegins.Length);
            var slot = call.Slot();
            return new Routing(call.Create(new MoxieHandle(&Raw.mox_routing_free),
                Raw.mox_feed_forward_route(call.Hold(handle, this), batch, (nint)slot, call.Error), slot), call);
        }
    }

    /// <summary>Frees it, waiting for nobody: calls in flight keep what they need. Twice is fine.</summary>
    public void Dispose() => handle.Dispose();

    private Routing? Execute(InputRows input, OutputRows output, ReadOnlySpan<RowRange> ranges, Routing? plan,
        ReadOnlySpan<long> sequenceBegins, bool wanted)
    {
        using var call = new Call();
        var batch = WriteBatch(call, input, ranges);
        int rows = Rows.Count(input.Length, Info.Hidden, input.Stride, nameof(input)),
            outputRows = Rows.Count(output.Length, Info.Hidden, output.Stride, nameof(output));
        if (outputRows != rows)
            throw new ArgumentException($"output has {outputRows} rows; input has {rows}.", nameof(output));
        fixed (byte* inputData = input)
        fixed (byte* outputData = output)
        fixed (long* begins = sequenceBegins)
        {
            Raw.mox_batch_input_set(batch, (nint)inputData);
            Raw.mox_batch_output_set(batch, (nint)outputData);
            Raw.mox_batch_output_dtype_set(batch, (int)output.Type);
            Raw.mox_batch_output_stride_set(batch, output.Stride);
            WriteSequences(batch, (nint)begins, sequenceBegins.Length);
            var slot = wanted ? call.Slot() : null;
            var routing = wanted ? new MoxieHandle(&Raw.mox_routing_free) : null;
            call.Check(Raw.mox_feed_forward_run(call.Hold(handle, this), batch, Routing.Hold(plan, call), (nint)slot,
                call.Error));
            if (routing is null)
                return null;
            routing.Take(*slot);
            return new Routing(routing, call);
        }
    }

    private nint WriteBatch(Call call, InputRows input, ReadOnlySpan<RowRange> ranges)
    {
        var size = Raw.mox_batch_size_get();
        var batch = call.Struct(size);
        Raw.mox_batch_init(batch, size);
        Raw.mox_batch_rows_set(batch, Rows.Count(input.Length, Info.Hidden, input.Stride, nameof(input)));
        Raw.mox_batch_input_dtype_set(batch, (int)input.Type);
        Raw.mox_batch_input_stride_set(batch, input.Stride);
        var rangeSize = Raw.mox_range_size_get();
        var native = call.Array(ranges.Length, rangeSize);
        for (var index = 0; index < ranges.Length; ++index)
        {
            var target = native + index * (nint)rangeSize;
            Raw.mox_range_adapter_set(target, Adapter.Hold(ranges[index].Adapter, call));
            Raw.mox_range_begin_set(target, ranges[index].Begin);
            Raw.mox_range_end_set(target, ranges[index].End);
        }
        Raw.mox_batch_ranges_set(batch, native);
        Raw.mox_batch_range_count_set(batch, (nuint)ranges.Length);
        return batch;
    }

    private static void WriteSequences(nint batch, nint begins, int count)
    {
        Raw.mox_batch_sequence_begins_set(batch, begins);
        Raw.mox_batch_sequence_count_set(batch, (nuint)count);
    }
}
