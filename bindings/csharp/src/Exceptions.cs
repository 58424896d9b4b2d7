namespace Moxie;

/// <summary>A call that the library answered with an error. The message names what was found and what was
/// expected. Nothing was half done: outputs are untouched, no sequence has moved.</summary>
public class MoxieException : Exception
{
    internal MoxieException(Status status, string message)
        : base(message) => Status = status;

    /// <summary>The class of the error; each has its own exception type as well.</summary>
    public Status Status { get; }
}

/// <summary>The arguments do not fit together, or with the object.</summary>
public sealed class MoxieArgumentException : MoxieException
{
    internal MoxieArgumentException(string message) : base(Status.InvalidArgument, message) { }
}

/// <summary>A file's contents are damaged, hostile or contradictory.</summary>
public sealed class MoxieFileException : MoxieException
{
    internal MoxieFileException(string message) : base(Status.InvalidFile, message) { }
}

/// <summary>No such file, folder, layer or tensor.</summary>
public sealed class MoxieNotFoundException : MoxieException
{
    internal MoxieNotFoundException(string message) : base(Status.NotFound, message) { }
}

/// <summary>Well formed, but this library, this build or this machine cannot do it.</summary>
public sealed class MoxieUnsupportedException : MoxieException
{
    internal MoxieUnsupportedException(string message) : base(Status.Unsupported, message) { }
}

/// <summary>The library could not get the memory it needed.</summary>
public sealed class MoxieOutOfMemoryException : MoxieException
{
    internal MoxieOutOfMemoryException(string message) : base(Status.OutOfMemory, message) { }
}

/// <summary>A NaN or infinity where a decision is to be made (router or sampler).</summary>
public sealed class MoxieNumericException : MoxieException
{
    internal MoxieNumericException(string message) : base(Status.Numeric, message) { }
}

/// <summary>The operating system refused to read.</summary>
public sealed class MoxieIOException : MoxieException
{
    internal MoxieIOException(string message) : base(Status.IO, message) { }
}

/// <summary>A defect of the library; please report it with the message.</summary>
public sealed class MoxieInternalException : MoxieException
{
    internal MoxieInternalException(string message) : base(Status.Internal, message) { }
}

/// <summary>The native library is missing, cannot be loaded, or has another version than this package needs. The
/// message lists every place that was looked at, and why it would not do.</summary>
public sealed class MoxieLibraryException : DllNotFoundException
{
    internal MoxieLibraryException(string message) : base(message) { }
}
