using Moxie.Interop;

namespace Moxie;

/// <summary>Threads, instruction set, backend, log. Create one per process and share it.</summary>
/// <remarks>
/// Any number of threads may call at once: callers queue to the runtime's one executor and sleep, so 200 of them make
/// no more native threads than one. Thread-safe. May be disposed while models made with it are in use: they keep what
/// they need.
/// </remarks>
public sealed unsafe class Runtime : IDisposable
{
    private readonly MoxieHandle handle;
    private readonly LogSink? log;

    /// <summary>Creates a runtime. It starts its threads at the first work.</summary>
    /// <param name="options">Null: the defaults, which heed MOXIE_ISA, MOXIE_BACKEND, MOXIE_THREADS, MOXIE_AFFINITY
    /// and MOXIE_CPUS.</param>
    /// <exception cref="MoxieLibraryException">The native library is missing or of another version.</exception>
    /// <exception cref="MoxieArgumentException">An option, or a variable, has a value that makes no sense.</exception>
    /// <exception cref="MoxieUnsupportedException">This machine or this build lacks what is asked for.</exception>
    public Runtime(RuntimeOptions? options = null)
    {
        options ??= new RuntimeOptions();
        using var call = new Call();
        var size = Raw.mox_runtime_options_size_get();
        var native = call.Struct(size);
        Raw.mox_runtime_options_init(native, size);
        Raw.mox_runtime_options_threads_set(native, options.Threads);
        Raw.mox_runtime_options_isa_set(native, (int)options.InstructionSet);
        Raw.mox_runtime_options_backend_set(native, (int)options.Backend);
        Raw.mox_runtime_options_numerics_set(native, (int)options.Numerics);
        Raw.mox_runtime_options_affinity_set(native, (int)options.Affinity);
        Raw.mox_runtime_options_cpus_set(native, call.Utf8(options.Cpus));
        if (options.Log is not null)
        {
            log = new LogSink(options.Log);
            Raw.mox_runtime_options_log_set(native, LogSink.Callback);
            Raw.mox_runtime_options_log_payload_set(native, log.Number);
            Raw.mox_runtime_options_log_level_set(native, (int)options.LogLevel);
        }
        var slot = call.Slot();
        handle = call.Create(new MoxieHandle(&Raw.mox_runtime_free, log),
            Raw.mox_runtime_create(native, (nint)slot, call.Error), slot);
        Info = Describe(call);
    }

    /// <summary>What was chosen, and from what.</summary>
    public RuntimeInfo Info { get; }

    /// <summary>The last exception that the log callback threw, or null. It went no further: the call that logged went
    /// on.</summary>
    public Exception? LogFailure => log?.Failure;

    /// <summary>The kernel table, best to reference, and why those that are not used are not.</summary>
    /// <exception cref="ObjectDisposedException">The runtime was disposed.</exception>
    public IReadOnlyList<KernelInfo> Kernels
    {
        get
        {
            using var call = new Call();
            var self = call.Hold(handle, this);
            nint* name = call.Slot(), skipped = call.Slot();
            var kernels = new List<KernelInfo>();
            for (nuint index = 0; ; ++index)
            {
                var status = Raw.mox_runtime_kernel(self, index, (nint)name, (nint)skipped, call.Error);
                if (status == (int)Status.NotFound)
                    return kernels;
                call.Check(status);
                var reason = Call.Text(*skipped);
                kernels.Add(new KernelInfo(Call.Text(*name), reason.Length == 0 ? null : reason));
            }
        }
    }

    /// <summary>Opens a checkpoint folder: Hugging Face (config.json with safetensors) or mistral's (params.json with
    /// consolidated.safetensors).</summary>
    /// <exception cref="MoxieNotFoundException">No such folder or file.</exception>
    /// <exception cref="MoxieFileException">Damaged or contradictory files.</exception>
    /// <exception cref="MoxieUnsupportedException">A kind of model that the library does not have.</exception>
    public Model OpenModel(string folder, LoadOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(folder);
        using var call = new Call();
        var slot = call.Slot();
        return new Model(call.Create(new MoxieHandle(&Raw.mox_model_free, log),
            Raw.mox_model_open(call.Hold(handle, this), call.Utf8(folder), LoadOptions.Write(options, call),
                (nint)slot, call.Error), slot), call);
    }

    /// <summary>Opens one layer of a checkpoint folder as a transformer block. Tensors of other layers need not be
    /// there.</summary>
    /// <inheritdoc cref="OpenModel"/>
    public Block OpenBlock(string folder, int layer, LoadOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(folder);
        using var call = new Call();
        var slot = call.Slot();
        return new Block(call.Create(new MoxieHandle(&Raw.mox_block_free, log),
            Raw.mox_block_open(call.Hold(handle, this), call.Utf8(folder), layer, LoadOptions.Write(options, call),
                (nint)slot, call.Error), slot), call);
    }

    /// <summary>Opens the feed-forward of one layer of a checkpoint folder. Tensors of other layers need not be
    /// there.</summary>
    /// <inheritdoc cref="OpenModel"/>
    public FeedForward OpenFeedForward(string folder, int layer, LoadOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(folder);
        using var call = new Call();
        var slot = call.Slot();
        return new FeedForward(call.Create(new MoxieHandle(&Raw.mox_feed_forward_free, log),
            Raw.mox_feed_forward_open(call.Hold(handle, this), call.Utf8(folder), layer,
                LoadOptions.Write(options, call), (nint)slot, call.Error), slot), call);
    }

    /// <summary>Makes a feed-forward from your weights. They are copied and packed.</summary>
    /// <exception cref="MoxieArgumentException">The weights do not fit the description.</exception>
    public FeedForward CreateFeedForward(FeedForwardDescription description)
    {
        ArgumentNullException.ThrowIfNull(description);
        using var call = new Call();
        var slot = call.Slot();
        return new FeedForward(call.Create(new MoxieHandle(&Raw.mox_feed_forward_free, log),
            Raw.mox_feed_forward_create(call.Hold(handle, this), description.Write(call), (nint)slot, call.Error),
            slot), call);
    }

    /// <summary>Gives up the runtime. Its threads end when the last object made with it is disposed. Twice is
    /// fine.</summary>
    public void Dispose() => handle.Dispose();

    private RuntimeInfo Describe(Call call)
    {
        var size = Raw.mox_runtime_info_size_get();
        var info = call.Struct(size);
        Raw.mox_runtime_info_struct_size_set(info, size);
        call.Check(Raw.mox_runtime_describe(call.Hold(handle, this), info, call.Error));
        return new RuntimeInfo
        {
            Threads = Raw.mox_runtime_info_threads_get(info),
            InstructionSet = (InstructionSet)Raw.mox_runtime_info_isa_get(info),
            MachineInstructionSet = (InstructionSet)Raw.mox_runtime_info_machine_isa_get(info),
            Cpu = Call.Text(Raw.mox_runtime_info_cpu_get(info)),
            Backends = Call.Text(Raw.mox_runtime_info_backends_get(info)).Split(','),
            Float32Kernel = Call.Text(Raw.mox_runtime_info_kernel_f32_get(info)),
            BFloat16Kernel = Call.Text(Raw.mox_runtime_info_kernel_bf16_get(info)),
            Affinity = (Affinity)Raw.mox_runtime_info_affinity_get(info),
            Cores = Raw.mox_runtime_info_cores_get(info),
            NumaNodes = Raw.mox_runtime_info_numa_nodes_get(info),
            Cpus = Call.Text(Raw.mox_runtime_info_cpus_get(info)),
        };
    }
}
