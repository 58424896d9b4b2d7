namespace Moxie.Interop;

/// <summary>How many rows a span is.</summary>
internal static class Rows
{
    /// <param name="length">Elements of the span.</param>
    /// <param name="width">Elements of a row.</param>
    /// <param name="stride">Elements from row to row; 0: the rows lie side by side, without a remainder.</param>
    /// <param name="name">Who to blame.</param>
    internal static int Count(int length, int width, int stride, string name)
    {
        if (stride != 0 && stride < width)
            throw new ArgumentException($"{name}: the stride is {stride}; a row has {width} elements.");
        if (length == 0)
            return 0;
        if (stride == 0 || stride == width)
            return length % width == 0
                ? length / width
                : throw new ArgumentException($"{name} has {length} elements; rows of {width} do not fill that.");
        if (length < width)
            throw new ArgumentException($"{name} has {length} elements; one row has {width}.");
        return (length - width) / stride + 1;
    }
}
