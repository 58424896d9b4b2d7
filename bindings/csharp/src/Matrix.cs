using System.Buffers;
using Moxie.Interop;

namespace Moxie;

/// <summary>A matrix in your memory, row by row. A linear's weight is [out, in]: y = x Wᵀ. The library reads it during
/// the call that it is given to, and copies what it keeps.</summary>
public sealed class Matrix
{
    private readonly Func<Call, nint> pin;

    /// <summary>A matrix of float32.</summary>
    /// <param name="data">At least (rows - 1) * stride + columns elements.</param>
    /// <param name="rows">Rows.</param>
    /// <param name="columns">Columns.</param>
    /// <param name="rowStride">Elements from one row to the next; 0: <paramref name="columns"/>.</param>
    /// <exception cref="ArgumentException">The data are too short for the shape.</exception>
    public Matrix(ReadOnlyMemory<float> data, int rows, int columns, int rowStride = 0)
        : this(call => call.Pin(data), data.Length, ElementType.Float32, rows, columns, rowStride) { }

    /// <summary>A matrix of bfloat16.</summary>
    /// <inheritdoc cref="Matrix(ReadOnlyMemory{float}, int, int, int)"/>
    public Matrix(ReadOnlyMemory<BFloat16> data, int rows, int columns, int rowStride = 0)
        : this(call => call.Pin(data), data.Length, ElementType.BFloat16, rows, columns, rowStride) { }

    /// <summary>A matrix of float16.</summary>
    /// <inheritdoc cref="Matrix(ReadOnlyMemory{float}, int, int, int)"/>
    public Matrix(ReadOnlyMemory<Half> data, int rows, int columns, int rowStride = 0)
        : this(call => call.Pin(data), data.Length, ElementType.Float16, rows, columns, rowStride) { }

    private Matrix(Func<Call, nint> pin, int length, ElementType type, int rows, int columns, int rowStride)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(rows);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(columns);
        var stride = rowStride == 0 ? columns : rowStride;
        ArgumentOutOfRangeException.ThrowIfLessThan(stride, columns, nameof(rowStride));
        var needed = (rows - 1L) * stride + columns;
        if (length < needed)
            throw new ArgumentException(
                $"{length} elements are too few for [{rows}, {columns}] with rows {stride} apart: {needed} are needed.",
                "data");
        this.pin = pin;
        (Rows, Columns, RowStride, Type) = (rows, columns, stride, type);
    }

    /// <summary>Rows.</summary>
    public int Rows { get; }

    /// <summary>Columns.</summary>
    public int Columns { get; }

    /// <summary>Elements from one row to the next.</summary>
    public int RowStride { get; }

    /// <summary>Element type.</summary>
    public ElementType Type { get; }

    /// <summary>Writes it into a struct's mox_matrix; null leaves that zeroed, which means "there is none".</summary>
    internal static void Write(Matrix? matrix, Call call, nint target)
    {
        if (matrix is null)
            return;
        Raw.mox_matrix_data_set(target, matrix.pin(call));
        Raw.mox_matrix_rows_set(target, matrix.Rows);
        Raw.mox_matrix_columns_set(target, matrix.Columns);
        Raw.mox_matrix_row_stride_set(target, matrix.RowStride);
        Raw.mox_matrix_dtype_set(target, (int)matrix.Type);
    }
}
