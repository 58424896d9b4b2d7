package moxie

import "context"

// GenerateOptions say what Generate continues, and until when.
type GenerateOptions struct {
	Sequence  *Sequence // moves on with the generation; it may hold tokens already
	Adapter   *Adapter  // nil: the plain base
	Tokens    []int32   // taken first, 1 or more; many at once is the prefill
	Sampler   *Sampler  // nil: greedy
	MaxTokens int       // new tokens at most, 1 or more
	EndTokens []int32   // any of them ends the generation and is not given; nil: the model's EOSToken, if it states one
}

// StopReason is why a Generation ended.
type StopReason int

// The reasons.
const (
	StopNone      StopReason = iota // it has not ended
	StopEndToken                    // the model chose an end token
	StopLimit                       // MaxTokens were given
	StopCancelled                   // the context ended: Err is its error
	StopError                       // a call failed: Err says how
)

// Generation continues one sequence token by token:
//
//	generation := model.Generate(ctx, options)
//	for generation.Next() {
//		use(generation.Token())
//	}
//	if err := generation.Err(); err != nil { ... }
//
// It is used by one goroutine, and needs no Close. However it ends, the sequence holds every token that was given to
// the model and stays usable: the last token of Token has been chosen, but not yet been given to it.
type Generation struct {
	model   *Model
	ctx     context.Context
	options GenerateOptions
	sampler *Sampler // options.Sampler, or one of its own
	ends    map[int32]bool
	logits  []float32
	pending []int32 // tokens the model has not seen
	count   int
	token   int32
	reason  StopReason
	err     error
}

// prefillChunk bounds how long a cancellation waits for a prompt. The figures are the same however it is cut.
const prefillChunk = 256

// Generate prepares to continue a sequence; nothing is computed before the first Next.
func (m *Model) Generate(ctx context.Context, options GenerateOptions) *Generation {
	g := &Generation{model: m, ctx: ctx, options: options, sampler: options.Sampler, ends: map[int32]bool{}}
	g.pending = append([]int32(nil), options.Tokens...)
	ends := options.EndTokens
	if ends == nil && m.info.EOSToken >= 0 {
		ends = []int32{m.info.EOSToken}
	}
	for _, token := range ends {
		g.ends[token] = true
	}
	return g
}

// Next chooses a token. It is false at an end token, at the limit, when the context has ended, and on error.
func (g *Generation) Next() bool {
	if g.reason != StopNone {
		return false
	}
	if err := g.prepare(); err != nil {
		return g.stop(StopError, err)
	}
	if g.count == g.options.MaxTokens {
		return g.stop(StopLimit, nil)
	}
	for len(g.pending) > 0 {
		if err := g.ctx.Err(); err != nil {
			return g.stop(StopCancelled, err)
		}
		if err := g.feed(); err != nil {
			return g.stop(StopError, err)
		}
	}
	token, err := g.sampler.Next(g.logits)
	if err != nil {
		return g.stop(StopError, err)
	}
	g.pending = append(g.pending[:0], token)
	if g.ends[token] {
		return g.stop(StopEndToken, nil)
	}
	g.token = token
	g.count++
	return true
}

func (g *Generation) prepare() (err error) {
	if g.logits != nil {
		return nil
	}
	switch {
	case g.options.Sequence == nil:
		return invalid("GenerateOptions.Sequence is nil")
	case len(g.options.Tokens) == 0:
		return invalid("GenerateOptions.Tokens is empty; expected 1 token or more")
	case g.options.MaxTokens < 1:
		return invalid("GenerateOptions.MaxTokens is %d; expected 1 or more", g.options.MaxTokens)
	}
	if g.sampler == nil {
		if g.sampler, err = NewSampler(nil); err != nil {
			return err
		}
	}
	g.logits = make([]float32, g.model.info.Vocabulary)
	return nil
}

// feed gives the model its next tokens; only the last ones need logits.
func (g *Generation) feed() error {
	count := len(g.pending)
	step := Step{Sequence: g.options.Sequence, Adapter: g.options.Adapter, Tokens: g.pending, Logits: g.logits}
	if count > prefillChunk {
		count = prefillChunk
		step.Tokens, step.Logits = g.pending[:count], nil
	}
	if err := g.model.Step(step); err != nil {
		return err
	}
	g.pending = g.pending[count:]
	return nil
}

func (g *Generation) stop(reason StopReason, err error) bool {
	g.reason, g.err = reason, err
	if g.sampler != nil && g.sampler != g.options.Sampler {
		g.sampler.Close()
	}
	return false
}

// Token is the one that Next chose.
func (g *Generation) Token() int32 { return g.token }

// Reason is why Next was false.
func (g *Generation) Reason() StopReason { return g.reason }

// Err is what ended the generation before its end: an error of the library, or of the context. Nil at an end token or
// at the limit.
func (g *Generation) Err() error { return g.err }
