package moxie_test

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"moxie.dev/go/moxie"
)

// usage is what the process holds of the system: memory of no file, because the system drops a file's pages and reads
// them again as it likes.
type usage struct{ kilobytes, threads, files int }

func measure(t *testing.T) (u usage) {
	t.Helper()
	for i := 0; i < 3; i++ { // finalizers run a cycle after what they free was noticed
		runtime.GC()
	}
	debug.FreeOSMemory()
	text, err := os.ReadFile("/proc/self/status")
	must(t, err)
	for _, line := range strings.Split(string(text), "\n") {
		var kilobytes int
		for _, key := range []string{"RssAnon", "VmSwap"} {
			if n, _ := fmt.Sscanf(line, key+": %d kB", &kilobytes); n == 1 {
				u.kilobytes += kilobytes
			}
		}
	}
	tasks, err := os.ReadDir("/proc/self/task")
	must(t, err)
	files, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	if u.kilobytes == 0 || len(tasks) == 0 || len(files) == 0 {
		t.Fatal("nothing was measured")
	}
	u.threads, u.files = len(tasks), len(files)
	return u
}

// steady runs a loop to warm up and then in windows, until one has left nothing: what leaks grows in each, what a heap
// does with its pages in some. Go keeps threads that it once needed: a few more may come late. ctest runs these tests
// with the race detector and, for the narrower limits, without.
func steady(t *testing.T, rounds, kilobytes int, loop func()) {
	t.Helper()
	for i := 0; i < rounds/4+1; i++ {
		loop()
	}
	var windows []string
	for len(windows) < 4 {
		before := measure(t)
		for i := 0; i < rounds; i++ {
			loop()
		}
		after := measure(t)
		if after.kilobytes <= before.kilobytes+kilobytes+raceDetector && after.threads <= before.threads+4 && after.files <= before.files {
			return
		}
		windows = append(windows, fmt.Sprintf("from %+v to %+v", before, after))
	}
	t.Errorf("%d rounds: %s", rounds, strings.Join(windows, ", "))
}

func tinyFeedForward(t testing.TB, r *random, over *moxie.Runtime) *moxie.FeedForward {
	t.Helper()
	made, err := over.NewFeedForward(&moxie.FeedForwardDescription{
		Kind: moxie.FeedForwardPlain, Hidden: hidden, FFN: ffn, Activation: moxie.ActivationReLU,
		Experts: []moxie.ExpertWeights{{Gate: r.matrix(ffn, hidden, 1), Down: r.matrix(hidden, ffn, 1)}},
	})
	must(t, err)
	return made
}

func tinyAdapter(t testing.TB, r *random, over *moxie.FeedForward) *moxie.Adapter {
	t.Helper()
	made, err := over.NewAdapter(&moxie.AdapterDescription{Projections: []moxie.AdapterProjection{{
		Projection: moxie.ProjectionGate,
		Factors:    []moxie.LoRAFactors{{A: r.matrix(rank, hidden, 1), B: r.matrix(ffn, rank, 1), Scaling: 1}},
	}}})
	must(t, err)
	return made
}

// Ten thousand of everything that is cheap, used and closed, together with refusals on the way.
func TestTenThousandObjectsLeaveNothing(t *testing.T) {
	model := openModel(t, "tiny-llama")
	over := newRuntime(t)
	r := random(1)
	x := make([]float32, 2*hidden)
	steady(t, 10000, 2048, func() {
		sequence, err := model.NewSequence(&moxie.SequenceOptions{})
		must(t, err)
		fork, err := sequence.Fork()
		must(t, err)
		sampler, err := moxie.NewSampler(&moxie.SamplerOptions{Temperature: 1})
		must(t, err)
		feedForward := tinyFeedForward(t, &r, over)
		adapter := tinyAdapter(t, &r, feedForward)
		again, err := adapter.Retain()
		must(t, err)
		routing, err := feedForward.RunWithRouting(&moxie.Batch{
			Rows: 2, Input: moxie.F32(x), Output: moxie.F32(x), Ranges: []moxie.Range{{nil, 0, 1}, {again, 1, 2}},
		})
		must(t, err)
		_, err = sampler.Next(x)
		must(t, err)
		if _, err := moxie.OpenFile("nowhere"); err == nil {
			t.Fatal("nowhere is a file")
		}
		if _, err := feedForward.NewAdapter(&moxie.AdapterDescription{}); err == nil {
			t.Fatal("an adapter of nothing")
		}
		for _, object := range []interface{ Close() error }{feedForward, adapter, again, routing, sampler, fork, sequence} {
			must(t, object.Close())
		}
	})
}

