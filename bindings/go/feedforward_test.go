package moxie_test

import (
	"errors"
	"math"
	"sort"
	"strings"
	"testing"

	"moxie.dev/go/moxie"
)

const (
	hidden, ffn, experts, topK, rank, rows = 24, 40, 4, 2, 3, 6
)

// multiply adds scale * m x to y.
func multiply(m moxie.Matrix, data []float32, scale float64, x, y []float64) {
	for row := 0; row < m.Rows; row++ {
		sum := 0.0
		for i := range x {
			sum += float64(data[row*m.Columns+i]) * x[i]
		}
		y[row] += scale * sum
	}
}

// linear is a weight with what may lie over it.
type linear struct {
	weight, a, b moxie.Matrix
	w, fa, fb    []float32
	bias         []float32
}

func (r *random) linear(out, in int, adapted bool) linear {
	l := linear{w: r.floats(out*in, 0.3)}
	l.weight = moxie.Matrix{Data: moxie.F32(l.w), Rows: out, Columns: in}
	if adapted {
		l.fa, l.fb = r.floats(rank*in, 0.3), r.floats(out*rank, 0.3)
		l.a = moxie.Matrix{Data: moxie.F32(l.fa), Rows: rank, Columns: in}
		l.b = moxie.Matrix{Data: moxie.F32(l.fb), Rows: out, Columns: rank}
	}
	return l
}

func (l linear) run(x []float64, adapted bool) []float64 {
	y := make([]float64, l.weight.Rows)
	multiply(l.weight, l.w, 1, x, y)
	if adapted {
		low := make([]float64, rank)
		multiply(l.a, l.fa, 1, x, low)
		multiply(l.b, l.fb, 2, low, y)
	}
	for i := range l.bias {
		y[i] += float64(l.bias[i])
	}
	return y
}

func silu(x float64) float64 { return x / (1 + math.Exp(-x)) }
func gelu(x float64) float64 { return 0.5 * x * (1 + math.Erf(x/math.Sqrt2)) }

func widen(x []float32) []float64 {
	y := make([]float64, len(x))
	for i := range x {
		y[i] = float64(x[i])
	}
	return y
}

// agree: the error of the whole row against its size.
func agree(t *testing.T, what string, found []float32, truth []float64) {
	t.Helper()
	distance, size := 0.0, 0.0
	for i := range truth {
		distance += (float64(found[i]) - truth[i]) * (float64(found[i]) - truth[i])
		size += truth[i] * truth[i]
	}
	if !(math.Sqrt(distance) < 1e-5*math.Sqrt(size)) {
		t.Errorf("%s: error %g", what, math.Sqrt(distance/size))
	}
}

// route is softmax over the k largest.
func route(router []float32, x []float64) (chosen []int, weights []float64) {
	logits := make([]float64, experts)
	multiply(moxie.Matrix{Rows: experts, Columns: hidden}, router, 1, x, logits)
	for e := range logits {
		chosen = append(chosen, e)
	}
	sort.Slice(chosen, func(i, j int) bool { return logits[chosen[i]] > logits[chosen[j]] })
	chosen = chosen[:topK]
	sum := 0.0
	for _, e := range chosen {
		weights = append(weights, math.Exp(logits[e]))
		sum += math.Exp(logits[e])
	}
	for i := range weights {
		weights[i] /= sum
	}
	return chosen, weights
}

