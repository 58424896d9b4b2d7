package moxie_test

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"moxie.dev/go/moxie"
)

// models is a path under examples/models.
func models(name ...string) string {
	folder := os.Getenv("MOXIE_MODELS")
	if folder == "" {
		folder = filepath.Join("..", "..", "examples", "models")
	}
	return filepath.Join(append([]string{folder}, name...)...)
}

var tinyLlama = models("tiny-llama")

var adapterNames = []string{
	"kjv-mixlora", "kjv-mixlora-dynamic", "melville-loramoe", "presidents-mola", "jargon-lora", "jargon-dora",
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// threads of the library in these tests, whose work is too small to be shared out; ctest runs others beside them.
const threads = 1

func newRuntime(t testing.TB) *moxie.Runtime {
	t.Helper()
	runtime, err := moxie.NewRuntime(&moxie.RuntimeOptions{Threads: threads})
	must(t, err)
	t.Cleanup(func() { must(t, runtime.Close()) })
	return runtime
}

// openModel opens tiny-llama or another with float32 weights, as reference.json was measured.
func openModel(t testing.TB, name string) *moxie.Model {
	t.Helper()
	model, err := newRuntime(t).OpenModel(models(name), &moxie.LoadOptions{Weights: moxie.WeightsF32})
	must(t, err)
	t.Cleanup(func() { must(t, model.Close()) })
	return model
}

func openFeedForward(t testing.TB, layer int) *moxie.FeedForward {
	t.Helper()
	feedForward, err := newRuntime(t).OpenFeedForward(tinyLlama, layer, &moxie.LoadOptions{Weights: moxie.WeightsF32})
	must(t, err)
	t.Cleanup(func() { must(t, feedForward.Close()) })
	return feedForward
}

func newSequence(t testing.TB, model *moxie.Model) *moxie.Sequence {
	t.Helper()
	sequence, err := model.NewSequence(nil)
	must(t, err)
	t.Cleanup(func() { must(t, sequence.Close()) })
	return sequence
}

func openAdapter(t testing.TB, over interface {
	OpenAdapter(string) (*moxie.Adapter, error)
}, name string) *moxie.Adapter {
	t.Helper()
	adapter, err := over.OpenAdapter(models(name))
	must(t, err)
	t.Cleanup(func() { must(t, adapter.Close()) })
	return adapter
}

func openLayerAdapter(t testing.TB, over *moxie.FeedForward, name string) *moxie.Adapter {
	t.Helper()
	adapter, err := over.OpenAdapter(models(name), moxie.OwnLayer)
	must(t, err)
	t.Cleanup(func() { must(t, adapter.Close()) })
	return adapter
}

// prompts, and what the reference implementations continue them with under each adapter.
type continuation struct {
	Prompt    string  `json:"prompt"`
	PromptIDs []int32 `json:"prompt_ids"`
	IDs       []int32 `json:"ids"`
}

func reference(t testing.TB) map[string]map[string][]continuation {
	t.Helper()
	text, err := os.ReadFile(models("reference.json"))
	must(t, err)
	var read struct {
		Models map[string]struct {
			Greedy map[string][]continuation `json:"greedy"`
		} `json:"models"`
	}
	must(t, json.Unmarshal(text, &read))
	found := map[string]map[string][]continuation{}
	for name, model := range read.Models {
		found[name] = model.Greedy
	}
	return found
}

// random gives the same figures on every machine, within -size .. size.
type random uint32

func (r *random) next(size float32) float32 {
	*r = *r*1664525 + 1013904223
	return (float32(*r>>8)/float32(1<<23) - 1) * size
}

func (r *random) floats(count int, size float32) []float32 {
	made := make([]float32, count)
	for i := range made {
		made[i] = r.next(size)
	}
	return made
}

func (r *random) matrix(rows, columns int, size float32) moxie.Matrix {
	return moxie.Matrix{Data: moxie.F32(r.floats(rows*columns, size)), Rows: rows, Columns: columns}
}

func sameBits(a, b []float32) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if math.Float32bits(a[i]) != math.Float32bits(b[i]) {
			return false
		}
	}
	return true
}

func onlyFile(t testing.TB, folder string) string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	must(t, err)
	if len(entries) != 1 {
		t.Fatalf("%s holds %d files", folder, len(entries))
	}
	return filepath.Join(folder, entries[0].Name())
}
