using System.Diagnostics;
using Xunit;

namespace Moxie.Tests;

/// <summary>How the native library is found, and what is said where it is not.</summary>
public sealed class NativeLibraryTests : IDisposable
{
    private const string Library = "libmoxie.so.0", Wrapper = "libmoxie_csharp.so";

    private static readonly string native = Path.Combine(Shared.Build, "bindings", "csharp", "native");
    private static readonly string otherVersion =
        Path.Combine(Shared.Build, "tests", "bindings", "csharp", "other_version", Library);

    private readonly string folder = Directory.CreateTempSubdirectory("moxie-native-").FullName;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Fact]
    public void IsFoundBesideTheAssembly()
    {
        var (code, output) = Run(CopyOfProbe(withNatives: true), null);
        Assert.True(code == 0, output);
        Assert.StartsWith(MoxieLibrary.Version, output);
    }

    [Fact]
    public void IsFoundWhereTheVariableSays()
    {
        var probe = CopyOfProbe(withNatives: false);
        Assert.Equal(0, Run(probe, native).Code);
        Assert.Equal(0, Run(probe, Path.Combine(native, Library)).Code);

        // A library of the user's own, with the package's code over it.
        var own = Directory.CreateDirectory(Path.Combine(folder, "own")).FullName;
        File.Copy(Path.Combine(native, Library), Path.Combine(own, "libmoxie.so"));
        var (code, output) = Run(CopyOfProbe(withNatives: true), Path.Combine(own, "libmoxie.so"));
        Assert.True(code == 0, output);
    }

    [Fact]
    public void IsFoundInTheSystemsPath()
    {
        var (code, output) = Run(CopyOfProbe(withNatives: false), null, libraryPath: native);
        Assert.True(code == 0, output);
    }

    [Fact]
    public void AMissingOneIsSaidOnceWithEveryPlaceThatWasLookedAt()
    {
        var probe = CopyOfProbe(withNatives: false);
        var (code, output) = Run(probe, null);
        Assert.True(code == 3, output);
        Says(output, $"Moxie {MoxieLibrary.Version} cannot use its native library",
            Path.Combine(Path.GetDirectoryName(probe)!, "runtimes", "linux-x64", "native", Wrapper) + ": no such file",
            $"{Wrapper}: not in the system's library path", "MOXIE_LIBRARY");

        (code, output) = Run(CopyOfProbe(withNatives: true), "/nowhere/libmoxie.so");
        Assert.True(code == 3, output);
        Says(output, "MOXIE_LIBRARY is \"/nowhere/libmoxie.so\"", "/nowhere/libmoxie.so: no such file");
    }

    [Fact]
    public void AnotherVersionIsRefusedByName()
    {
        var wanted = Version.Parse(MoxieLibrary.Version).ToString(2) + ".x";
        var (code, output) = Run(CopyOfProbe(withNatives: true), otherVersion);
        Assert.True(code == 3, output);
        Says(output, $"{otherVersion}: has version \"99.1.0\"; this package needs {wanted}");

        var probe = CopyOfProbe(withNatives: true);
        var beside = Path.Combine(Path.GetDirectoryName(probe)!, "runtimes", "linux-x64", "native", Library);
        File.Copy(otherVersion, beside, overwrite: true);
        (code, output) = Run(probe, null);
        Assert.True(code == 3, output);
        Says(output, $"{beside}: has version \"99.1.0\"; this package needs {wanted}");
    }

    [Fact]
    public void WhatIsNoLibraryIsRefusedByName()
    {
        var probe = CopyOfProbe(withNatives: true);
        var text = Path.Combine(folder, Library);
        File.WriteAllText(text, "not a library");
        var (code, output) = Run(probe, folder);
        Assert.True(code == 3, output);
        Says(output, text + ": ", "file too short");

        File.Copy(Path.Combine(native, Wrapper), text, overwrite: true);
        (code, output) = Run(probe, text);
        Assert.True(code == 3, output);
        Says(output, $"{text}: is no libmoxie: it has no mox_version");
    }

    private static void Says(string output, params string[] parts)
    {
        Assert.All(parts, part => Assert.Contains(part, output, StringComparison.Ordinal));
        Assert.DoesNotContain("   at ", output, StringComparison.Ordinal);
    }

    private string CopyOfProbe(bool withNatives)
    {
        var source = Path.Combine(Path.GetDirectoryName(Path.GetDirectoryName(Path.GetDirectoryName(
            typeof(Shared).Assembly.Location)))!, "Probe", Path.GetFileName(Path.GetDirectoryName(typeof(Shared).Assembly.Location))!);
        var target = Directory.CreateDirectory(Path.Combine(folder, Guid.NewGuid().ToString("N"))).FullName;
        foreach (var file in Directory.GetFiles(source))
            File.Copy(file, Path.Combine(target, Path.GetFileName(file)));
        if (withNatives)
        {
            var natives = Directory.CreateDirectory(Path.Combine(target, "runtimes", "linux-x64", "native")).FullName;
            foreach (var name in new[] { Library, Wrapper })
                File.Copy(Path.Combine(native, name), Path.Combine(natives, name));
        }
        return Path.Combine(target, "Probe.dll");
    }

    private static (int Code, string Output) Run(string probe, string? library, string? libraryPath = null)
    {
        var start = new ProcessStartInfo(Environment.ProcessPath!, [probe]) { RedirectStandardOutput = true, RedirectStandardError = true };
        start.Environment.Remove("MOXIE_LIBRARY");
        start.Environment.Remove("LD_LIBRARY_PATH");
        if (library is not null)
            start.Environment["MOXIE_LIBRARY"] = library;
        if (libraryPath is not null)
            start.Environment["LD_LIBRARY_PATH"] = libraryPath;
        using var process = Process.Start(start)!;
        var errors = process.StandardError.ReadToEndAsync();
        var output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return (process.ExitCode, output + errors.Result);
    }
}
