using System.Globalization;
using System.Reflection;
using System.Runtime.InteropServices;
using System.Text;

namespace Moxie.Interop;

/// <summary>Finds libmoxie and the generated code over it, and holds them to the version of this package.</summary>
/// <remarks>
/// libmoxie is loaded first, by its full path: the generated code asks for it by its SONAME and is then given the one
/// that is in the process already. So its version is known before anything of it is bound.
/// </remarks>
internal static unsafe class NativeLibraries
{
    private const string Library = "libmoxie.so.0";
    private const string Wrapper = "libmoxie_csharp.so";
    private const string WrapperName = "moxie_csharp";
    private const string Variable = "MOXIE_LIBRARY";

    private static readonly object gate = new();
    private static volatile bool loaded;
    private static nint wrapper;

    /// <summary>Throws <see cref="MoxieLibraryException"/> where the library cannot be had.</summary>
    internal static void EnsureLoaded()
    {
        if (!loaded)
            Load();
    }

    internal static nint Resolve(string name, Assembly assembly, DllImportSearchPath? search)
    {
        if (name != WrapperName)
            return 0;
        EnsureLoaded();
        return wrapper;
    }

    private static void Load()
    {
        lock (gate)
        {
            if (loaded)
                return;
            var tried = new StringBuilder();
            var setting = Environment.GetEnvironmentVariable(Variable);
            wrapper = string.IsNullOrEmpty(setting) ? FindPackaged(tried) : FindAt(setting, tried);
            if (wrapper == 0)
                throw new MoxieLibraryException(Describe(tried, setting));
            loaded = true;
        }
    }

    // What the user names is used or refused; nothing else is taken quietly in its place.
    private static nint FindAt(string setting, StringBuilder tried)
    {
        var isFolder = Directory.Exists(setting);
        var library = Path.GetFullPath(isFolder ? Path.Combine(setting, Library) : setting);
        if (!File.Exists(library))
        {
            Note(tried, library, "no such file");
            return 0;
        }
        if (!LoadLibrary(library, tried))
            return 0;
        List<string> folders = [Path.GetDirectoryName(library)!, .. PackagedFolders()];
        foreach (var folder in folders)
        {
            var path = Path.Combine(folder, Wrapper);
            if (File.Exists(path))
                return TryLoad(path, tried);
            Note(tried, path, "no such file");
        }
        return LoadFromSystem(tried);
    }

    private static nint FindPackaged(StringBuilder tried)
    {
        foreach (var folder in PackagedFolders())
        {
            string library = Path.Combine(folder, Library), path = Path.Combine(folder, Wrapper);
            if (!File.Exists(path))
            {
                Note(tried, path, "no such file");
                continue;
            }
            if (File.Exists(library) && !LoadLibrary(library, tried))
                return 0;
            return CheckedWrapper(TryLoad(path, tried), path, tried);
        }
        return LoadFromSystem(tried);
    }

    private static nint LoadFromSystem(StringBuilder tried)
    {
        try
        {
            var handle = NativeLibrary.Load(WrapperName, typeof(NativeLibraries).Assembly, null);
            return CheckedWrapper(handle, "the system's " + Wrapper, tried);
        }
        catch (DllNotFoundException)
        {
            Note(tried, Wrapper, "not in the system's library path");
            return 0;
        }
        catch (BadImageFormatException)
        {
            Note(tried, Wrapper, "the one in the system's library path is for another architecture");
            return 0;
        }
    }

    private static string[] PackagedFolders() =>
    [
        Path.Combine(AppContext.BaseDirectory, "runtimes", "linux-x64", "native"),
        AppContext.BaseDirectory,
    ];

    private static bool LoadLibrary(string path, StringBuilder tried)
    {
        var handle = TryLoad(path, tried);
        return handle != 0 && HasRightVersion(handle, "mox_version", path, tried);
    }

    private static nint CheckedWrapper(nint handle, string path, StringBuilder tried) =>
        handle != 0 && HasRightVersion(handle, "CSharp_MoxiefInterop_mox_version___", path, tried) ? handle : 0;

    private static nint TryLoad(string path, StringBuilder tried)
    {
        try
        {
            return NativeLibrary.Load(path);
        }
        catch (Exception exception) when (exception is DllNotFoundException or BadImageFormatException)
        {
            Note(tried, path, Reason(exception.Message));
            return 0;
        }
    }

    private static bool HasRightVersion(nint handle, string function, string path, StringBuilder tried)
    {
        if (!NativeLibrary.TryGetExport(handle, function, out var address))
        {
            Note(tried, path, $"is no libmoxie: it has no {function}");
            return false;
        }
        var found = Marshal.PtrToStringUTF8(((delegate* unmanaged<nint>)address)()) ?? "";
        if (Version.TryParse(found, out var version) && version.Major == Wanted.Major && version.Minor == Wanted.Minor)
            return true;
        Note(tried, path, $"has version \"{found}\"; this package needs {Wanted.Major}.{Wanted.Minor}.x");
        return false;
    }

    private static Version Wanted => typeof(NativeLibraries).Assembly.GetName().Version!;

    private static void Note(StringBuilder tried, string path, string why) =>
        tried.Append(CultureInfo.InvariantCulture, $"\n  {path}: {why}");

    // The first line is the runtime's general advice; what the loader said comes after it.
    private static string Reason(string message)
    {
        var lines = message.Split('\n', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
        return lines.Length > 1 ? string.Join("; ", lines[1..]) : message;
    }

    private static string Describe(StringBuilder tried, string? setting)
    {
        var from = string.IsNullOrEmpty(setting) ? "" : $" ({Variable} is \"{setting}\")";
        var platform = RuntimeInformation.RuntimeIdentifier;
        return $"Moxie {Wanted.ToString(3)} cannot use its native library{from}. Looked for:{tried}\n"
            + $"The package brings it for linux-x64, and this process is {platform}; set {Variable} to a "
            + $"{Library} of version {Wanted.Major}.{Wanted.Minor}.x, or to its folder, to use another.";
    }
}