// The caller's weights: gated, under the base, LoRA and MixLoRA in one batch, against plain Go.
func TestOwnWeightsAndFactors(t *testing.T) {
	r := random(1)
	gate, up, down := r.linear(ffn, hidden, true), r.linear(ffn, hidden, false), r.linear(hidden, ffn, true)
	router := r.floats(experts*hidden, 1)
	feedForward, err := newRuntime(t).NewFeedForward(&moxie.FeedForwardDescription{
		Kind: moxie.FeedForwardGated, Hidden: hidden, FFN: ffn, Activation: moxie.ActivationSiLU,
		Experts: []moxie.ExpertWeights{{Gate: gate.weight, Up: up.weight, Down: down.weight}},
	})
	must(t, err)
	defer feedForward.Close()
	factors := func(l linear) moxie.LoRAFactors { return moxie.LoRAFactors{A: l.a, B: l.b, Scaling: 2} }
	lora, err := feedForward.NewAdapter(&moxie.AdapterDescription{
		Kind: moxie.AdapterLoRA, Name: "mine", Projections: []moxie.AdapterProjection{
			{Projection: moxie.ProjectionGate, Factors: []moxie.LoRAFactors{factors(gate)}},
			{Projection: moxie.ProjectionDown, Factors: []moxie.LoRAFactors{factors(down)}},
		},
	})
	must(t, err)
	defer lora.Close()
	// The experts differ in their factors over gate only.
	gates := make([]linear, experts)
	var gateFactors, downFactors []moxie.LoRAFactors
	for e := range gates {
		gates[e] = r.linear(ffn, hidden, true)
		gates[e].weight, gates[e].w = gate.weight, gate.w
		gateFactors, downFactors = append(gateFactors, factors(gates[e])), append(downFactors, factors(down))
	}
	mixlora, err := feedForward.NewAdapter(&moxie.AdapterDescription{
		Kind: moxie.AdapterMixLoRA, Experts: experts, TopK: topK,
		Router: moxie.Matrix{Data: moxie.F32(router), Rows: experts, Columns: hidden},
		Projections: []moxie.AdapterProjection{
			{Projection: moxie.ProjectionGate, Factors: gateFactors}, {Projection: moxie.ProjectionDown, Factors: downFactors},
		},
	})
	must(t, err)
	defer mixlora.Close()
	if info, err := lora.Describe(); err != nil || info.Name != "mine" || info.Rank != rank || info.Kind != moxie.AdapterLoRA {
		t.Errorf("%+v %v", info, err)
	}
	if info, err := mixlora.Describe(); err != nil || info.Experts != experts || info.TopK != topK || info.DoRA {
		t.Errorf("%+v %v", info, err)
	}

	input, output := r.floats(rows*hidden, 1), make([]float32, rows*hidden)
	routing, err := feedForward.RunWithRouting(&moxie.Batch{
		Rows: rows, Input: moxie.F32(input), Output: moxie.F32(output),
		Ranges: []moxie.Range{{mixlora, 4, rows}, {nil, 0, 2}, {lora, 2, 4}},
	})
	must(t, err)
	defer routing.Close()
	for row := 0; row < rows; row++ {
		x := widen(input[row*hidden : (row+1)*hidden])
		truth := make([]float64, hidden)
		run := func(gate linear, adapted bool, weight float64) {
			middle, second := gate.run(x, adapted), up.run(x, false)
			for i := range middle {
				middle[i] = silu(middle[i]) * second[i]
			}
			for i, y := range down.run(middle, adapted) {
				truth[i] += weight * y
			}
		}
		if row < 4 {
			run(gate, row >= 2, 1)
		} else {
			chosen, weights := route(router, x)
			for i, e := range chosen {
				run(gates[e], true, weights[i])
			}
			read, err := routing.Read(0, 0)
			must(t, err)
			if at := (row - 4) * topK; int(read.ExpertIDs[at]) != chosen[0] || int(read.ExpertIDs[at+1]) != chosen[1] {
				t.Errorf("row %d: experts %v; expected %v", row, read.ExpertIDs, chosen)
			}
		}
		agree(t, "a row", output[row*hidden:(row+1)*hidden], truth)
	}
}

