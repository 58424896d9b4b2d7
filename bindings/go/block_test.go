package moxie_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"moxie.dev/go/moxie"
)

func TestBlockRunsSequencesTogether(t *testing.T) {
	block, err := newRuntime(t).OpenBlock(tinyLlama, 1, &moxie.LoadOptions{Weights: moxie.WeightsF32})
	must(t, err)
	defer block.Close()
	adapter, err := block.OpenAdapter(models("kjv-mixlora"))
	must(t, err)
	defer adapter.Close()
	r := random(11)
	width := block.Hidden()
	sequence := func() *moxie.Sequence {
		made, err := block.NewSequence(nil)
		must(t, err)
		t.Cleanup(func() { must(t, made.Close()) })
		return made
	}
	step := func(adapter *moxie.Adapter, input []float32) (moxie.BlockStep, []float32, []float32) {
		output, after := make([]float32, len(input)), make([]float32, len(input))
		return moxie.BlockStep{
			Sequence: sequence(), Adapter: adapter, Rows: len(input) / width,
			Input: moxie.F32(input), Output: moxie.F32(output), AfterAttention: moxie.F32(after),
		}, output, after
	}
	input := r.floats(5*width, 1)
	base, baseOutput, _ := step(nil, input)
	adapted, adaptedOutput, after := step(adapter, input)
	routing, err := block.RunWithRouting(base, adapted)
	must(t, err)
	defer routing.Close()
	if info, err := routing.Describe(0, 1); err != nil || info.Rows != 5 || info.Routers != 1 {
		t.Errorf("%+v %v", info, err)
	}
	alone, aloneOutput, aloneAfter := step(adapter, input)
	must(t, block.Run(alone))
	if !sameBits(aloneOutput, adaptedOutput) || !sameBits(aloneAfter, after) {
		t.Error("together and alone differ")
	}
	if sameBits(baseOutput, adaptedOutput) || sameBits(after, adaptedOutput) {
		t.Error("nothing was computed")
	}
	// Row by row, the sequence remembers the rows before.
	slow := sequence()
	for row := 0; row < 5; row++ {
		output := make([]float32, width)
		must(t, block.Run(moxie.BlockStep{
			Sequence: slow, Adapter: adapter, Rows: 1, Input: moxie.F32(input[row*width : (row+1)*width]), Output: moxie.F32(output),
		}))
		if !sameBits(output, adaptedOutput[row*width:(row+1)*width]) {
			t.Errorf("row %d", row)
		}
	}
	// bfloat16 rows
	halves, halfOutput := make([]uint16, width), make([]uint16, width)
	for i := range halves {
		halves[i] = uint16(math.Float32bits(input[i]) >> 16)
	}
	must(t, block.Run(moxie.BlockStep{Sequence: sequence(), Rows: 1, Input: moxie.BF16(halves), Output: moxie.BF16(halfOutput)}))
	if near := math.Float32frombits(uint32(halfOutput[0]) << 16); math.Abs(float64(near-baseOutput[0])) > 0.05 {
		t.Errorf("%v; expected %v", near, baseOutput[0])
	}

	for says, bad := range map[string]moxie.BlockStep{
		"steps[0].Rows is 0":              {Sequence: slow, Input: moxie.F32(input), Output: moxie.F32(baseOutput)},
		"steps[0].Input has":              {Sequence: slow, Rows: 6, Input: moxie.F32(input), Output: moxie.F32(baseOutput)},
		"steps[0].Output is bfloat16":     {Sequence: slow, Rows: 1, Input: moxie.F32(input), Output: moxie.BF16(halfOutput)},
		"steps[0].Sequence is nil":        {Rows: 1, Input: moxie.F32(input), Output: moxie.F32(baseOutput)},
		"steps[0].AfterAttention has 1 e": {Sequence: slow, Rows: 1, Input: moxie.F32(input), Output: moxie.F32(baseOutput), AfterAttention: moxie.F32(after[:1])},
	} {
		if err := block.Run(bad); !errors.Is(err, moxie.ErrInvalidArgument) || !strings.Contains(err.Error(), says) {
			t.Errorf("%v; expected %q", err, says)
		}
	}
	if length, _ := slow.Length(); length != 5 {
		t.Errorf("a refused call moved the sequence to %d", length)
	}
}
