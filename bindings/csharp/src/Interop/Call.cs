using System.Buffers;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;

namespace Moxie.Interop;

/// <summary>Everything that must stay put during one call: handles held, memory pinned, structs of the library.
/// Undone as a whole, whatever happens in between.</summary>
internal sealed unsafe class Call : IDisposable
{
    private readonly List<nint> allocated = [];
    private List<SafeHandle>? held;
    private List<MemoryHandle>? pinned;

    internal Call()
    {
        NativeLibraries.EnsureLoaded();
        Error = Struct(Raw.mox_error_size_get());
    }

    /// <summary>Where the library says what was wrong.</summary>
    internal nint Error { get; }

    /// <summary>The native object of <paramref name="handle"/>, which lives at least as long as this call.</summary>
    internal nint Hold(MoxieHandle handle, object owner)
    {
        ObjectDisposedException.ThrowIf(handle.IsDisposed, owner);
        var added = false;
        handle.DangerousAddRef(ref added);
        (held ??= []).Add(handle);
        return handle.DangerousGetHandle();
    }

    /// <summary>Zeroed memory.</summary>
    internal nint Struct(nuint size) => Array(1, size);

    internal nint Array(int count, nuint size)
    {
        if (count == 0)
            return 0;
        var memory = (nint)NativeMemory.AllocZeroed((nuint)count, size);
        allocated.Add(memory);
        return memory;
    }

    /// <summary>Where the library puts a pointer.</summary>
    internal nint* Slot() => (nint*)Struct((nuint)sizeof(nint));

    /// <summary>A string as the library takes it; 0 for null.</summary>
    internal nint Utf8(string? text, [CallerArgumentExpression(nameof(text))] string? name = null)
    {
        if (text is null)
            return 0;
        if (text.Contains('\0'))
            throw new ArgumentException($"\"{text.Replace("\0", "\\0")}\" has a zero character in it.", name);
        var memory = Struct((nuint)Encoding.UTF8.GetMaxByteCount(text.Length) + 1);
        Encoding.UTF8.GetBytes(text, new Span<byte>((void*)memory, Encoding.UTF8.GetMaxByteCount(text.Length)));
        return memory;
    }

    internal nint Pin<T>(ReadOnlyMemory<T> memory)
    {
        if (memory.IsEmpty)
            return 0;
        var pin = memory.Pin();
        (pinned ??= []).Add(pin);
        return (nint)pin.Pointer;
    }

    internal void Check(int status)
    {
        if (status != 0)
            throw StatusTable.Exception((Status)status, Text(Raw.mox_error_message_get(Error)));
    }

    /// <summary>Runs a call that makes an object, and takes the object in.</summary>
    internal MoxieHandle Create(MoxieHandle handle, int status, nint* slot)
    {
        Check(status);
        handle.Take(*slot);
        return handle;
    }

    internal static string Text(nint utf8) => Marshal.PtrToStringUTF8(utf8) ?? "";

    public void Dispose()
    {
        if (pinned is not null)
            foreach (var pin in pinned)
                pin.Dispose();
        if (held is not null)
            foreach (var handle in held)
                handle.DangerousRelease();
        foreach (var memory in allocated)
            NativeMemory.Free((void*)memory);
    }
}