// Plain with biases, and a bank of experts, whose weights lie with gaps in one large slice.
func TestOtherKindsOfFeedForward(t *testing.T) {
	r := random(2)
	runtime := newRuntime(t)
	input, output := r.floats(rows*hidden, 1), make([]float32, rows*hidden)
	whole := []moxie.Range{{nil, 0, rows}}

	first, second := r.linear(ffn, hidden, false), r.linear(hidden, ffn, false)
	first.bias, second.bias = r.floats(ffn, 0.5), r.floats(hidden, 0.5)
	plain, err := runtime.NewFeedForward(&moxie.FeedForwardDescription{
		Kind: moxie.FeedForwardPlain, Hidden: hidden, FFN: ffn, Activation: moxie.ActivationGELU,
		Experts: []moxie.ExpertWeights{{Gate: first.weight, Down: second.weight, GateBias: first.bias, DownBias: second.bias}},
	})
	must(t, err)
	defer plain.Close()
	must(t, plain.Run(&moxie.Batch{Rows: rows, Input: moxie.F32(input), Output: moxie.F32(output), Ranges: whole}))
	for row := 0; row < rows; row++ {
		middle := first.run(widen(input[row*hidden:(row+1)*hidden]), false)
		for i := range middle {
			middle[i] = gelu(middle[i])
		}
		agree(t, "plain", output[row*hidden:(row+1)*hidden], second.run(middle, false))
	}

	const gap = 5
	var gates, ups, downs [experts]linear
	weights := make([]moxie.ExpertWeights, experts)
	for e := range weights {
		gates[e], ups[e], downs[e] = r.linear(ffn, hidden, false), r.linear(ffn, hidden, false), r.linear(hidden, ffn, false)
		wide := make([]float32, ffn*(hidden+gap)-gap)
		for row := 0; row < ffn; row++ {
			copy(wide[row*(hidden+gap):], gates[e].w[row*hidden:(row+1)*hidden])
		}
		weights[e] = moxie.ExpertWeights{
			Gate: moxie.Matrix{Data: moxie.F32(wide), Rows: ffn, Columns: hidden, RowStride: hidden + gap},
			Up:   ups[e].weight, Down: downs[e].weight,
		}
	}
	router := r.floats(experts*hidden, 1)
	bank, err := runtime.NewFeedForward(&moxie.FeedForwardDescription{
		Kind: moxie.FeedForwardExperts, Hidden: hidden, FFN: ffn, Activation: moxie.ActivationSiLU, Experts: weights,
		Router: moxie.Matrix{Data: moxie.F32(router), Rows: experts, Columns: hidden}, TopK: topK,
	})
	must(t, err)
	defer bank.Close()
	if info, err := bank.Describe(); err != nil || info.Experts != experts || info.TopK != topK || info.Hidden != hidden {
		t.Errorf("%+v %v", info, err)
	}
	must(t, bank.Run(&moxie.Batch{Rows: rows, Input: moxie.F32(input), Output: moxie.F32(output), Ranges: whole}))
	for row := 0; row < rows; row++ {
		x := widen(input[row*hidden : (row+1)*hidden])
		truth := make([]float64, hidden)
		chosen, shares := route(router, x)
		for i, e := range chosen {
			middle, second := gates[e].run(x, false), ups[e].run(x, false)
			for j := range middle {
				middle[j] = silu(middle[j]) * second[j]
			}
			for j, y := range downs[e].run(middle, false) {
				truth[j] += shares[i] * y
			}
		}
		agree(t, "bank", output[row*hidden:(row+1)*hidden], truth)
	}
}

// Compact weights give the bits of plain ones: the caller's weights, and those of a checkpoint.
func TestStorage(t *testing.T) {
	runtime := newRuntime(t)
	r := random(8)
	mine := []moxie.ExpertWeights{{
		Gate: r.matrix(ffn, hidden, 0.3), Up: r.matrix(ffn, hidden, 0.3), Down: r.matrix(hidden, ffn, 0.3),
	}}
	for what, made := range map[string]func(moxie.WeightStorage) (*moxie.FeedForward, error){
		"made": func(storage moxie.WeightStorage) (*moxie.FeedForward, error) {
			return runtime.NewFeedForward(&moxie.FeedForwardDescription{
				Kind: moxie.FeedForwardGated, Hidden: hidden, FFN: ffn, Activation: moxie.ActivationSiLU,
				Experts: mine, Weights: moxie.WeightsBF16, Storage: storage,
			})
		},
		"opened": func(storage moxie.WeightStorage) (*moxie.FeedForward, error) {
			return runtime.OpenFeedForward(tinyLlama, 2, &moxie.LoadOptions{Weights: moxie.WeightsBF16, Storage: storage})
		},
	} {
		run := func(storage moxie.WeightStorage) (moxie.FeedForwardInfo, []float32) {
			feedForward, err := made(storage)
			must(t, err)
			defer feedForward.Close()
			info, err := feedForward.Describe()
			must(t, err)
			values := random(9)
			input, output := values.floats(rows*info.Hidden, 1), make([]float32, rows*info.Hidden)
			must(t, feedForward.Run(&moxie.Batch{
				Rows: rows, Input: moxie.F32(input), Output: moxie.F32(output), Ranges: []moxie.Range{{nil, 0, rows}},
			}))
			return info, output
		}
		plain, expected := run(moxie.WeightStoragePlain)
		compact, found := run(moxie.WeightStorageCompact)
		if plain.CompactBytes != 0 || compact.CompactBytes <= 0 || compact.WeightBytes >= plain.WeightBytes {
			t.Errorf("%s: %+v and %+v", what, plain, compact)
		}
		if !sameBits(found, expected) {
			t.Errorf("%s: other bits", what)
		}
	}
}