func TestHundredsOfModelsLeaveNothing(t *testing.T) {
	lines := int64(0)
	steady(t, 240, 16*1024, func() {
		over, err := moxie.NewRuntime(&moxie.RuntimeOptions{
			Threads: threads, LogLevel: moxie.LogVerbose, Log: func(moxie.LogLevel, string) { atomic.AddInt64(&lines, 1) },
		})
		must(t, err)
		model, err := over.OpenModel(tinyLlama, nil)
		must(t, err)
		must(t, over.Close())
		adapter, err := model.OpenAdapter(models("jargon-lora"))
		must(t, err)
		sequence, err := model.NewSequence(nil)
		must(t, err)
		must(t, model.Close())
		must(t, adapter.Close())
		must(t, sequence.Close())
	})
	if lines == 0 {
		t.Error("nothing was logged")
	}
}

// What is forgotten is freed by the collector.
func TestForgottenObjectsLeaveNothing(t *testing.T) {
	over := newRuntime(t)
	steady(t, 50, 48*1024, func() {
		model, err := over.OpenModel(tinyLlama, nil)
		must(t, err)
		_, err = model.OpenAdapter(models("jargon-lora"))
		must(t, err)
		_, err = model.NewSequence(nil)
		must(t, err)
		runtime.GC()
	})
}

