// What a program of its own sees of the native library: the library is found once in a process, so each way to find it,
// or not, needs a process.
using Moxie;

try
{
    Console.WriteLine(MoxieLibrary.Version);
    using var runtime = new Runtime();
    Console.WriteLine(runtime.Info.Backends[0]);
    return 0;
}
catch (MoxieLibraryException exception)
{
    Console.WriteLine(exception.Message);
    return 3;
}
