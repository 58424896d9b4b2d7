package moxie_test

import (
	"context"
	"errors"
	"testing"

	"moxie.dev/go/moxie"
)

func collect(generation *moxie.Generation) (tokens []int32) {
	for generation.Next() {
		tokens = append(tokens, generation.Token())
	}
	return tokens
}

func TestGenerateGivesTheReferencesTokens(t *testing.T) {
	model := openModel(t, "tiny-llama")
	expected := reference(t)["presidents-mola"]["sotu"][0]
	sequence := newSequence(t, model)
	generation := model.Generate(context.Background(), moxie.GenerateOptions{
		Sequence: sequence, Adapter: openAdapter(t, model, "presidents-mola"), Tokens: expected.PromptIDs, MaxTokens: 24,
	})
	if generation.Reason() != moxie.StopNone {
		t.Error("it has ended before it began")
	}
	tokens := collect(generation)
	if generation.Err() != nil || generation.Reason() != moxie.StopLimit || len(tokens) != 24 {
		t.Fatalf("%v, reason %d, %v", tokens, generation.Reason(), generation.Err())
	}
	for i := range tokens {
		if tokens[i] != expected.IDs[i] {
			t.Fatalf("%v; expected %v", tokens, expected.IDs[:24])
		}
	}
	if length, _ := sequence.Length(); length != len(expected.PromptIDs)+23 {
		t.Errorf("the sequence holds %d", length)
	}
	if generation.Next() {
		t.Error("it goes on after its end")
	}
	// Going on where it stopped: the last token has not been seen yet.
	rest := collect(model.Generate(context.Background(), moxie.GenerateOptions{
		Sequence: sequence, Adapter: openAdapter(t, model, "presidents-mola"), Tokens: tokens[23:], MaxTokens: 4,
	}))
	for i := range rest {
		if rest[i] != expected.IDs[24+i] {
			t.Fatalf("%v; expected %v", rest, expected.IDs[24:28])
		}
	}
}

func TestGenerateStopsAtAnEndToken(t *testing.T) {
	model := openModel(t, "tiny-llama")
	expected := reference(t)["tiny-llama"]["kjv"][0]
	generation := model.Generate(context.Background(), moxie.GenerateOptions{
		Sequence: newSequence(t, model), Tokens: expected.PromptIDs, MaxTokens: 48, EndTokens: []int32{expected.IDs[5]},
	})
	tokens := collect(generation)
	if len(tokens) != 5 || generation.Reason() != moxie.StopEndToken || generation.Err() != nil {
		t.Errorf("%v, reason %d, %v", tokens, generation.Reason(), generation.Err())
	}
}

func TestGenerateHearsCancellation(t *testing.T) {
	model := openModel(t, "tiny-llama")
	prompt := reference(t)["tiny-llama"]["kjv"][0].PromptIDs
	ctx, cancel := context.WithCancel(context.Background())
	sequence := newSequence(t, model)
	generation := model.Generate(ctx, moxie.GenerateOptions{Sequence: sequence, Tokens: prompt, MaxTokens: 48})
	for i := 0; i < 3; i++ {
		if !generation.Next() {
			t.Fatal(generation.Err())
		}
	}
	cancel()
	if generation.Next() || !errors.Is(generation.Err(), context.Canceled) || generation.Reason() != moxie.StopCancelled {
		t.Errorf("reason %d, %v", generation.Reason(), generation.Err())
	}
	if length, err := sequence.Length(); length != len(prompt)+2 || err != nil {
		t.Error(length, err)
	}
	must(t, sequence.Truncate(len(prompt))) // it stays usable

	// Also between the parts of a long prompt, of which none is computed here.
	never := model.Generate(ctx, moxie.GenerateOptions{Sequence: newSequence(t, model), Tokens: prompt, MaxTokens: 1})
	if never.Next() || !errors.Is(never.Err(), context.Canceled) {
		t.Error(never.Err())
	}
}

