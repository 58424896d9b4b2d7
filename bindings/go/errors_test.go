package moxie

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"moxie.dev/go/moxie/internal/raw"
)

func TestEveryStatusHasItsError(t *testing.T) {
	statuses := map[Status]raw.Enum_SS_mox_status{
		StatusInvalidArgument: raw.MOX_INVALID_ARGUMENT,
		StatusInvalidFile:     raw.MOX_INVALID_FILE,
		StatusNotFound:        raw.MOX_NOT_FOUND,
		StatusUnsupported:     raw.MOX_UNSUPPORTED,
		StatusOutOfMemory:     raw.MOX_OUT_OF_MEMORY,
		StatusNumeric:         raw.MOX_NUMERIC,
		StatusIO:              raw.MOX_IO,
		StatusInternal:        raw.MOX_INTERNAL,
	}
	if len(statuses) != len(errorOfStatus) {
		t.Fatalf("%d statuses, %d errors", len(statuses), len(errorOfStatus))
	}
	for status, c := range statuses {
		if int(status) != int(c) {
			t.Errorf("%v is %d; C says %d", status, status, c)
		}
		err := fmt.Errorf("while testing: %w", error(&Error{status, "a message"}))
		for other, class := range errorOfStatus {
			if errors.Is(err, class) != (other == status) {
				t.Errorf("%v and %v", status, class)
			}
		}
		var found *Error
		if !errors.As(err, &found) || found.Status != status || found.Message != "a message" {
			t.Errorf("%v: %+v", status, found)
		}
		if text := found.Error(); !strings.Contains(text, status.String()) || !strings.Contains(text, "a message") {
			t.Error(text)
		}
		if errors.Is(err, ErrClosed) || errors.Is(err, ErrVersion) {
			t.Errorf("%v is not a class of its own", status)
		}
	}
	if errors.Is(&Error{99, ""}, nil) || errors.Is(&Error{99, ""}, ErrInternal) {
		t.Error("a status nobody knows has a class")
	}
}