func TestClosedObjectsAreErrors(t *testing.T) {
	over, err := moxie.NewRuntime(nil)
	must(t, err)
	model, err := over.OpenModel(tinyLlama, nil)
	must(t, err)
	block, err := over.OpenBlock(tinyLlama, 0, nil)
	must(t, err)
	feedForward, err := over.OpenFeedForward(tinyLlama, 0, nil)
	must(t, err)
	adapter, err := model.OpenAdapter(models("jargon-lora"))
	must(t, err)
	sequence, err := model.NewSequence(nil)
	must(t, err)
	blockSequence, err := block.NewSequence(nil)
	must(t, err)
	sampler, err := moxie.NewSampler(nil)
	must(t, err)
	file, err := moxie.OpenFile(tinyLlama)
	must(t, err)
	info, err := feedForward.Describe()
	must(t, err)
	x := make([]float32, info.Hidden)
	batch := func() *moxie.Batch {
		return &moxie.Batch{Rows: 1, Input: moxie.F32(x), Output: moxie.F32(x), Ranges: []moxie.Range{{nil, 0, 1}}}
	}
	routing, err := feedForward.RunWithRouting(batch())
	must(t, err)
	openModel, openSequence := model, sequence
	openModel, err = over.OpenModel(tinyLlama, nil)
	must(t, err)
	defer openModel.Close()
	openSequence, err = openModel.NewSequence(nil)
	must(t, err)
	defer openSequence.Close()
	openFeedForward, err := over.OpenFeedForward(tinyLlama, 0, nil)
	must(t, err)
	defer openFeedForward.Close()
	for i := 0; i < 2; i++ {
		for _, object := range []interface{ Close() error }{
			over, model, block, feedForward, adapter, sequence, blockSequence, sampler, file, routing,
		} {
			must(t, object.Close())
		}
	}
	one := func(_ interface{}, err error) error { return err }
	withAdapter, withPlan := batch(), batch()
	withAdapter.Ranges[0].Adapter, withPlan.Plan = adapter, routing
	for what, err := range map[string]error{
		"Runtime.Describe":        one(over.Describe()),
		"Runtime.Kernels":         one(over.Kernels()),
		"Runtime.OpenModel":       one(over.OpenModel(tinyLlama, nil)),
		"Runtime.OpenBlock":       one(over.OpenBlock(tinyLlama, 0, nil)),
		"Runtime.OpenFeedForward": one(over.OpenFeedForward(tinyLlama, 0, nil)),
		"Runtime.NewFeedForward":  one(over.NewFeedForward(&moxie.FeedForwardDescription{})),
		"Model.Describe":          one(model.Describe()),
		"Model.Step":              model.Step(moxie.Step{Sequence: openSequence, Tokens: []int32{1}}),
		"Model.StepWithRouting":   one(model.StepWithRouting()),
		"Model.OpenAdapter":       one(model.OpenAdapter(models("jargon-lora"))),
		"Model.NewSequence":       one(model.NewSequence(nil)),
		"Step.Sequence":           openModel.Step(moxie.Step{Sequence: sequence, Tokens: []int32{1}}),
		"Step.Adapter":            openModel.Step(moxie.Step{Sequence: openSequence, Adapter: adapter, Tokens: []int32{1}}),
		"Block.Run":               block.Run(),
		"Block.NewSequence":       one(block.NewSequence(nil)),
		"Block.OpenAdapter":       one(block.OpenAdapter(models("jargon-lora"))),
		"FeedForward.Describe":    one(feedForward.Describe()),
		"FeedForward.Run":         feedForward.Run(batch()),
		"FeedForward.Route":       one(feedForward.Route(batch())),
		"FeedForward.OpenAdapter": one(feedForward.OpenAdapter(models("jargon-lora"), moxie.OwnLayer)),
		"FeedForward.NewAdapter":  one(feedForward.NewAdapter(&moxie.AdapterDescription{})),
		"Range.Adapter":           openFeedForward.Run(withAdapter),
		"Batch.Plan":              openFeedForward.Run(withPlan),
		"Adapter.Describe":        one(adapter.Describe()),
		"Adapter.Retain":          one(adapter.Retain()),
		"Adapter.RouterLoss":      one(adapter.RouterLoss()),
		"Sequence.Fork":           one(sequence.Fork()),
		"Sequence.Truncate":       sequence.Truncate(0),
		"Sequence.Length":         one(sequence.Length()),
		"Sequence.Describe":       one(sequence.Describe()),
		"Sampler.Next":            one(sampler.Next(x)),
		"Routing.Describe":        one(routing.Describe(0, 0)),
		"Routing.RouterName":      one(routing.RouterName(0, 0, 0)),
		"Routing.Read":            one(routing.Read(0, 0)),
		"Routing.ReadInto":        routing.ReadInto(0, 0, nil, nil, nil),
		"File.Describe":           one(file.Describe()),
		"File.Problems":           one(file.Problems()),
		"File.Settings":           one(file.Settings()),
		"File.Tensors":            one(file.Tensors()),
		"File.Tensor":             one(file.Tensor("x")),
		"File.ReadTensor":         one(file.ReadTensor("x")),
		"File.ReadTensorInto":     file.ReadTensorInto("x", nil),
		"zero Model":              new(moxie.Model).Step(),
		"zero Sequence":           openModel.Step(moxie.Step{Sequence: new(moxie.Sequence), Tokens: []int32{1}}),
		"zero Sampler":            one(new(moxie.Sampler).Next(x)),
	} {
		if !errors.Is(err, moxie.ErrClosed) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if length, err := openSequence.Length(); length != 0 || err != nil {
		t.Error("a refused step moved its sequence", length, err)
	}
	if err := model.Step(); err == nil || err.Error() != "moxie: the Model is closed" {
		t.Error(err)
	}
}

var prompt = []int32{1, 381, 336, 769, 291, 851, 289, 758, 1047, 1965, 313}

// greedy continues the prompt by hand, and gives all logits on the way.
func greedy(t testing.TB, model *moxie.Model, adapter *moxie.Adapter, count int) []float32 {
	info, err := model.Describe()
	must(t, err)
	sequence, err := model.NewSequence(nil)
	must(t, err)
	defer sequence.Close()
	sampler, err := moxie.NewSampler(nil)
	must(t, err)
	defer sampler.Close()
	var all []float32
	tokens := prompt
	for i := 0; i < count; i++ {
		logits := make([]float32, info.Vocabulary)
		must(t, model.Step(moxie.Step{Sequence: sequence, Adapter: adapter, Tokens: tokens, Logits: logits}))
		token, err := sampler.Next(logits)
		must(t, err)
		tokens = []int32{token}
		all = append(all, logits...)
	}
	return all
}

func TestSixtyFourGoroutinesOneModel(t *testing.T) {
	model := openModel(t, "tiny-llama")
	adapters := []*moxie.Adapter{nil}
	for _, name := range adapterNames {
		adapters = append(adapters, openAdapter(t, model, name))
	}
	var expected [][]float32
	for _, adapter := range adapters {
		expected = append(expected, greedy(t, model, adapter, 4))
	}
	var group sync.WaitGroup
	for i := 0; i < 64; i++ {
		group.Add(1)
		go func(of int) {
			defer group.Done()
			if !sameBits(greedy(t, model, adapters[of], 4), expected[of]) {
				t.Errorf("%d", of)
			}
		}(i % len(adapters))
	}
	group.Wait()
}

// Objects that nothing but a call refers to, while the collector runs all the time.
func TestCollectionDuringCalls(t *testing.T) {
	over := newRuntime(t)
	model, err := over.OpenModel(tinyLlama, nil)
	must(t, err)
	defer model.Close()
	info, _ := model.Describe()
	expected := make([]float32, info.Vocabulary)
	must(t, model.Step(moxie.Step{
		Sequence: newSequence(t, model), Adapter: openAdapter(t, model, "kjv-mixlora"), Tokens: prompt, Logits: expected,
	}))
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				runtime.GC()
			}
		}
	}()
	var group sync.WaitGroup
	for i := 0; i < 4; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for round := 0; round < 10; round++ {
				logits := make([]float32, info.Vocabulary)
				if err := freshModel(t, over).Step(step(t, over, logits)); err == nil {
					t.Error("a sequence of another model was taken")
				}
				again, err := over.OpenModel(tinyLlama, nil)
				must(t, err)
				must(t, again.Step(forgotten(t, again, logits)))
				if !sameBits(logits, expected) {
					t.Error("other bits")
				}
			}
		}()
	}
	group.Wait()
	close(stop)
	<-stopped
}

