using Moxie.Interop;

namespace Moxie;

/// <summary>The library's own names and facts. Thread-safe.</summary>
public static unsafe class MoxieLibrary
{
    /// <summary>Version of the native library that is loaded: "MAJOR.MINOR.PATCH".</summary>
    /// <exception cref="MoxieLibraryException">It is missing, or of another version than this package.</exception>
    public static string Version => Text(&Raw.mox_version);

    /// <summary>"invalid argument", "invalid file", ...</summary>
    public static string Name(this Status status) => Text(&Raw.mox_status_name, (int)status);

    /// <summary>"float32", "bfloat16", ...</summary>
    public static string Name(this ElementType type) => Text(&Raw.mox_dtype_name, (int)type);

    /// <summary>Bytes of one element; 0 for an unknown type.</summary>
    public static int Size(this ElementType type)
    {
        NativeLibraries.EnsureLoaded();
        return (int)Raw.mox_dtype_size((int)type);
    }

    /// <summary>As the environment variable MOXIE_ISA takes it.</summary>
    public static string Name(this InstructionSet level) => Text(&Raw.mox_isa_name, (int)level);

    /// <summary>As the environment variable MOXIE_BACKEND takes it.</summary>
    public static string Name(this Backend backend) => Text(&Raw.mox_backend_name, (int)backend);

    /// <summary>As the environment variable MOXIE_AFFINITY takes it.</summary>
    public static string Name(this Affinity affinity) => Text(&Raw.mox_affinity_name, (int)affinity);

    /// <summary>"lora", "mixlora", "mixlora-dynamic", ...</summary>
    public static string Name(this AdapterKind kind) => Text(&Raw.mox_adapter_kind_name, (int)kind);

    private static string Text(delegate*<nint> name)
    {
        NativeLibraries.EnsureLoaded();
        return Call.Text(name());
    }

    private static string Text(delegate*<int, nint> name, int value)
    {
        NativeLibraries.EnsureLoaded();
        return Call.Text(name(value));
    }
}
