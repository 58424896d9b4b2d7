namespace Moxie.Interop;

/// <summary>The one place where a status of the library becomes an exception.</summary>
internal static class StatusTable
{
    internal static MoxieException Exception(Status status, string message) => status switch
    {
        Status.InvalidArgument => new MoxieArgumentException(message),
        Status.InvalidFile => new MoxieFileException(message),
        Status.NotFound => new MoxieNotFoundException(message),
        Status.Unsupported => new MoxieUnsupportedException(message),
        Status.OutOfMemory => new MoxieOutOfMemoryException(message),
        Status.Numeric => new MoxieNumericException(message),
        Status.IO => new MoxieIOException(message),
        Status.Internal => new MoxieInternalException(message),
        _ => new MoxieException(status, message),
    };
}