func freshModel(t *testing.T, over *moxie.Runtime) *moxie.Model {
	model, err := over.OpenModel(tinyLlama, nil)
	must(t, err)
	return model
}

func step(t *testing.T, over *moxie.Runtime, logits []float32) moxie.Step {
	return forgotten(t, freshModel(t, over), logits)
}

// forgotten is a step whose sequence and adapter nobody else knows.
func forgotten(t *testing.T, model *moxie.Model, logits []float32) moxie.Step {
	sequence, err := model.NewSequence(nil)
	must(t, err)
	adapter, err := model.OpenAdapter(models("kjv-mixlora"))
	must(t, err)
	return moxie.Step{Sequence: sequence, Adapter: adapter, Tokens: prompt, Logits: logits}
}

// Close while calls are on their way: they end as they would have, or had not begun.
func TestCloseDuringCalls(t *testing.T) {
	over := newRuntime(t)
	kept := freshModel(t, over)
	defer kept.Close()
	info, _ := kept.Describe()
	expected := make([]float32, info.Vocabulary)
	must(t, kept.Step(forgotten(t, kept, expected)))
	finished, refused := 0, 0
	for round := 0; round < 30; round++ {
		model := freshModel(t, over)
		logits := make([]float32, info.Vocabulary)
		one := forgotten(t, model, logits)
		result := make(chan error)
		go func() { result <- model.Step(one) }()
		for i := 0; i < round*10; i++ {
			runtime.Gosched()
		}
		must(t, one.Adapter.Close())
		must(t, one.Sequence.Close())
		must(t, model.Close())
		switch err := <-result; {
		case err == nil && sameBits(logits, expected):
			finished++
		case errors.Is(err, moxie.ErrClosed):
			refused++
		default:
			t.Errorf("%v", err)
		}
	}
	t.Logf("%d finished, %d were refused", finished, refused)
}

// One owner at a time: a second use at once is an error, not a race.
func TestASequenceHasOneOwner(t *testing.T) {
	model := openModel(t, "tiny-llama")
	info, _ := model.Describe()
	sequence := newSequence(t, model)
	sampler, err := moxie.NewSampler(nil)
	must(t, err)
	defer sampler.Close()
	var group sync.WaitGroup
	var moved, refused int64
	for i := 0; i < 8; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			logits := make([]float32, info.Vocabulary)
			for round := 0; round < 20; round++ {
				switch err := model.Step(moxie.Step{Sequence: sequence, Tokens: []int32{5}, Logits: logits}); {
				case err == nil:
					atomic.AddInt64(&moved, 1)
				case errors.Is(err, moxie.ErrInvalidArgument):
					atomic.AddInt64(&refused, 1)
				default:
					t.Error(err)
				}
				if _, err := sampler.Next(logits); err != nil && !errors.Is(err, moxie.ErrInvalidArgument) {
					t.Error(err)
				}
			}
		}()
	}
	group.Wait()
	if length, err := sequence.Length(); err != nil || int64(length) != moved || moved+refused != 160 {
		t.Errorf("%d tokens after %d steps, %d refused (%v)", length, moved, refused, err)
	}
}

// Also when the library computes with several threads, of which Go and its race detector know nothing.
func TestThreadsOfTheLibraryChangeNothing(t *testing.T) {
	expected := greedy(t, openModel(t, "tiny-llama"), nil, 3)
	over, err := moxie.NewRuntime(&moxie.RuntimeOptions{Threads: 3})
	must(t, err)
	defer over.Close()
	model, err := over.OpenModel(tinyLlama, &moxie.LoadOptions{Weights: moxie.WeightsF32})
	must(t, err)
	defer model.Close()
	if !sameBits(greedy(t, model, nil, 3), expected) {
		t.Error("other bits")
	}
}
