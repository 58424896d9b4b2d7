using Moxie.Interop;

namespace Moxie;

/// <summary>A whole decoder: embedding, blocks, norm, head. Frozen: any number of threads may step their own sequences
/// at once.</summary>
/// <remarks>
/// Put what belongs together into one step: 64 sequences in one call are far cheaper than 64 calls. A call blocks its
/// thread until the result is there. A sequence's logits have the same bits in any company.
/// </remarks>
public sealed unsafe partial class Model : IDisposable
{
    private readonly MoxieHandle handle;

    internal Model(MoxieHandle handle, Call call)
    {
        this.handle = handle;
        Info = ModelInfo.Read(call.Hold(handle, this), call);
    }

    /// <summary>What it is.</summary>
    public ModelInfo Info { get; }

    /// <summary>A sequence that has seen nothing yet.</summary>
    /// <exception cref="ObjectDisposedException">The model was disposed.</exception>
    public Sequence CreateSequence(SequenceOptions? options = null)
    {
        using var call = new Call();
        var slot = call.Slot();
        return new Sequence(call.Create(new MoxieHandle(&Raw.mox_sequence_free),
            Raw.mox_sequence_create(call.Hold(handle, this), SequenceOptions.Write(options, call), (nint)slot,
                call.Error), slot));
    }

    /// <summary>Reads an adapter folder as MoE-PEFT writes it and lays it over the whole model. Everything in the files
    /// that changes the result is honoured or refused by name; nothing in them is executed.</summary>
    /// <exception cref="MoxieNotFoundException">No such folder or file.</exception>
    /// <exception cref="MoxieFileException">Tensors are missing, unused, damaged, or do not fit this model.</exception>
    /// <exception cref="MoxieUnsupportedException">A kind of adapter that the library does not have.</exception>
    public Adapter OpenAdapter(string folder)
    {
        ArgumentNullException.ThrowIfNull(folder);
        using var call = new Call();
        var slot = call.Slot();
        return new Adapter(call.Create(Adapter.NewHandle(),
            Raw.mox_adapter_open(call.Hold(handle, this), call.Utf8(folder), (nint)slot, call.Error), slot), call);
    }

    /// <summary>Moves one sequence on.</summary>
    /// <param name="sequence">The sequence.</param>
    /// <param name="tokens">The tokens it takes.</param>
    /// <param name="logits">Receives the logits of the last rows, as many rows of [vocabulary] as fit; may be
    /// empty.</param>
    /// <param name="adapter">Null: the plain base.</param>
    /// <exception cref="MoxieArgumentException">A token is not in the vocabulary, or more rows of logits are asked for
    /// than there are tokens, or the sequence is in another call, or belongs to another model.</exception>
    /// <exception cref="MoxieNumericException">A router met a NaN.</exception>
    public void Step(Sequence sequence, ReadOnlySpan<int> tokens, Span<float> logits, Adapter? adapter = null)
    {
        ArgumentNullException.ThrowIfNull(sequence);
        using var call = new Call();
        var native = call.Struct(Raw.mox_step_size_get());
        fixed (int* tokenData = tokens)
        fixed (float* logitData = logits)
        {
            WriteStep(call, native, sequence, adapter, (nint)tokenData, tokens.Length, (nint)logitData, logits.Length,
                0, nameof(logits));
            call.Check(Raw.mox_model_step(call.Hold(handle, this), native, 1, 0, call.Error));
        }
    }

    /// <summary>Moves all given sequences on together: prefill and decode, base and adapters, mixed. All or nothing: on
    /// error no sequence has moved and no logits are written.</summary>
    /// <inheritdoc cref="Step(Sequence, ReadOnlySpan{int}, Span{float}, Adapter)"/>
    public void Step(ReadOnlySpan<Step> steps) => Run(steps, wanted: false);

    /// <summary>The same, and tells what every layer's routers decided: one range for each step.</summary>
    /// <inheritdoc cref="Step(ReadOnlySpan{Step})"/>
    public Routing StepWithRouting(ReadOnlySpan<Step> steps) => Run(steps, wanted: true)!;

    /// <summary>Frees the model; sequences, adapters and calls in flight keep what they need. Twice is fine.</summary>
    public void Dispose() => handle.Dispose();

    private Routing? Run(ReadOnlySpan<Step> steps, bool wanted)
    {
        using var call = new Call();
        var size = Raw.mox_step_size_get();
        var native = call.Array(steps.Length, size);
        for (var index = 0; index < steps.Length; ++index)
        {
            ref readonly var step = ref steps[index];
            if (step.Sequence is null)
                throw new ArgumentException($"steps[{index}].Sequence is null.", nameof(steps));
            WriteStep(call, native + index * (nint)size, step.Sequence, step.Adapter, call.Pin(step.Tokens),
                step.Tokens.Length, call.Pin<float>(step.Logits), step.Logits.Length, step.LogitsStride,
                $"steps[{index}].Logits");
        }
        var slot = wanted ? call.Slot() : null;
        var routing = wanted ? new MoxieHandle(&Raw.mox_routing_free) : null;
        call.Check(Raw.mox_model_step(call.Hold(handle, this), native, (nuint)steps.Length, (nint)slot, call.Error));
        if (routing is null)
            return null;
        routing.Take(*slot);
        return new Routing(routing, call);
    }

    private void WriteStep(Call call, nint native, Sequence sequence, Adapter? adapter, nint tokens, int tokenCount,
        nint logits, int logitCount, int stride, string name)
    {
        Raw.mox_step_sequence_set(native, sequence.Hold(call));
        Raw.mox_step_adapter_set(native, Adapter.Hold(adapter, call));
        Raw.mox_step_tokens_set(native, tokens);
        Raw.mox_step_token_count_set(native, tokenCount);
        Raw.mox_step_logits_set(native, logits);
        Raw.mox_step_logits_rows_set(native, Rows.Count(logitCount, Info.Vocabulary, stride, name));
        Raw.mox_step_logits_stride_set(native, stride);
    }
}