// One layer of a checkpoint: bfloat16 rows with gaps, under four adapters and none, against each alone.
func TestLayerOfACheckpoint(t *testing.T) {
	const each, gap = 4, 16
	names := []string{"", "kjv-mixlora", "melville-loramoe", "presidents-mola", "jargon-lora"}
	feedForward, err := newRuntime(t).OpenFeedForward(tinyLlama, 2, nil)
	must(t, err)
	defer feedForward.Close()
	info, err := feedForward.Describe()
	must(t, err)
	stride := info.Hidden + gap
	r := random(7)
	input := make([]uint16, len(names)*each*stride)
	for i := range input[:each*stride] {
		bits := uint16(math.Float32bits(r.next(2)) >> 16)
		for of := range names {
			input[of*each*stride+i] = bits
		}
	}
	output := make([]float32, len(names)*each*stride)
	for i := range output {
		output[i] = -77
	}
	batch := moxie.Batch{
		Rows: len(names) * each, Input: moxie.BF16(input), InputStride: stride,
		Output: moxie.F32(output), OutputStride: stride,
	}
	for i, name := range names {
		var adapter *moxie.Adapter
		if name != "" {
			adapter = openLayerAdapter(t, feedForward, name)
		}
		batch.Ranges = append(batch.Ranges, moxie.Range{Adapter: adapter, Begin: i * each, End: (i + 1) * each})
	}
	must(t, feedForward.Run(&batch))
	for i, one := range batch.Ranges {
		alone := make([]float32, each*info.Hidden)
		must(t, feedForward.Run(&moxie.Batch{
			Rows: each, Input: moxie.BF16(input), InputStride: stride, Output: moxie.F32(alone),
			Ranges: []moxie.Range{{one.Adapter, 0, each}},
		}))
		for row := 0; row < each; row++ {
			mixed := output[(i*each+row)*stride:]
			if !sameBits(mixed[:info.Hidden], alone[row*info.Hidden:(row+1)*info.Hidden]) {
				t.Errorf("%q, row %d", names[i], row)
			}
			if i > 0 && sameBits(mixed[:info.Hidden], output[row*stride:row*stride+info.Hidden]) {
				t.Errorf("%q changes nothing", names[i])
			}
			for _, untouched := range mixed[info.Hidden:stride] {
				if untouched != -77 {
					t.Fatal("a gap was written")
				}
			}
		}
	}
	// In place, and as bfloat16.
	must(t, feedForward.Run(&moxie.Batch{
		Rows: each, Input: moxie.BF16(input), InputStride: stride, Output: moxie.BF16(input), OutputStride: stride,
		Ranges: []moxie.Range{{nil, 0, each}},
	}))
	for i := 0; i < info.Hidden; i++ {
		if found := math.Float32frombits(uint32(input[i]) << 16); math.Abs(float64(found-output[i])) > 0.01*math.Abs(float64(output[i])) {
			t.Fatalf("%v; expected %v", found, output[i])
		}
	}
	if sequences, err := feedForward.RunWithRouting(&moxie.Batch{
		Rows: each, Input: moxie.F32(output), Output: moxie.F32(output), Ranges: batch.Ranges[:1], SequenceBegins: []int{0, 2},
	}); err != nil {
		t.Error(err)
	} else {
		must(t, sequences.Close())
	}
}

