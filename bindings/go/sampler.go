package moxie

import (
	"sync/atomic"
	"unsafe"

	"moxie.dev/go/moxie/internal/raw"
)

// SamplerOptions are the choices of NewSampler. The zero value is greedy.
type SamplerOptions struct {
	Temperature float32 // 0: the likeliest token; of equals the lower id
	TopK        int     // keep the k likeliest; 0: all
	TopP        float32 // then keep the likeliest whose probabilities reach p; 0 or 1: all
	Seed        uint64
}

// Sampler chooses the next token. The same seed and logits give the same tokens on every machine. It holds the state
// of a random generator: one owner at a time; a second call at once fails and says so.
type Sampler struct {
	handle *handle
	busy   int32
}

// NewSampler makes a sampler; options nil: greedy.
func NewSampler(options *SamplerOptions) (made *Sampler, err error) {
	if err := checkVersion(); err != nil {
		return nil, err
	}
	var memory memory
	defer memory.release(&err)
	var o raw.Mox_sampler_options
	if options != nil {
		o = raw.NewMox_sampler_options()
		defer raw.DeleteMox_sampler_options(o)
		raw.Mox_sampler_options_init(o, o.GetStruct_size())
		o.SetTemperature(options.Temperature)
		o.SetTop_k(int32Of("TopK", options.TopK))
		if options.TopP != 0 {
			o.SetTop_p(options.TopP)
		}
		o.SetSeed(options.Seed)
	}
	var object uintptr
	err = call(func(e raw.Mox_error) raw.Enum_SS_mox_status { return raw.Mox_sampler_create(o, &object, e) })
	if err != nil {
		return nil, err
	}
	return &Sampler{handle: newHandle("Sampler", object, raw.Mox_sampler_free, nil)}, nil
}

// Next chooses a token by its logits, [vocabulary]. A NaN among them is ErrNumeric.
func (s *Sampler) Next(logits []float32) (int32, error) {
	object, err := s.handle.use()
	if err != nil {
		return 0, err
	}
	defer s.handle.done()
	if !atomic.CompareAndSwapInt32(&s.busy, 0, 1) {
		return 0, invalid("the Sampler is in another call; it has one owner at a time")
	}
	defer atomic.StoreInt32(&s.busy, 0)
	var at unsafe.Pointer
	if len(logits) > 0 {
		at = unsafe.Pointer(&logits[0])
	}
	var token int32
	err = call(func(e raw.Mox_error) raw.Enum_SS_mox_status {
		return raw.Mox_sampler_next(object, at, int64(len(logits)), unsafe.Pointer(&token), e)
	})
	return token, err
}

// Close frees the sampler. Closing twice is fine. The error is always nil.
func (s *Sampler) Close() error {
	s.handle.close()
	return nil
}