// A status that the header has and this package has not would go unnoticed otherwise.
func TestConstantsAreThoseOfC(t *testing.T) {
	seen := map[string]bool{}
	check := func(name string, ours, c interface{}) {
		seen[name] = true
		if fmt.Sprintf("%d", ours) != fmt.Sprintf("%d", c) {
			t.Errorf("%s is %d; C says %d", name, ours, c)
		}
	}
	check("MOX_OK", 0, raw.MOX_OK)
	check("MOX_INVALID_ARGUMENT", StatusInvalidArgument, raw.MOX_INVALID_ARGUMENT)
	check("MOX_INVALID_FILE", StatusInvalidFile, raw.MOX_INVALID_FILE)
	check("MOX_NOT_FOUND", StatusNotFound, raw.MOX_NOT_FOUND)
	check("MOX_UNSUPPORTED", StatusUnsupported, raw.MOX_UNSUPPORTED)
	check("MOX_OUT_OF_MEMORY", StatusOutOfMemory, raw.MOX_OUT_OF_MEMORY)
	check("MOX_NUMERIC", StatusNumeric, raw.MOX_NUMERIC)
	check("MOX_IO", StatusIO, raw.MOX_IO)
	check("MOX_INTERNAL", StatusInternal, raw.MOX_INTERNAL)
	check("MOX_F32", Float32, raw.MOX_F32)
	check("MOX_BF16", BFloat16, raw.MOX_BF16)
	check("MOX_F16", Float16, raw.MOX_F16)
	check("MOX_F64", Float64, raw.MOX_F64)
	check("MOX_I64", Int64, raw.MOX_I64)
	check("MOX_I32", Int32, raw.MOX_I32)
	check("MOX_I16", Int16, raw.MOX_I16)
	check("MOX_I8", Int8, raw.MOX_I8)
	check("MOX_U8", Uint8, raw.MOX_U8)
	check("MOX_BOOL", Bool, raw.MOX_BOOL)
	check("MOX_ACTIVATION_BASE", ActivationBase, raw.MOX_ACTIVATION_BASE)
	check("MOX_ACTIVATION_SILU", ActivationSiLU, raw.MOX_ACTIVATION_SILU)
	check("MOX_ACTIVATION_GELU", ActivationGELU, raw.MOX_ACTIVATION_GELU)
	check("MOX_ACTIVATION_GELU_TANH", ActivationGELUTanh, raw.MOX_ACTIVATION_GELU_TANH)
	check("MOX_ACTIVATION_RELU", ActivationReLU, raw.MOX_ACTIVATION_RELU)
	check("MOX_ISA_BEST", ISABest, raw.MOX_ISA_BEST)
	check("MOX_ISA_PORTABLE", ISAPortable, raw.MOX_ISA_PORTABLE)
	check("MOX_ISA_AVX2", ISAAVX2, raw.MOX_ISA_AVX2)
	check("MOX_ISA_AVX512", ISAAVX512, raw.MOX_ISA_AVX512)
	check("MOX_ISA_AVX512_BF16", ISAAVX512BF16, raw.MOX_ISA_AVX512_BF16)
	check("MOX_ISA_AMX", ISAAMX, raw.MOX_ISA_AMX)
	check("MOX_BACKEND_AUTO", BackendAuto, raw.MOX_BACKEND_AUTO)
	check("MOX_BACKEND_NATIVE", BackendNative, raw.MOX_BACKEND_NATIVE)
	check("MOX_BACKEND_ONEDNN", BackendOneDNN, raw.MOX_BACKEND_ONEDNN)
	check("MOX_BACKEND_EIGEN", BackendEigen, raw.MOX_BACKEND_EIGEN)
	check("MOX_BACKEND_REFERENCE", BackendReference, raw.MOX_BACKEND_REFERENCE)
	check("MOX_NUMERICS_REPRODUCIBLE", NumericsReproducible, raw.MOX_NUMERICS_REPRODUCIBLE)
	check("MOX_NUMERICS_FASTEST", NumericsFastest, raw.MOX_NUMERICS_FASTEST)
	check("MOX_AFFINITY_AUTO", AffinityAuto, raw.MOX_AFFINITY_AUTO)
	check("MOX_AFFINITY_NONE", AffinityNone, raw.MOX_AFFINITY_NONE)
	check("MOX_AFFINITY_CORES", AffinityCores, raw.MOX_AFFINITY_CORES)
	check("MOX_AFFINITY_COMPACT", AffinityCompact, raw.MOX_AFFINITY_COMPACT)
	check("MOX_LOG_WARNING", LogWarning, raw.MOX_LOG_WARNING)
	check("MOX_LOG_INFO", LogInfo, raw.MOX_LOG_INFO)
	check("MOX_LOG_VERBOSE", LogVerbose, raw.MOX_LOG_VERBOSE)
	check("MOX_FEED_FORWARD_GATED", FeedForwardGated, raw.MOX_FEED_FORWARD_GATED)
	check("MOX_FEED_FORWARD_PLAIN", FeedForwardPlain, raw.MOX_FEED_FORWARD_PLAIN)
	check("MOX_FEED_FORWARD_EXPERTS", FeedForwardExperts, raw.MOX_FEED_FORWARD_EXPERTS)
	check("MOX_ROUTER_TOP_K", RouterTopK, raw.MOX_ROUTER_TOP_K)
	check("MOX_ROUTER_MIXLORA", RouterMixLoRA, raw.MOX_ROUTER_MIXLORA)
	check("MOX_ROUTER_DYNAMIC", RouterDynamic, raw.MOX_ROUTER_DYNAMIC)
	check("MOX_ROUTER_SWITCH", RouterSwitch, raw.MOX_ROUTER_SWITCH)
	check("MOX_ROUTER_LORAMOE", RouterLoRAMoE, raw.MOX_ROUTER_LORAMOE)
	check("MOX_ROUTER_MOLA", RouterMoLA, raw.MOX_ROUTER_MOLA)
	check("MOX_WEIGHTS_AS_STORED", WeightsAsStored, raw.MOX_WEIGHTS_AS_STORED)
	check("MOX_WEIGHTS_F32", WeightsF32, raw.MOX_WEIGHTS_F32)
	check("MOX_WEIGHTS_BF16", WeightsBF16, raw.MOX_WEIGHTS_BF16)
	check("MOX_STORAGE_AUTO", WeightStorageAuto, raw.MOX_STORAGE_AUTO)
	check("MOX_STORAGE_PLAIN", WeightStoragePlain, raw.MOX_STORAGE_PLAIN)
	check("MOX_STORAGE_COMPACT", WeightStorageCompact, raw.MOX_STORAGE_COMPACT)
	check("MOX_PACKED_CACHE_OFF", PackedCacheOff, raw.MOX_PACKED_CACHE_OFF)
	check("MOX_PACKED_CACHE_READ_WRITE", PackedCacheReadWrite, raw.MOX_PACKED_CACHE_READ_WRITE)
	check("MOX_PACKED_CACHE_READ", PackedCacheRead, raw.MOX_PACKED_CACHE_READ)
	check("MOX_ADAPTER_LORA", AdapterLoRA, raw.MOX_ADAPTER_LORA)
	check("MOX_ADAPTER_MIXLORA", AdapterMixLoRA, raw.MOX_ADAPTER_MIXLORA)
	check("MOX_ADAPTER_MIXLORA_DYNAMIC", AdapterMixLoRADynamic, raw.MOX_ADAPTER_MIXLORA_DYNAMIC)
	check("MOX_ADAPTER_MIXLORA_SWITCH", AdapterMixLoRASwitch, raw.MOX_ADAPTER_MIXLORA_SWITCH)
	check("MOX_ADAPTER_LORAMOE", AdapterLoRAMoE, raw.MOX_ADAPTER_LORAMOE)
	check("MOX_ADAPTER_MOLA", AdapterMoLA, raw.MOX_ADAPTER_MOLA)
	check("MOX_PROJECTION_GATE", ProjectionGate, raw.MOX_PROJECTION_GATE)
	check("MOX_PROJECTION_UP", ProjectionUp, raw.MOX_PROJECTION_UP)
	check("MOX_PROJECTION_DOWN", ProjectionDown, raw.MOX_PROJECTION_DOWN)
	check("MOX_FILE_TENSORS", FileTensors, raw.MOX_FILE_TENSORS)
	check("MOX_FILE_CHECKPOINT", FileCheckpoint, raw.MOX_FILE_CHECKPOINT)
	check("MOX_FILE_ADAPTER", FileAdapter, raw.MOX_FILE_ADAPTER)
	for _, name := range enumerators(t) {
		if !seen[name] {
			t.Errorf("%s of the headers is missing here", name)
		}
	}
}