func TestBatchesAreRefused(t *testing.T) {
	feedForward := openFeedForward(t, 0)
	info, _ := feedForward.Describe()
	adapter := openLayerAdapter(t, feedForward, "jargon-lora")
	other := openLayerAdapter(t, openFeedForward(t, 1), "jargon-lora")
	x, y := make([]float32, 4*info.Hidden), make([]float32, 4*info.Hidden)
	good := func() *moxie.Batch {
		return &moxie.Batch{Rows: 4, Input: moxie.F32(x), Output: moxie.F32(y), Ranges: []moxie.Range{{nil, 0, 2}, {adapter, 2, 4}}}
	}
	must(t, feedForward.Run(good()))
	for i := range y {
		y[i] = 5
	}
	for says, change := range map[string]func(*moxie.Batch){
		"Input has":     func(b *moxie.Batch) { b.Input = moxie.F32(x[1:]) },
		"Output has":    func(b *moxie.Batch) { b.Output = moxie.BF16(make([]uint16, 4*info.Hidden-1)) },
		"more than mem": func(b *moxie.Batch) { b.InputStride = math.MaxInt },
		"row to row":    func(b *moxie.Batch) { b.InputStride = -1 },
		"5":             func(b *moxie.Batch) { b.Ranges[1].End = 5 },
		"rows 1":        func(b *moxie.Batch) { b.Ranges[0].End = 1 },
		"rows":          func(b *moxie.Batch) { b.Rows = -4 },
		"base":          func(b *moxie.Batch) { b.Ranges[1].Adapter = other },
		"range":         func(b *moxie.Batch) { b.Ranges = nil },
		"float16":       func(b *moxie.Batch) { b.Input = moxie.F16(make([]uint16, 4*info.Hidden)) },
		"begin":         func(b *moxie.Batch) { b.SequenceBegins = []int{3, 1} },
	} {
		batch := good()
		change(batch)
		for _, err := range []error{feedForward.Run(batch), func() error { _, err := feedForward.Route(batch); return err }()} {
			if strings.HasPrefix(says, "Output") && err == nil {
				continue // Route leaves the output aside
			}
			if !errors.Is(err, moxie.ErrInvalidArgument) || !strings.Contains(err.Error(), says) {
				t.Errorf("%v; expected %q", err, says)
			}
		}
		for _, untouched := range y {
			if untouched != 5 {
				t.Fatalf("%q: the output was touched", says)
			}
		}
	}
}

func TestDescriptionsAreRefused(t *testing.T) {
	runtime := newRuntime(t)
	r := random(3)
	dense := func() *moxie.FeedForwardDescription {
		return &moxie.FeedForwardDescription{
			Kind: moxie.FeedForwardGated, Hidden: hidden, FFN: ffn, Activation: moxie.ActivationSiLU,
			Experts: []moxie.ExpertWeights{{Gate: r.matrix(ffn, hidden, 1), Up: r.matrix(ffn, hidden, 1), Down: r.matrix(hidden, ffn, 1)}},
		}
	}
	for says, change := range map[string]func(*moxie.FeedForwardDescription){
		"Experts[0].Gate has":     func(d *moxie.FeedForwardDescription) { d.Experts[0].Gate.Rows++ },
		"Experts[0].UpBias has 3": func(d *moxie.FeedForwardDescription) { d.Experts[0].UpBias = make([]float32, 3) },
		"holds no data":           func(d *moxie.FeedForwardDescription) { d.Experts[0].Down.Data = moxie.Elements{} },
		"TopK is":                 func(d *moxie.FeedForwardDescription) { d.TopK = math.MaxInt },
		"expert":                  func(d *moxie.FeedForwardDescription) { d.Experts = nil },
		"must be positive":        func(d *moxie.FeedForwardDescription) { d.Experts[0].Gate.Columns = -1 },
		"7":                       func(d *moxie.FeedForwardDescription) { d.Hidden = 7 },
	} {
		description := dense()
		change(description)
		if _, err := runtime.NewFeedForward(description); !errors.Is(err, moxie.ErrInvalidArgument) || !strings.Contains(err.Error(), says) {
			t.Errorf("%v; expected %q", err, says)
		}
	}
	feedForward, err := runtime.NewFeedForward(dense())
	must(t, err)
	defer feedForward.Close()
	if _, err := feedForward.NewAdapter(&moxie.AdapterDescription{Name: "a\x00b"}); !errors.Is(err, moxie.ErrInvalidArgument) {
		t.Error(err)
	}
	if _, err := feedForward.NewAdapter(&moxie.AdapterDescription{}); !errors.Is(err, moxie.ErrInvalidArgument) {
		t.Error(err)
	}
	if _, err := feedForward.NewAdapter(&moxie.AdapterDescription{Projections: []moxie.AdapterProjection{{
		Factors: []moxie.LoRAFactors{{A: r.matrix(rank, hidden, 1), B: r.matrix(ffn, rank, 1), Scaling: 1, Magnitude: make([]float32, 2)}},
	}}}); err == nil || !strings.Contains(err.Error(), "Projections[0].Factors[0].Magnitude has 2") {
		t.Error(err)
	}
	dora, err := feedForward.NewAdapter(&moxie.AdapterDescription{Projections: []moxie.AdapterProjection{{
		Factors: []moxie.LoRAFactors{{A: r.matrix(rank, hidden, 1), B: r.matrix(ffn, rank, 1), Scaling: 1, Magnitude: r.floats(ffn, 1)}},
	}}})
	must(t, err)
	defer dora.Close()
	if info, err := dora.Describe(); err != nil || !info.DoRA {
		t.Errorf("%+v %v", info, err)
	}
}

