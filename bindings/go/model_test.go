package moxie_test

import (
	"errors"
	"strings"
	"testing"

	"moxie.dev/go/moxie"
)

func TestModelDescribesItself(t *testing.T) {
	info, err := openModel(t, "tiny-mixtral").Describe()
	must(t, err)
	if info.Family != "mixtral" || info.Experts < 2 || info.TopK < 1 || info.Vocabulary < 2 || info.Parameters <= 0 ||
		info.Layers < 1 || info.Weights != moxie.Float32 || info.EOSToken != 2 || info.BOSToken != 1 {
		t.Errorf("%+v", info)
	}
}

// Every prompt under every adapter, in one batch from start to end: the reference implementations' tokens.
func TestMixedStepsGiveTheReferencesTokens(t *testing.T) {
	const count = 12
	model := openModel(t, "tiny-llama")
	info, err := model.Describe()
	must(t, err)
	type tenant struct {
		name     string
		expected continuation
		step     moxie.Step
		tokens   []int32
	}
	var tenants []*tenant
	for name, texts := range reference(t) {
		var adapter *moxie.Adapter
		if strings.HasPrefix(name, "tiny-mixtral") {
			continue
		}
		if name != "tiny-llama" {
			adapter = openAdapter(t, model, name)
		}
		for _, text := range texts {
			tenants = append(tenants, &tenant{name: name, expected: text[0], step: moxie.Step{
				Sequence: newSequence(t, model), Adapter: adapter,
				Tokens: text[0].PromptIDs, Logits: make([]float32, info.Vocabulary),
			}})
		}
	}
	if len(tenants) != 28 {
		t.Fatalf("%d tenants", len(tenants))
	}
	sampler, err := moxie.NewSampler(nil)
	must(t, err)
	defer sampler.Close()
	for round := 0; round < count; round++ {
		steps := make([]moxie.Step, len(tenants))
		for i, tenant := range tenants {
			steps[i] = tenant.step
		}
		must(t, model.Step(steps...))
		for _, tenant := range tenants {
			token, err := sampler.Next(tenant.step.Logits)
			must(t, err)
			tenant.tokens = append(tenant.tokens, token)
			tenant.step.Tokens = []int32{token}
		}
	}
	for _, tenant := range tenants {
		for i, token := range tenant.tokens {
			if token != tenant.expected.IDs[i] {
				t.Errorf("%s, %q: %v; expected %v", tenant.name, tenant.expected.Prompt, tenant.tokens, tenant.expected.IDs[:count])
				break
			}
		}
	}
}

func TestStepGivesTheBitsOfEachAlone(t *testing.T) {
	model := openModel(t, "tiny-llama")
	info, _ := model.Describe()
	adapter := openAdapter(t, model, "presidents-mola")
	prompt := []int32{1, 449, 1964, 570, 981, 865, 614, 1965, 259, 272, 415}
	logits := func(rows int) []float32 { return make([]float32, rows*info.Vocabulary) }
	together := []moxie.Step{
		{Sequence: newSequence(t, model), Tokens: prompt, Logits: logits(len(prompt))},
		{Sequence: newSequence(t, model), Adapter: adapter, Tokens: prompt[:4]}, // no logits wanted
		{Sequence: newSequence(t, model), Adapter: adapter, Tokens: prompt, Logits: logits(2)},
	}
	must(t, model.Step(together...))
	for i, step := range together {
		alone := step
		alone.Sequence, alone.Logits = newSequence(t, model), append([]float32(nil), step.Logits...)
		for j := range alone.Logits {
			alone.Logits[j] = -1
		}
		must(t, model.Step(alone))
		if !sameBits(alone.Logits, step.Logits) {
			t.Errorf("step %d", i)
		}
	}
	if sameBits(together[2].Logits, together[0].Logits[9*info.Vocabulary:]) {
		t.Error("the adapter changes nothing")
	}
}

func TestStepRefusesAndLeavesAllAsItWas(t *testing.T) {
	model := openModel(t, "tiny-llama")
	info, _ := model.Describe()
	one, two := newSequence(t, model), newSequence(t, model)
	full := make([]float32, info.Vocabulary)
	for _, c := range []struct {
		says  string
		steps []moxie.Step
	}{
		{"vocabulary", []moxie.Step{{Sequence: one, Tokens: []int32{1, 2}, Logits: full}, {Sequence: two, Tokens: []int32{int32(info.Vocabulary)}}}},
		{"steps[1]", []moxie.Step{{Sequence: one, Tokens: []int32{1}, Logits: full}, {Sequence: one, Tokens: []int32{1}}}},
		{"multiple of the vocabulary", []moxie.Step{{Sequence: one, Tokens: []int32{1}, Logits: full[1:]}}},
		{"room for 2 rows", []moxie.Step{{Sequence: one, Tokens: []int32{1}, Logits: make([]float32, 2*info.Vocabulary)}}},
		{"steps[0] has no Sequence", []moxie.Step{{Tokens: []int32{1}}}},
		{"token", []moxie.Step{{Sequence: one}}},
	} {
		err := model.Step(c.steps...)
		if !errors.Is(err, moxie.ErrInvalidArgument) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v; expected %q", err, c.says)
		}
		for _, sequence := range []*moxie.Sequence{one, two} {
			if length, err := sequence.Length(); length != 0 || err != nil {
				t.Errorf("%s: a sequence moved to %d (%v)", c.says, length, err)
			}
		}
		for _, logit := range full {
			if logit != 0 {
				t.Fatalf("%s: logits were written", c.says)
			}
		}
	}
}

