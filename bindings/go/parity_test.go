//go:build parity

// The same figures as in C, bit for bit: cases that the C program record_cases computed and wrote down.
//
//	MOXIE_RECORDED_CASES=folder go test -tags parity -run Parity

package moxie_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"moxie.dev/go/moxie"
)

// plan is a plan.txt: what was computed.
type plan struct {
	kind, base          string
	weights             moxie.Weights
	layer, rows, hidden int
	vocabulary          int
	adapters            [][2]string // name, path
	ranges              []plannedRange
	sequences           []plannedSequence
}

type plannedRange struct {
	begin, end int
	adapter    string
}

type plannedSequence struct {
	adapter string
	tokens  []int32
}

func readPlan(t *testing.T, path string) (p plan) {
	t.Helper()
	file, err := os.Open(path)
	must(t, err)
	defer file.Close()
	number := func(text string) int {
		value, err := strconv.Atoi(text)
		must(t, err)
		return value
	}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		words := strings.Split(lines.Text(), " ")
		switch what := words[0]; {
		case what == "kind" && len(words) == 2:
			p.kind = words[1]
		case what == "base" && len(words) == 2:
			p.base = words[1]
		case what == "weights" && len(words) == 2:
			weights, known := map[string]moxie.Weights{
				"as_stored": moxie.WeightsAsStored, "f32": moxie.WeightsF32, "bf16": moxie.WeightsBF16,
			}[words[1]]
			if !known {
				t.Fatalf("%s: %q", path, lines.Text())
			}
			p.weights = weights
		case what == "layer" && len(words) == 2:
			p.layer = number(words[1])
		case what == "rows" && len(words) == 2:
			p.rows = number(words[1])
		case what == "hidden" && len(words) == 2:
			p.hidden = number(words[1])
		case what == "vocabulary" && len(words) == 2:
			p.vocabulary = number(words[1])
		case what == "adapter" && len(words) == 3:
			p.adapters = append(p.adapters, [2]string{words[1], words[2]})
		case what == "range" && len(words) == 4:
			p.ranges = append(p.ranges, plannedRange{number(words[1]), number(words[2]), words[3]})
		case what == "sequence" && len(words) >= 3:
			sequence := plannedSequence{adapter: words[1]}
			for _, word := range words[2:] {
				sequence.tokens = append(sequence.tokens, int32(number(word)))
			}
			p.sequences = append(p.sequences, sequence)
		default:
			t.Fatalf("%s: %q", path, lines.Text())
		}
	}
	must(t, lines.Err())
	return p
}

func readFloats(t *testing.T, path string, count int) []float32 {
	t.Helper()
	stored, err := os.ReadFile(path)
	must(t, err)
	if len(stored) != 4*count {
		t.Fatalf("%s has %d bytes; expected %d", path, len(stored), 4*count)
	}
	values := make([]float32, count)
	must(t, binary.Read(bytes.NewReader(stored), binary.LittleEndian, values))
	return values
}

func compare(t *testing.T, found, expected []float32) {
	t.Helper()
	for i := range expected {
		if math.Float32bits(found[i]) != math.Float32bits(expected[i]) {
			t.Fatalf("figure %d is %v; the C program's is %v", i, found[i], expected[i])
		}
	}
}

func TestParity(t *testing.T) {
	folder := os.Getenv("MOXIE_RECORDED_CASES")
	if folder == "" {
		t.Fatal("MOXIE_RECORDED_CASES does not say where the recorded cases are")
	}
	plans, err := filepath.Glob(filepath.Join(folder, "*", "plan.txt"))
	must(t, err)
	kinds := map[string]int{}
	for _, path := range plans {
		path := path
		t.Run(filepath.Base(filepath.Dir(path)), func(t *testing.T) {
			p := readPlan(t, path)
			kinds[p.kind]++
			switch p.kind {
			case "feed_forward":
				repeatFeedForward(t, p, filepath.Dir(path))
			case "model":
				repeatModel(t, p, filepath.Dir(path))
			default:
				t.Fatalf("%s: kind %q", path, p.kind)
			}
		})
	}
	if kinds["feed_forward"] == 0 || kinds["model"] == 0 {
		t.Errorf("%s: cases of each kind were found: %v", folder, kinds)
	}
}

// named opens the plan's adapters; "-" is the plain base.
func (p *plan) named(t *testing.T, open func(path string) (*moxie.Adapter, error)) map[string]*moxie.Adapter {
	t.Helper()
	adapters := map[string]*moxie.Adapter{"-": nil}
	for _, adapter := range p.adapters {
		opened, err := open(adapter[1])
		must(t, err)
		t.Cleanup(func() { must(t, opened.Close()) })
		adapters[adapter[0]] = opened
	}
	return adapters
}

func lookUp(t *testing.T, adapters map[string]*moxie.Adapter, name string) *moxie.Adapter {
	t.Helper()
	adapter, known := adapters[name]
	if !known {
		t.Fatalf("the plan has no adapter %q", name)
	}
	return adapter
}

func repeatFeedForward(t *testing.T, p plan, folder string) {
	feedForward, err := newRuntime(t).OpenFeedForward(p.base, p.layer, &moxie.LoadOptions{Weights: p.weights})
	must(t, err)
	defer feedForward.Close()
	adapters := p.named(t, func(path string) (*moxie.Adapter, error) {
		return feedForward.OpenAdapter(path, moxie.OwnLayer)
	})
	output := make([]float32, p.rows*p.hidden)
	batch := &moxie.Batch{
		Rows: p.rows, Input: moxie.F32(readFloats(t, filepath.Join(folder, "input.bin"), p.rows*p.hidden)), Output: moxie.F32(output),
	}
	for _, planned := range p.ranges {
		batch.Ranges = append(batch.Ranges, moxie.Range{
			Adapter: lookUp(t, adapters, planned.adapter), Begin: planned.begin, End: planned.end,
		})
	}
	must(t, feedForward.Run(batch))
	compare(t, output, readFloats(t, filepath.Join(folder, "output.bin"), p.rows*p.hidden))
}

func repeatModel(t *testing.T, p plan, folder string) {
	model, err := newRuntime(t).OpenModel(p.base, &moxie.LoadOptions{Weights: p.weights})
	must(t, err)
	defer model.Close()
	adapters := p.named(t, model.OpenAdapter)
	total := 0
	for _, planned := range p.sequences {
		total += len(planned.tokens)
	}
	logits := make([]float32, total*p.vocabulary)
	var steps []moxie.Step
	rest := logits
	for _, planned := range p.sequences {
		count := len(planned.tokens) * p.vocabulary
		steps = append(steps, moxie.Step{
			Sequence: newSequence(t, model), Adapter: lookUp(t, adapters, planned.adapter),
			Tokens: planned.tokens, Logits: rest[:count],
		})
		rest = rest[count:]
	}
	must(t, model.Step(steps...))
	compare(t, logits, readFloats(t, filepath.Join(folder, "logits.bin"), total*p.vocabulary))
}
