using System.Globalization;

namespace Moxie;

/// <summary>A bfloat16: the upper half of a float32. Holds the bits and converts; arithmetic is for float32.</summary>
/// <param name="Bits">Sign, 8 bits of exponent, 7 of mantissa.</param>
public readonly record struct BFloat16(ushort Bits)
{
    /// <summary>Widening is exact.</summary>
    public static implicit operator float(BFloat16 value) => BitConverter.UInt32BitsToSingle((uint)value.Bits << 16);

    /// <summary>Rounds to the nearest, of two equally near to the even one. NaN stays NaN.</summary>
    public static explicit operator BFloat16(float value)
    {
        var bits = BitConverter.SingleToUInt32Bits(value);
        if (float.IsNaN(value))
            return new BFloat16((ushort)((bits >> 16) | 0x40));
        return new BFloat16((ushort)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16));
    }

    /// <summary>The value as a float32 would be written.</summary>
    public override string ToString() => ((float)this).ToString(CultureInfo.InvariantCulture);
}
