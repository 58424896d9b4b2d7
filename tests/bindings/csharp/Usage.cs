using System.Globalization;
using System.Runtime.InteropServices;

namespace Moxie.Tests;

/// <summary>What this process has of the system.</summary>
/// <param name="MallocKilobytes">What malloc has given out and not got back.</param>
/// <param name="OwnKilobytes">Resident memory of no file: the system drops a file's pages and reads them again as it likes.</param>
/// <param name="MappedKilobytes">Address space that files are mapped to.</param>
/// <param name="Threads">Threads of the system.</param>
/// <param name="Files">Open file descriptors.</param>
internal readonly record struct Usage(long MallocKilobytes, long OwnKilobytes, long MappedKilobytes, int Threads, int Files)
{
    public static Usage operator -(Usage after, Usage before) => new(after.MallocKilobytes - before.MallocKilobytes,
        after.OwnKilobytes - before.OwnKilobytes, after.MappedKilobytes - before.MappedKilobytes,
        after.Threads - before.Threads, after.Files - before.Files);

    public static Usage AfterCollection()
    {
        Collect();
        return Now();
    }

    public static Usage Now() => new(Malloc(), Own(), Mapped(),
        Directory.GetDirectories("/proc/self/task").Length, Directory.GetFileSystemEntries("/proc/self/fd").Length);

    public static void Collect()
    {
        for (var i = 0; i < 3; ++i)
        {
            GC.Collect(2, GCCollectionMode.Forced, blocking: true, compacting: true);
            GC.WaitForPendingFinalizers();
        }
    }

    private static long Malloc()
    {
        var counts = mallinfo2();
        return (long)(counts.InUse + counts.InMappings) / 1024;
    }

    private static long Own() => File.ReadLines("/proc/self/status")
        .Where(line => line.StartsWith("RssAnon:", StringComparison.Ordinal) || line.StartsWith("VmSwap:", StringComparison.Ordinal))
        .Sum(line => long.Parse(line.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture));

    // A line is "from-to rights offset device inode path".
    private static long Mapped() => File.ReadLines("/proc/self/maps")
        .Where(line => line.Contains('/', StringComparison.Ordinal))
        .Select(line => line.Split(' ')[0].Split('-').Select(end => Convert.ToInt64(end, 16)).ToArray())
        .Sum(ends => (ends[1] - ends[0]) / 1024);

    [DllImport("libc.so.6")]
    private static extern MallocCounts mallinfo2();

    // glibc's struct mallinfo2: ten numbers of the size of a pointer.
    [StructLayout(LayoutKind.Explicit, Size = 80)]
    private readonly struct MallocCounts
    {
        [FieldOffset(32)]
        public readonly nuint InMappings;

        [FieldOffset(56)]
        public readonly nuint InUse;
    }
}
