package moxie

import "moxie.dev/go/moxie/internal/raw"

// Weights is how weights are held and computed with. With bfloat16 weights each product's input is rounded to bfloat16
// once; sums are float32.
type Weights int

// The ways to hold weights.
const (
	WeightsAsStored Weights = 0 // float32 and bfloat16 as they are; float16 is widened to float32
	WeightsF32      Weights = 1 // widened: exact, and inputs are not rounded
	WeightsBF16     Weights = 2 // rounded to nearest even
)

// WeightStorage is how bfloat16 weights lie in memory. Compact ones take three quarters of it, and come out bit by bit:
// results are the same. Matrices whose weights differ too much in size from each other are held plain whatever is asked
// for, as float32 is.
type WeightStorage int

// The ways weights lie in memory.
const (
	WeightStorageAuto    WeightStorage = 0 // compact from 1 MiB on, where the kernels in use are expected to be quicker so
	WeightStoragePlain   WeightStorage = 1 // two bytes for a weight
	WeightStorageCompact WeightStorage = 2 // compact wherever the weights allow
)

// PackedCache says whether packed weights are kept in a file for the next start.
type PackedCache int

// The uses of a packed cache.
const (
	PackedCacheOff       PackedCache = 0
	PackedCacheReadWrite PackedCache = 1 // used where it fits the checkpoint; else written, or written anew
	PackedCacheRead      PackedCache = 2 // used where it fits; never written
)

// LoadOptions say how a checkpoint is read. The zero value is the default.
type LoadOptions struct {
	Weights Weights
	// MapFiles maps files instead of reading them. A file truncated meanwhile then kills the process with SIGBUS.
	MapFiles bool
	// PackedCache keeps the linears as the kernels take them, so that opening again is as fast as the disk. A cache
	// that is stale or damaged is never used, and one that cannot be written never fails the call: either is logged.
	PackedCache PackedCache
	// MapPackedCache shares the cache's memory between processes, at the price of small pages. Cut short by somebody
	// meanwhile, it then kills the process with SIGBUS.
	MapPackedCache bool
	// PackedCachePath is a file; or a folder (that exists, or with a slash at its end); or "": beside the checkpoint.
	PackedCachePath string
	// Storage is how bfloat16 weights lie in memory.
	Storage WeightStorage
}

// loadOptions is the struct, in the call's memory; nil for nil.
func (m *memory) loadOptions(given *LoadOptions) raw.Mox_load_options {
	if given == nil {
		return nil
	}
	o := raw.Mox_load_options_at(m.allocate(1, raw.Mox_load_options_size()), 0)
	raw.Mox_load_options_init(o, raw.Mox_load_options_size())
	o.SetWeights(raw.Enum_SS_mox_weights(given.Weights))
	o.SetMap_files(flag(given.MapFiles))
	o.SetPacked_cache(raw.Enum_SS_mox_packed_cache(given.PackedCache))
	o.SetMap_packed_cache(flag(given.MapPackedCache))
	raw.Moxie_go_set_packed_cache_path(o, m.text("PackedCachePath", given.PackedCachePath))
	o.SetStorage(raw.Enum_SS_mox_storage(given.Storage))
	return o
}

func flag(set bool) int32 {
	if set {
		return 1
	}
	return 0
}

// open is what Model, FeedForward and Block have in common when they are opened.
func (r *Runtime) open(kind, folder string, options *LoadOptions, free func(uintptr),
	function func(runtime uintptr, options raw.Mox_load_options, object *uintptr, e raw.Mox_error) raw.Enum_SS_mox_status,
) (h *handle, err error) {
	runtime, err := r.handle.use()
	if err != nil {
		return nil, err
	}
	defer r.handle.done()
	if err := checkText("folder", folder); err != nil {
		return nil, err
	}
	var memory memory
	defer memory.release(&err)
	o := memory.loadOptions(options)
	var object uintptr
	err = call(func(e raw.Mox_error) raw.Enum_SS_mox_status { return function(runtime, o, &object, e) })
	if err != nil {
		return nil, err
	}
	return newHandle(kind, object, free, r.handle.log), nil
}