// A prompt longer than one part gives the bits of one step.
func TestGenerateCutsLongPrompts(t *testing.T) {
	model := openModel(t, "tiny-llama")
	info, _ := model.Describe()
	prompt := []int32{1}
	for r := random(4); len(prompt) < 400; {
		prompt = append(prompt, 3+int32((r.next(0.5)+0.5)*1000))
	}
	if info.MaxPositions < len(prompt)+3 {
		t.Fatalf("the model has %d positions", info.MaxPositions)
	}
	sampled := func() *moxie.Sampler {
		sampler, err := moxie.NewSampler(&moxie.SamplerOptions{Temperature: 1, TopK: 50, TopP: 0.95, Seed: 5})
		must(t, err)
		t.Cleanup(func() { sampler.Close() })
		return sampler
	}
	tokens := collect(model.Generate(context.Background(), moxie.GenerateOptions{
		Sequence: newSequence(t, model), Tokens: prompt, MaxTokens: 3, Sampler: sampled(), EndTokens: []int32{},
	}))
	whole, sequence, sampler := []int32{}, newSequence(t, model), sampled()
	logits := make([]float32, info.Vocabulary)
	for next := prompt; len(whole) < 3; {
		must(t, model.Step(moxie.Step{Sequence: sequence, Tokens: next, Logits: logits}))
		token, err := sampler.Next(logits)
		must(t, err)
		whole, next = append(whole, token), []int32{token}
	}
	for i := range whole {
		if len(tokens) != 3 || tokens[i] != whole[i] {
			t.Fatalf("%v; expected %v", tokens, whole)
		}
	}
}

func TestGenerateRefuses(t *testing.T) {
	model := openModel(t, "tiny-llama")
	sequence := newSequence(t, model)
	closed, err := moxie.NewSampler(nil)
	must(t, err)
	must(t, closed.Close())
	for _, c := range []struct {
		class   error
		options moxie.GenerateOptions
	}{
		{moxie.ErrInvalidArgument, moxie.GenerateOptions{Tokens: []int32{1}, MaxTokens: 1}},
		{moxie.ErrInvalidArgument, moxie.GenerateOptions{Sequence: sequence, MaxTokens: 1}},
		{moxie.ErrInvalidArgument, moxie.GenerateOptions{Sequence: sequence, Tokens: []int32{1}}},
		{moxie.ErrInvalidArgument, moxie.GenerateOptions{Sequence: sequence, Tokens: []int32{-1}, MaxTokens: 1}},
		{moxie.ErrClosed, moxie.GenerateOptions{Sequence: sequence, Tokens: []int32{1}, MaxTokens: 1, Sampler: closed}},
	} {
		generation := model.Generate(context.Background(), c.options)
		if generation.Next() || !errors.Is(generation.Err(), c.class) || generation.Reason() != moxie.StopError {
			t.Errorf("%+v: %v", c.options, generation.Err())
		}
	}
}

func TestSampler(t *testing.T) {
	greedy, err := moxie.NewSampler(&moxie.SamplerOptions{})
	must(t, err)
	defer greedy.Close()
	if token, err := greedy.Next([]float32{0, 3, 3, 1}); token != 1 || err != nil {
		t.Error(token, err)
	}
	nan := float32(0)
	if _, err := greedy.Next([]float32{0, nan / nan}); !errors.Is(err, moxie.ErrNumeric) {
		t.Error(err)
	}
	if _, err := greedy.Next(nil); !errors.Is(err, moxie.ErrInvalidArgument) {
		t.Error(err)
	}
	if _, err := moxie.NewSampler(&moxie.SamplerOptions{Temperature: -1}); !errors.Is(err, moxie.ErrInvalidArgument) {
		t.Error(err)
	}
	draw := func() (tokens [20]int32) {
		sampler, err := moxie.NewSampler(&moxie.SamplerOptions{Temperature: 1, Seed: 9})
		must(t, err)
		defer sampler.Close()
		for i := range tokens {
			tokens[i], err = sampler.Next([]float32{0, 0.1, 0.2, 0.3})
			must(t, err)
		}
		return tokens
	}
	first, different := draw(), false
	for _, token := range first {
		different = different || token != first[0]
	}
	if first != draw() || !different {
		t.Error(first)
	}
}