func TestSequenceForksAndTruncates(t *testing.T) {
	model := openModel(t, "tiny-llama")
	info, _ := model.Describe()
	prompt := []int32{1, 381, 336, 769, 291, 851, 289, 758, 1047, 1965, 313}
	original := newSequence(t, model)
	first, again := make([]float32, info.Vocabulary), make([]float32, info.Vocabulary)
	must(t, model.Step(moxie.Step{Sequence: original, Tokens: prompt, Logits: first}))
	fork, err := original.Fork()
	must(t, err)
	defer fork.Close()
	must(t, fork.Truncate(len(prompt)-1))
	must(t, model.Step(moxie.Step{Sequence: fork, Tokens: prompt[len(prompt)-1:], Logits: again}))
	if !sameBits(first, again) {
		t.Error("the fork remembers something else")
	}
	if length, _ := original.Length(); length != len(prompt) {
		t.Errorf("the original moved to %d", length)
	}
	if err := fork.Truncate(len(prompt) + 1); !errors.Is(err, moxie.ErrInvalidArgument) {
		t.Error(err)
	}
	half, err := model.NewSequence(&moxie.SequenceOptions{FirstPosition: 3, KV: moxie.BFloat16})
	must(t, err)
	defer half.Close()
	must(t, model.Step(moxie.Step{Sequence: half, Tokens: prompt}))
	described, err := half.Describe()
	must(t, err)
	whole, err := original.Describe()
	must(t, err)
	if described.Length != len(prompt) || described.FirstPosition != 3 || described.KV != moxie.BFloat16 ||
		described.KVBytes*2 != whole.KVBytes {
		t.Errorf("%+v against %+v", described, whole)
	}
	if _, err := model.NewSequence(&moxie.SequenceOptions{KV: moxie.Int8}); !errors.Is(err, moxie.ErrInvalidArgument) &&
		!errors.Is(err, moxie.ErrUnsupported) {
		t.Error(err)
	}
}

func TestStepWithRoutingCoversEveryLayerAndStep(t *testing.T) {
	model := openModel(t, "tiny-llama")
	info, _ := model.Describe()
	adapter := openAdapter(t, model, "kjv-mixlora")
	routing, err := model.StepWithRouting(
		moxie.Step{Sequence: newSequence(t, model), Tokens: []int32{1, 2, 3}},
		moxie.Step{Sequence: newSequence(t, model), Adapter: adapter, Tokens: []int32{1, 2}})
	must(t, err)
	defer routing.Close()
	if routing.Layers() != info.Layers || routing.Ranges() != 2 {
		t.Fatalf("%d layers, %d ranges", routing.Layers(), routing.Ranges())
	}
	base, err := routing.Read(0, 0)
	must(t, err)
	routed, err := routing.Read(info.Layers-1, 1)
	must(t, err)
	if base.Routers != 0 || base.Rows != 3 || routed.Routers != 1 || routed.Rows != 2 || routed.Places != 2 {
		t.Errorf("%+v %+v", base.RoutingInfo, routed.RoutingInfo)
	}
	if name, err := routing.RouterName(0, 1, 0); name != "mlp" || err != nil {
		t.Error(name, err)
	}
	if _, err := routing.Read(info.Layers, 0); err == nil {
		t.Error("a layer that is not there")
	}
}

func TestLoadOptionsReachTheLibrary(t *testing.T) {
	runtime := newRuntime(t)
	cache := t.TempDir() + "/"
	for _, use := range []moxie.PackedCache{moxie.PackedCacheReadWrite, moxie.PackedCacheRead} {
		model, err := runtime.OpenModel(tinyLlama, &moxie.LoadOptions{
			Weights: moxie.WeightsBF16, MapFiles: true, PackedCache: use, MapPackedCache: true, PackedCachePath: cache,
		})
		must(t, err)
		info, err := model.Describe()
		must(t, err)
		if info.Weights != moxie.BFloat16 {
			t.Errorf("%+v", info)
		}
		must(t, model.Close())
	}
	if written, err := moxie.OpenFile(onlyFile(t, cache)); err != nil {
		t.Error(err)
	} else {
		defer written.Close()
		if info, err := written.Describe(); err != nil || info.Format != "packed cache" {
			t.Errorf("%+v %v", info, err)
		}
	}
}
