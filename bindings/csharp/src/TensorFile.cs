using Moxie.Interop;

namespace Moxie;

/// <summary>A checkpoint folder, an adapter folder, or one .safetensors or torch archive file, looked at without loading
/// it. Any number of threads may read it at once.</summary>
public sealed unsafe class TensorFile : IDisposable
{
    private readonly MoxieHandle handle;

    /// <summary>Opens a path. What is wrong with a configuration is listed in <see cref="Problems"/>.</summary>
    /// <exception cref="MoxieNotFoundException">No such path.</exception>
    /// <exception cref="MoxieFileException">A tensor file that cannot be read.</exception>
    public TensorFile(string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        using var call = new Call();
        var slot = call.Slot();
        handle = call.Create(new MoxieHandle(&Raw.mox_file_free),
            Raw.mox_file_open(call.Utf8(path), (nint)slot, call.Error), slot);
        Info = TensorFileInfo.Read(call.Hold(handle, this), call);
    }

    /// <summary>What it is.</summary>
    public TensorFileInfo Info { get; }

    /// <summary>What loading it would refuse, in the words it would use. Empty where nothing.</summary>
    /// <exception cref="ObjectDisposedException">The file was disposed.</exception>
    public IReadOnlyList<string> Problems
    {
        get
        {
            using var call = new Call();
            var self = call.Hold(handle, this);
            var slot = call.Slot();
            var problems = new List<string>();
            for (long index = 0; index < Info.Problems; ++index)
            {
                call.Check(Raw.mox_file_problem(self, index, (nint)slot, call.Error));
                problems.Add(Call.Text(*slot));
            }
            return problems;
        }
    }

    /// <summary>Settings worth showing ("hidden" is "192", "rank" is "8"), in a fixed order.</summary>
    /// <exception cref="ObjectDisposedException">The file was disposed.</exception>
    public IReadOnlyList<KeyValuePair<string, string>> Settings
    {
        get
        {
            using var call = new Call();
            var self = call.Hold(handle, this);
            nint* name = call.Slot(), value = call.Slot();
            var settings = new List<KeyValuePair<string, string>>();
            for (long index = 0; ; ++index)
            {
                var status = Raw.mox_file_setting(self, index, (nint)name, (nint)value, call.Error);
                if (status == (int)Status.NotFound)
                    return settings;
                call.Check(status);
                settings.Add(new(Call.Text(*name), Call.Text(*value)));
            }
        }
    }

    /// <summary>All tensors, sorted by name.</summary>
    /// <exception cref="ObjectDisposedException">The file was disposed.</exception>
    public IReadOnlyList<TensorInfo> Tensors
    {
        get
        {
            using var call = new Call();
            var self = call.Hold(handle, this);
            var tensors = new TensorInfo[checked((int)Info.Tensors)];
            for (var index = 0; index < tensors.Length; ++index)
                tensors[index] = TensorInfo.Read(self, index, call);
            return tensors;
        }
    }

    /// <summary>The tensor of that name.</summary>
    /// <exception cref="MoxieNotFoundException">There is none.</exception>
    public TensorInfo Find(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        using var call = new Call();
        var self = call.Hold(handle, this);
        long index;
        call.Check(Raw.mox_file_find_tensor(self, call.Utf8(name), (nint)(&index), call.Error));
        return TensorInfo.Read(self, index, call);
    }

    /// <summary>Copies a tensor's bytes as stored: contiguous, row by row, little endian.</summary>
    /// <param name="tensor">One of this file's.</param>
    /// <param name="destination">Must have <see cref="TensorInfo.Bytes"/> bytes.</param>
    /// <exception cref="MoxieArgumentException">It has not.</exception>
    public void Read(TensorInfo tensor, Span<byte> destination)
    {
        ArgumentNullException.ThrowIfNull(tensor);
        using var call = new Call();
        fixed (byte* data = destination)
            call.Check(Raw.mox_file_read_tensor(call.Hold(handle, this), tensor.Index, (nint)data,
                (nuint)destination.Length, call.Error));
    }

    /// <summary>Frees it. Twice is fine.</summary>
    public void Dispose() => handle.Dispose();
}

/// <summary>What a <see cref="TensorFile"/> is.</summary>
public sealed record TensorFileInfo
{
    internal TensorFileInfo() { }

    /// <summary>The kind.</summary>
    public TensorFileKind Kind { get; internal init; }

    /// <summary>Checkpoint: "llama", ...; adapter: "mixlora", "lora", ...; else "".</summary>
    public string Family { get; internal init; } = "";

    /// <summary>"Hugging Face", "mistral consolidated", "MoE-PEFT", "PEFT", "safetensors", "torch archive", "packed
    /// cache".</summary>
    public string Format { get; internal init; } = "";

    /// <summary>Tensors.</summary>
    public long Tensors { get; internal init; }

    /// <summary>Parameters.</summary>
    public long Parameters { get; internal init; }

    /// <summary>Bytes.</summary>
    public long Bytes { get; internal init; }

    /// <summary>How many reasons there are why loading would refuse it.</summary>
    public long Problems { get; internal init; }

    internal static TensorFileInfo Read(nint file, Call call)
    {
        var size = Raw.mox_file_info_size_get();
        var info = call.Struct(size);
        Raw.mox_file_info_struct_size_set(info, size);
        call.Check(Raw.mox_file_describe(file, info, call.Error));
        return new TensorFileInfo
        {
            Kind = (TensorFileKind)Raw.mox_file_info_kind_get(info),
            Family = Call.Text(Raw.mox_file_info_family_get(info)),
            Format = Call.Text(Raw.mox_file_info_format_get(info)),
            Tensors = Raw.mox_file_info_tensors_get(info),
            Parameters = Raw.mox_file_info_parameters_get(info),
            Bytes = Raw.mox_file_info_bytes_get(info),
            Problems = Raw.mox_file_info_problems_get(info),
        };
    }
}

/// <summary>A tensor of a <see cref="TensorFile"/>.</summary>
public sealed record TensorInfo
{
    internal TensorInfo() { }

    /// <summary>Its name.</summary>
    public string Name { get; internal init; } = "";

    /// <summary>File it is stored in, relative to the folder.</summary>
    public string File { get; internal init; } = "";

    /// <summary>Element type, as stored.</summary>
    public ElementType Type { get; internal init; }

    /// <summary>Its shape.</summary>
    public IReadOnlyList<long> Shape { get; internal init; } = [];

    /// <summary>Bytes, as stored.</summary>
    public long Bytes { get; internal init; }

    internal long Index { get; init; }

    internal static unsafe TensorInfo Read(nint file, long index, Call call)
    {
        var size = Raw.mox_tensor_info_size_get();
        var info = call.Struct(size);
        Raw.mox_tensor_info_struct_size_set(info, size);
        call.Check(Raw.mox_file_tensor(file, index, info, call.Error));
        var shape = new ReadOnlySpan<long>((void*)Raw.mox_tensor_info_shape_get(info),
            Raw.mox_tensor_info_dimensions_get(info));
        return new TensorInfo
        {
            Name = Call.Text(Raw.mox_tensor_info_name_get(info)),
            File = Call.Text(Raw.mox_tensor_info_file_get(info)),
            Type = (ElementType)Raw.mox_tensor_info_dtype_get(info),
            Shape = shape.ToArray(),
            Bytes = Raw.mox_tensor_info_bytes_get(info),
            Index = index,
        };
    }
}
