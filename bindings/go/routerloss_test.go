package moxie_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"moxie.dev/go/moxie"
)

// The loss and the profile of an adapter and of a bank of experts, against the formula written out in Go (Switch
// Transformers, equation 4), with padding left out.
func TestRouterLosses(t *testing.T) {
	for _, c := range []struct{ model, adapter string }{{"tiny-mixtral", ""}, {"tiny-llama", "kjv-mixlora"}} {
		model := openModel(t, c.model)
		info, err := model.Describe()
		must(t, err)
		options := moxie.DefaultRouterLoss()
		options.Kind, options.Experts, options.TopK, options.BalanceCoefficient = moxie.RouterTopK, info.Experts, info.TopK, 0.02
		var adapter *moxie.Adapter
		if c.adapter != "" {
			adapter = openAdapter(t, model, c.adapter)
			options, err = adapter.RouterLoss()
			must(t, err)
		}
		const sequences, rows = 2, 5
		options.Layers, options.Sequences = info.Layers, sequences
		options.Mask = []bool{true, true, true, false, false, true, true, true, true, true}
		prompts := [sequences][]int32{{1, 381, 336}, {1, 1476, 13, 1945, 2006}}
		var steps []moxie.Step
		for _, prompt := range prompts {
			steps = append(steps, moxie.Step{Sequence: newSequence(t, model), Adapter: adapter, Tokens: prompt})
		}
		routing, err := model.StepWithRouting(steps...)
		must(t, err)
		logits := make([]float32, options.Layers*sequences*rows*options.Experts)
		counts := make([]float64, options.Layers*options.Experts)
		probabilities := make([]float64, options.Experts)
		chosen := make([]float64, options.Experts)
		for layer := 0; layer < options.Layers; layer++ {
			for s := range prompts {
				read, err := routing.Read(layer, s)
				must(t, err)
				copy(logits[(layer*sequences+s)*rows*options.Experts:], read.Logits)
				for _, e := range read.ExpertIDs {
					counts[layer*options.Experts+int(e)]++
					chosen[e]++
				}
				for row := range prompts[s] {
					sum := 0.0
					line := read.Logits[row*options.Experts : (row+1)*options.Experts]
					for _, logit := range line {
						sum += math.Exp(float64(logit))
					}
					for e, logit := range line {
						probabilities[e] += math.Exp(float64(logit)) / sum
					}
				}
			}
		}
		must(t, routing.Close())
		tokens, balance := float64(len(prompts[0])+len(prompts[1])), 0.0
		all := tokens * float64(options.Layers)
		for e := range chosen {
			balance += float64(options.Experts) * chosen[e] / all * probabilities[e] / all
		}
		loss, err := moxie.RouterLoss(&options, logits)
		must(t, err)
		if expected := options.BalanceCoefficient * balance; !(math.Abs(loss-expected) < 1e-9*balance) || loss <= 0 {
			t.Errorf("loss %v; expected %v", loss, expected)
		}
		profile, err := moxie.RouterProfile(&options, logits)
		must(t, err)
		for i := range counts {
			if math.Abs(profile[i]-counts[i]/tokens) > 1e-12 {
				t.Errorf("profile %v; expected %v tokens of %v", profile, counts, tokens)
				break
			}
		}

		if _, err := moxie.RouterLoss(&options, logits[1:]); err == nil || !strings.Contains(err.Error(), "whole number of rows") {
			t.Error(err)
		}
		options.Mask = options.Mask[1:]
		if _, err := moxie.RouterProfile(&options, logits); err == nil || !strings.Contains(err.Error(), "Mask has 9 rows") {
			t.Error(err)
		}
		options.Layers = -1
		if _, err := moxie.RouterProfile(&options, logits); !errors.Is(err, moxie.ErrInvalidArgument) {
			t.Error(err)
		}
	}
}

func TestAdaptersWithoutLossSaySo(t *testing.T) {
	model := openModel(t, "tiny-llama")
	for _, name := range []string{"jargon-lora", "melville-loramoe"} {
		if _, err := openAdapter(t, model, name).RouterLoss(); !errors.Is(err, moxie.ErrUnsupported) {
			t.Error(name, err)
		}
	}
}