// The router's own plan gives the router's own bits; a plan may send rows to other experts.
func TestPlans(t *testing.T) {
	feedForward := openFeedForward(t, 1)
	info, _ := feedForward.Describe()
	adapter := openLayerAdapter(t, feedForward, "kjv-mixlora")
	r := random(3)
	const count, base = 8, 2
	free, planned := make([]float32, count*info.Hidden), make([]float32, count*info.Hidden)
	batch := &moxie.Batch{
		Rows: count, Input: moxie.F32(r.floats(count*info.Hidden, 1.5)), Output: moxie.F32(free),
		Ranges: []moxie.Range{{nil, 0, base}, {adapter, base, count}},
	}
	must(t, feedForward.Run(batch))
	decided, err := feedForward.Route(batch)
	must(t, err)
	defer decided.Close()
	read, err := decided.Read(0, 1)
	must(t, err)
	rebuilt, err := moxie.NewRouting([]moxie.RoutingChoice{{Rows: base}, read.Choice()})
	must(t, err)
	defer rebuilt.Close()
	batch.Output = moxie.F32(planned)
	for _, plan := range []*moxie.Routing{decided, rebuilt} {
		batch.Plan = plan
		must(t, feedForward.Run(batch))
		if !sameBits(free, planned) {
			t.Error("the router's own plan gives other bits")
		}
		for i := range planned {
			planned[i] = 0
		}
	}
	if given, err := rebuilt.Read(0, 1); err != nil || !math.IsNaN(float64(given.Logits[0])) {
		t.Error("a plan of the caller's has logits", err)
	}
	for i := range read.ExpertIDs {
		read.ExpertIDs[i] = []int32{5, -1}[i%2]
		read.Weights[i] = []float32{1, 0}[i%2]
	}
	other, err := moxie.NewRouting([]moxie.RoutingChoice{{Rows: base}, read.Choice()})
	must(t, err)
	defer other.Close()
	batch.Plan = other
	must(t, feedForward.Run(batch))
	if sameBits(free[base*info.Hidden:], planned[base*info.Hidden:]) || !sameBits(free[:base*info.Hidden], planned[:base*info.Hidden]) {
		t.Error("the plan changes the wrong rows")
	}
	read.ExpertIDs[3] = 8
	if _, err := moxie.NewRouting([]moxie.RoutingChoice{{Rows: base}, read.Choice()}); !errors.Is(err, moxie.ErrInvalidArgument) {
		t.Error(err)
	}
	read.ExpertIDs = read.ExpertIDs[1:]
	if _, err := moxie.NewRouting([]moxie.RoutingChoice{read.Choice()}); err == nil || !strings.Contains(err.Error(), "choices[0] has 11") {
		t.Error(err)
	}
	if _, err := moxie.NewRouting([]moxie.RoutingChoice{{Rows: math.MaxInt, Routers: math.MaxInt, Places: math.MaxInt}}); !errors.Is(err, moxie.ErrInvalidArgument) {
		t.Error(err)
	}
	if err := decided.ReadInto(0, 1, make([]float32, 5), nil, nil); err == nil || !strings.Contains(err.Error(), "logits has 5") {
		t.Error(err)
	}
	onlyWeights := make([]float32, (count-base)*2)
	must(t, decided.ReadInto(0, 1, nil, nil, onlyWeights))
	if onlyWeights[0]+onlyWeights[1] < 0.999 {
		t.Error(onlyWeights)
	}
}
