using Moxie.Interop;

namespace Moxie;

/// <summary>How a checkpoint is read.</summary>
public sealed record LoadOptions
{
    /// <summary>How weights are held and computed with.</summary>
    public WeightPrecision Weights { get; init; }

    /// <summary>Maps the checkpoint's files instead of reading them. A file truncated meanwhile then kills the process,
    /// so map only what nobody rewrites.</summary>
    public bool MapFiles { get; init; }

    /// <summary>Whether packed weights are kept in a file, so that the next start is as fast as the disk. A cache that is
    /// stale or damaged is never used, one that cannot be written never fails the call: either is logged.</summary>
    public PackedCacheMode PackedCache { get; init; }

    /// <summary>Maps the cache, so that processes share its memory, instead of reading it onto huge pages, which runs
    /// faster.</summary>
    public bool MapPackedCache { get; init; }

    /// <summary>A file; or a folder, where each checkpoint has a file of its own; or null: beside the
    /// checkpoint.</summary>
    public string? PackedCachePath { get; init; }

    /// <summary>How bfloat16 weights lie in memory.</summary>
    public WeightStorage Storage { get; init; }

    internal static nint Write(LoadOptions? options, Call call)
    {
        if (options is null)
            return 0;
        var size = Raw.mox_load_options_size_get();
        var native = call.Struct(size);
        Raw.mox_load_options_init(native, size);
        Raw.mox_load_options_weights_set(native, (int)options.Weights);
        Raw.mox_load_options_map_files_set(native, options.MapFiles ? 1 : 0);
        Raw.mox_load_options_packed_cache_set(native, (int)options.PackedCache);
        Raw.mox_load_options_map_packed_cache_set(native, options.MapPackedCache ? 1 : 0);
        Raw.mox_load_options_packed_cache_path_set(native, call.Utf8(options.PackedCachePath));
        Raw.mox_load_options_storage_set(native, (int)options.Storage);
        return native;
    }
}