func TestNamesComeFromTheLibrary(t *testing.T) {
	for _, c := range []struct {
		value    fmt.Stringer
		expected string
	}{
		{ISAAVX512BF16, "avx512_bf16"}, {BackendOneDNN, "onednn"}, {AffinityCompact, "compact"}, {BFloat16, "bfloat16"},
		{AdapterMixLoRADynamic, "mixlora-dynamic"}, {StatusNotFound, "not found"},
	} {
		if c.value.String() != c.expected {
			t.Errorf("%q; expected %q", c.value, c.expected)
		}
	}
	if Float64.Size() != 8 || BFloat16.Size() != 2 || DType(99).Size() != 0 {
		t.Error("sizes")
	}
}

func TestArraysAreLaidOutAsInC(t *testing.T) {
	var memory memory
	var err error
	defer memory.release(&err)
	list := memory.allocate(2, raw.Mox_range_size())
	r := raw.Mox_range_at(list, 1)
	r.SetAdapter(7)
	r.SetBegin(8)
	r.SetEnd(9)
	if laid := (*[2]raw.Range)(list)[1]; laid != (raw.Range{Adapter: 7, Begin: 8, End: 9}) {
		t.Errorf("%+v", laid)
	}
	list = memory.allocate(2, raw.Mox_step_size())
	s := raw.Mox_step_at(list, 1)
	s.SetSequence(1)
	s.SetAdapter(2)
	s.SetToken_count(4)
	s.SetLogits_rows(6)
	s.SetLogits_stride(7)
	if laid := (*[2]raw.Step)(list)[1]; laid != (raw.Step{Sequence: 1, Adapter: 2, TokenCount: 4, LogitsRows: 6, LogitsStride: 7}) {
		t.Errorf("%+v", laid)
	}
}
