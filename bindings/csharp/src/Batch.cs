using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Moxie;

/// <summary>Rows of a batch, and the adapter they run under.</summary>
/// <param name="Adapter">Held by you at least until the call has returned; null: the plain base.</param>
/// <param name="Begin">First row.</param>
/// <param name="End">One after the last row.</param>
public readonly record struct RowRange(Adapter? Adapter, int Begin, int End);

/// <summary>Hidden states that a call reads: [rows, hidden], float32 or bfloat16. How many rows there are follows from the
/// length.</summary>
public readonly ref struct InputRows
{
    private readonly ref readonly byte start;
    internal readonly int Length;
    internal readonly int Stride;
    internal readonly ElementType Type;

    internal ref readonly byte GetPinnableReference() => ref start;

    /// <summary>Rows of float32.</summary>
    /// <param name="rows">The elements.</param>
    /// <param name="stride">Elements from row to row; 0: the rows lie side by side.</param>
    public InputRows(ReadOnlySpan<float> rows, int stride = 0)
    {
        start = ref Unsafe.As<float, byte>(ref MemoryMarshal.GetReference(rows));
        (Length, Stride, Type) = (rows.Length, stride, ElementType.Float32);
    }

    /// <summary>Rows of bfloat16.</summary>
    /// <inheritdoc cref="InputRows(ReadOnlySpan{float}, int)"/>
    public InputRows(ReadOnlySpan<BFloat16> rows, int stride = 0)
    {
        start = ref Unsafe.As<BFloat16, byte>(ref MemoryMarshal.GetReference(rows));
        (Length, Stride, Type) = (rows.Length, stride, ElementType.BFloat16);
    }

    /// <summary>Rows side by side.</summary>
    public static implicit operator InputRows(ReadOnlySpan<float> rows) => new(rows);

    /// <summary>Rows side by side.</summary>
    public static implicit operator InputRows(Span<float> rows) => new(rows);

    /// <summary>Rows side by side.</summary>
    public static implicit operator InputRows(float[] rows) => new(rows.AsSpan());

    /// <summary>Rows side by side.</summary>
    public static implicit operator InputRows(ReadOnlySpan<BFloat16> rows) => new(rows);

    /// <summary>Rows side by side.</summary>
    public static implicit operator InputRows(Span<BFloat16> rows) => new(rows);

    /// <summary>Rows side by side.</summary>
    public static implicit operator InputRows(BFloat16[] rows) => new(rows.AsSpan());
}

/// <summary>Where a call writes hidden states: [rows, hidden], float32 or bfloat16. Untouched on error; gaps between rows
/// are never touched. May be the input itself.</summary>
public readonly ref struct OutputRows
{
    private readonly ref byte start;
    internal readonly int Length;
    internal readonly int Stride;
    internal readonly ElementType Type;

    internal ref byte GetPinnableReference() => ref start;

    /// <summary>Rows of float32.</summary>
    /// <param name="rows">The elements.</param>
    /// <param name="stride">Elements from row to row; 0: the rows lie side by side.</param>
    public OutputRows(Span<float> rows, int stride = 0)
    {
        start = ref Unsafe.As<float, byte>(ref MemoryMarshal.GetReference(rows));
        (Length, Stride, Type) = (rows.Length, stride, ElementType.Float32);
    }

    /// <summary>Rows of bfloat16.</summary>
    /// <inheritdoc cref="OutputRows(Span{float}, int)"/>
    public OutputRows(Span<BFloat16> rows, int stride = 0)
    {
        start = ref Unsafe.As<BFloat16, byte>(ref MemoryMarshal.GetReference(rows));
        (Length, Stride, Type) = (rows.Length, stride, ElementType.BFloat16);
    }

    /// <summary>Rows side by side.</summary>
    public static implicit operator OutputRows(Span<float> rows) => new(rows);

    /// <summary>Rows side by side.</summary>
    public static implicit operator OutputRows(float[] rows) => new(rows.AsSpan());

    /// <summary>Rows side by side.</summary>
    public static implicit operator OutputRows(Span<BFloat16> rows) => new(rows);

    /// <summary>Rows side by side.</summary>
    public static implicit operator OutputRows(BFloat16[] rows) => new(rows.AsSpan());
}
