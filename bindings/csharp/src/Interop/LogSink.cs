using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Moxie.Interop;

/// <summary>Where a runtime's log lines go.</summary>
/// <remarks>
/// The library keeps a number, not a pointer: whatever is still in flight after the last object of a runtime is gone
/// finds nobody under that number, and its line is dropped. Everything made with the runtime keeps the sink alive.
/// </remarks>
internal sealed unsafe class LogSink
{
    private static readonly ConcurrentDictionary<nint, WeakReference<LogSink>> sinks = new();
    private static long last;

    private readonly Action<RuntimeLogLevel, string> write;
    private volatile Exception? failure;

    internal LogSink(Action<RuntimeLogLevel, string> write)
    {
        this.write = write;
        Number = (nint)Interlocked.Increment(ref last);
        sinks[Number] = new WeakReference<LogSink>(this);
    }

    ~LogSink() => sinks.TryRemove(Number, out _);

    internal nint Number { get; }

    internal Exception? Failure => failure;

    internal static nint Callback => (nint)(delegate* unmanaged[Cdecl]<nint, int, nint, void>)&Receive;

    // An exception must not travel through the library's frames: it is kept for whoever asks the runtime.
    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void Receive(nint payload, int level, nint text)
    {
        if (!sinks.TryGetValue(payload, out var reference) || !reference.TryGetTarget(out var sink))
            return;
        try
        {
            sink.write((RuntimeLogLevel)level, Call.Text(text));
        }
        catch (Exception exception)
        {
            sink.failure = exception;
        }
    }
}
