using System.Runtime.InteropServices;

namespace Moxie.Interop;

/// <summary>A handle of the library. Calls in flight hold it (see <see cref="Call"/>), so closing waits for nobody
/// and frees under nobody.</summary>
internal sealed unsafe class MoxieHandle : SafeHandle
{
    private readonly delegate*<nint, void> free;
    private readonly object? keep;
    private volatile bool disposed;

    /// <param name="free">Gives it back.</param>
    /// <param name="keep">What must not be collected before the handle is given back.</param>
    internal MoxieHandle(delegate*<nint, void> free, object? keep = null)
        : base(0, ownsHandle: true)
    {
        this.free = free;
        this.keep = keep;
    }

    public override bool IsInvalid => handle == 0;

    /// <summary>What the handle was made with, for it to live as long.</summary>
    internal object? Keep => keep;

    /// <summary>Whether the user has disposed it. <see cref="SafeHandle.IsClosed"/> waits for the calls in flight: where
    /// they overlap without end, it would never come true.</summary>
    internal bool IsDisposed => disposed;

    internal void Take(nint value) => SetHandle(value);

    protected override void Dispose(bool disposing)
    {
        disposed = true;
        base.Dispose(disposing);
    }

    protected override bool ReleaseHandle()
    {
        free(handle);
        return true;
    }
}
