using Moxie.Interop;

namespace Moxie;

/// <summary>One transformer block: RMSNorm, attention, feed-forward, residuals. Immutable; any number of threads may run
/// their own sequences through it at once. Made by <see cref="Runtime.OpenBlock"/>.</summary>
public sealed unsafe class Block : IDisposable
{
    private readonly MoxieHandle handle;

    internal Block(MoxieHandle handle, Call call)
    {
        this.handle = handle;
        Hidden = checked((int)Raw.mox_block_hidden(call.Hold(handle, this)));
    }

    /// <summary>Width of the rows.</summary>
    public int Hidden { get; }

    /// <summary>A sequence of this block that has seen nothing yet.</summary>
    /// <exception cref="ObjectDisposedException">The block was disposed.</exception>
    public Sequence CreateSequence(SequenceOptions? options = null)
    {
        using var call = new Call();
        var slot = call.Slot();
        return new Sequence(call.Create(new MoxieHandle(&Raw.mox_sequence_free),
            Raw.mox_sequence_create_for_block(call.Hold(handle, this), SequenceOptions.Write(options, call), (nint)slot,
                call.Error), slot));
    }

    /// <summary>Reads an adapter folder and takes this layer's tensors from it; all are checked.</summary>
    /// <inheritdoc cref="Model.OpenAdapter"/>
    public Adapter OpenAdapter(string folder)
    {
        ArgumentNullException.ThrowIfNull(folder);
        using var call = new Call();
        var slot = call.Slot();
        return new Adapter(call.Create(Adapter.NewHandle(),
            Raw.mox_adapter_open_for_block(call.Hold(handle, this), call.Utf8(folder), (nint)slot, call.Error), slot),
            call);
    }

    /// <summary>Moves all given sequences on together. All or nothing: on error no sequence has moved and no output is
    /// written.</summary>
    /// <exception cref="ArgumentException">Input and outputs of a step are not the same number of whole rows.</exception>
    /// <exception cref="MoxieException">The library refused; see the message.</exception>
    public void Run(ReadOnlySpan<BlockStep> steps) => Execute(steps, wanted: false);

    /// <summary>The same, and tells what the block's routers decided: one range for each step.</summary>
    /// <inheritdoc cref="Run"/>
    public Routing RunWithRouting(ReadOnlySpan<BlockStep> steps) => Execute(steps, wanted: true)!;

    /// <summary>Frees it; sequences and calls in flight keep what they need. Twice is fine.</summary>
    public void Dispose() => handle.Dispose();

    private Routing? Execute(ReadOnlySpan<BlockStep> steps, bool wanted)
    {
        using var call = new Call();
        var size = Raw.mox_block_step_size_get();
        var native = call.Array(steps.Length, size);
        for (var index = 0; index < steps.Length; ++index)
            (steps[index] ?? throw new ArgumentException($"steps[{index}] is null.", nameof(steps)))
                .Write(native + index * (nint)size, Hidden, call, index);
        var slot = wanted ? call.Slot() : null;
        var routing = wanted ? new MoxieHandle(&Raw.mox_routing_free) : null;
        call.Check(Raw.mox_block_run(call.Hold(handle, this), native, (nuint)steps.Length, (nint)slot, call.Error));
        if (routing is null)
            return null;
        routing.Take(*slot);
        return new Routing(routing, call);
    }
}

/// <summary>Rows of one sequence that pass through a block, behind those it has seen.</summary>
public sealed class BlockStep
{
    private readonly Func<Call, (nint Input, nint Output, nint After)> pin;
    private readonly (int Input, int Output, int After) lengths;
    private readonly ElementType type;

    /// <summary>Rows of float32.</summary>
    /// <param name="sequence">Whose rows they are.</param>
    /// <param name="input">[rows, hidden].</param>
    /// <param name="output">[rows, hidden].</param>
    /// <param name="afterAttention">[rows, hidden]: input + attention; empty: not wanted.</param>
    public BlockStep(Sequence sequence, ReadOnlyMemory<float> input, Memory<float> output,
        Memory<float> afterAttention = default)
        : this(sequence, (input.Length, output.Length, afterAttention.Length), ElementType.Float32) =>
        pin = call => (call.Pin(input), call.Pin<float>(output), call.Pin<float>(afterAttention));

    /// <summary>Rows of bfloat16.</summary>
    /// <inheritdoc cref="BlockStep(Sequence, ReadOnlyMemory{float}, Memory{float}, Memory{float})"/>
    public BlockStep(Sequence sequence, ReadOnlyMemory<BFloat16> input, Memory<BFloat16> output,
        Memory<BFloat16> afterAttention = default)
        : this(sequence, (input.Length, output.Length, afterAttention.Length), ElementType.BFloat16) =>
        pin = call => (call.Pin(input), call.Pin<BFloat16>(output), call.Pin<BFloat16>(afterAttention));

    private BlockStep(Sequence sequence, (int Input, int Output, int After) lengths, ElementType type)
    {
        ArgumentNullException.ThrowIfNull(sequence);
        (Sequence, this.lengths, this.type, pin) = (sequence, lengths, type, _ => default);
    }

    /// <summary>Whose rows they are.</summary>
    public Sequence Sequence { get; }

    /// <summary>The adapter, held by you at least until the call has returned; null: the plain base.</summary>
    public Adapter? Adapter { get; init; }

    /// <summary>Elements from row to row, of input and outputs; 0: the rows lie side by side.</summary>
    public int Stride { get; init; }

    internal void Write(nint target, int hidden, Call call, int index)
    {
        int rows = Rows.Count(lengths.Input, hidden, Stride, $"steps[{index}]: input"),
            output = Rows.Count(lengths.Output, hidden, Stride, $"steps[{index}]: output"),
            after = Rows.Count(lengths.After, hidden, Stride, $"steps[{index}]: afterAttention");
        if (output != rows || (after != rows && lengths.After != 0))
            throw new ArgumentException($"steps[{index}] has {rows} rows of input, {output} of output and {after} of "
                + "afterAttention; expected as many of each.");
        var (inputData, outputData, afterData) = pin(call);
        Raw.mox_block_step_sequence_set(target, Sequence.Hold(call));
        Raw.mox_block_step_adapter_set(target, Adapter.Hold(Adapter, call));
        Raw.mox_block_step_input_set(target, inputData);
        Raw.mox_block_step_output_set(target, outputData);
        Raw.mox_block_step_after_attention_set(target, afterData);
        Raw.mox_block_step_rows_set(target, rows);
        Raw.mox_block_step_stride_set(target, Stride);
        Raw.mox_block_step_dtype_set(target, (int)type);
    }
}
