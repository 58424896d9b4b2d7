package moxie

import (
	"sync"
	"unsafe"

	"moxie.dev/go/moxie/internal/raw"
)

// Model is a whole decoder: embedding, blocks, norm, head. Immutable: any number of goroutines may step their own
// sequences at once. One Step with many sequences is far cheaper than many Steps: gather what is ready.
type Model struct {
	handle  *handle
	info    ModelInfo
	scratch sync.Pool // *[]float32: logits of mixed steps
}

// ModelInfo says what a model is.
type ModelInfo struct {
	Family       string // "llama", "mistral", "mixtral", "mistral-consolidated"
	Hidden       int
	FFN          int
	Vocabulary   int
	MaxPositions int // 0: not stated
	Layers       int
	Heads        int
	KVHeads      int
	HeadDim      int
	Experts      int // 0: dense
	TopK         int
	Parameters   int64
	WeightBytes  int64 // as held
	Weights      DType // of the linears, as held
	BOSToken     int32 // -1: not stated
	EOSToken     int32 // -1: not stated, or several
}

// OpenModel opens a checkpoint folder: Hugging Face (config.json with model.safetensors, or shards and an index) or
// mistral's (params.json with consolidated.safetensors). options nil: the defaults.
func (r *Runtime) OpenModel(folder string, options *LoadOptions) (*Model, error) {
	h, err := r.open("Model", folder, options, raw.Mox_model_free,
		func(runtime uintptr, o raw.Mox_load_options, object *uintptr, e raw.Mox_error) raw.Enum_SS_mox_status {
			return raw.Mox_model_open(runtime, folder, o, object, e)
		})
	if err != nil {
		return nil, err
	}
	info, err := describeModel(h)
	if err != nil {
		h.close()
		return nil, err
	}
	return &Model{handle: h, info: info}, nil
}

func describeModel(h *handle) (ModelInfo, error) {
	object, err := h.use()
	if err != nil {
		return ModelInfo{}, err
	}
	defer h.done()
	info := raw.NewMox_model_info()
	defer raw.DeleteMox_model_info(info)
	err = call(func(e raw.Mox_error) raw.Enum_SS_mox_status { return raw.Mox_model_describe(object, info, e) })
	if err != nil {
		return ModelInfo{}, err
	}
	return ModelInfo{
		Family:       info.GetFamily(),
		Hidden:       int(info.GetHidden()),
		FFN:          int(info.GetFfn()),
		Vocabulary:   int(info.GetVocabulary()),
		MaxPositions: int(info.GetMax_positions()),
		Layers:       int(info.GetLayers()),
		Heads:        int(info.GetHeads()),
		KVHeads:      int(info.GetKv_heads()),
		HeadDim:      int(info.GetHead_dim()),
		Experts:      int(info.GetExperts()),
		TopK:         int(info.GetTop_k()),
		Parameters:   info.GetParameters(),
		WeightBytes:  info.GetWeight_bytes(),
		Weights:      DType(info.GetWeights()),
		BOSToken:     info.GetBos_token(),
		EOSToken:     info.GetEos_token(),
	}, nil
}

// Close gives the model up; its sequences and calls in flight keep what they need. Closing twice is fine. The error is
// always nil.
func (m *Model) Close() error {
	m.handle.close()
	return nil
}

// Describe says what the model is.
func (m *Model) Describe() (ModelInfo, error) { return describeModel(m.handle) }

// NewSequence begins an empty sequence; options nil: the defaults.
func (m *Model) NewSequence(options *SequenceOptions) (*Sequence, error) {
	return newSequence(m.handle, options, raw.Mox_sequence_create)
}

// Step is what one sequence does in a call: it takes tokens (many: prefill; one: decode) under an adapter.
type Step struct {
	Sequence *Sequence
	Adapter  *Adapter // nil: the plain base
	Tokens   []int32
	// Logits receives those of the last rows, [rows, vocabulary]: as many rows as it has room for, which must be a
	// whole number and at most len(Tokens). Nil: not wanted.
	Logits []float32
}

// Step moves all given sequences on together: prefill and decode, base and adapters, mixed. All or nothing: on error
// no sequence has moved and no logits are written. A sequence may stand in a call once, and be in one call at a time.
// The logits of a single step go straight to its slice; those of several are copied there from scratch memory.
func (m *Model) Step(steps ...Step) error { return m.step(steps, nil) }

// StepWithRouting is Step, and gives what every layer's routers decided, one range for each step.
func (m *Model) StepWithRouting(steps ...Step) (*Routing, error) {
	var routing uintptr
	if err := m.step(steps, &routing); err != nil {
		return nil, err
	}
	return newRouting(routing), nil
}

func (m *Model) step(steps []Step, routing *uintptr) error {
	model, err := m.handle.use()
	if err != nil {
		return err
	}
	defer m.handle.done()
	var used loans
	defer used.done()

	laidOut := make([]raw.Step, len(steps))
	tokenCount, logitCount := 0, 0
	for i, step := range steps {
		if step.Sequence == nil {
			return invalid("steps[%d] has no Sequence", i)
		}
		if laidOut[i].Sequence, err = used.use(step.Sequence.handle); err != nil {
			return err
		}
		if step.Adapter != nil {
			if laidOut[i].Adapter, err = used.use(step.Adapter.handle); err != nil {
				return err
			}
		}
		rows := len(step.Logits) / m.info.Vocabulary
		if rows*m.info.Vocabulary != len(step.Logits) {
			return invalid("steps[%d].Logits has %d elements; expected a multiple of the vocabulary's %d",
				i, len(step.Logits), m.info.Vocabulary)
		}
		laidOut[i].TokenCount = int64(len(step.Tokens))
		laidOut[i].LogitsRows = int64(rows)
		if rows > len(step.Tokens) {
			return invalid("steps[%d].Logits has room for %d rows; there are %d tokens", i, rows, len(step.Tokens))
		}
		tokenCount += len(step.Tokens)
		logitCount += len(step.Logits)
	}

	var tokens []int32
	var logits []float32
	if len(steps) == 1 {
		tokens, logits = steps[0].Tokens, steps[0].Logits
	} else {
		tokens = make([]int32, 0, tokenCount)
		for _, step := range steps {
			tokens = append(tokens, step.Tokens...)
		}
		lent := m.lend(logitCount)
		defer m.scratch.Put(lent)
		logits = (*lent)[:logitCount]
	}
	var stepsAt, tokensAt, logitsAt unsafe.Pointer
	if len(steps) > 0 {
		stepsAt = unsafe.Pointer(&laidOut[0])
	}
	if len(tokens) > 0 {
		tokensAt = unsafe.Pointer(&tokens[0])
	}
	if len(logits) > 0 {
		logitsAt = unsafe.Pointer(&logits[0])
	}
	err = call(func(e raw.Mox_error) raw.Enum_SS_mox_status {
		return raw.Moxie_go_step(model, stepsAt, int64(len(steps)), tokensAt, logitsAt, int64(m.info.Vocabulary), routing, e)
	})
	if err != nil || len(steps) == 1 {
		return err
	}
	for _, step := range steps {
		logits = logits[copy(step.Logits, logits):]
	}
	return nil
}

func (m *Model) lend(count int) *[]float32 {
	if lent, _ := m.scratch.Get().(*[]float32); lent != nil && cap(*lent) >= count {
		return lent
	}
	made := make([]float32, count)
	return &made
}
