package moxie

import "moxie.dev/go/moxie/internal/raw"

// SequenceOptions are the choices of NewSequence. The zero value is the default.
type SequenceOptions struct {
	FirstPosition int   // position of the first token, for what would have stood left of it as padding
	KV            DType // how keys and values are held: Float32, or BFloat16, which halves memory and traffic
}

// Sequence is what attention remembers of one sequence: the keys and values of every layer. One owner at a time: a
// sequence that is in a call must not be used by another; the second call fails and says so. Memory grows with the
// tokens it holds.
type Sequence struct{ handle *handle }

func newSequence(owner *handle, options *SequenceOptions,
	create func(owner uintptr, options raw.Mox_sequence_options, object *uintptr, e raw.Mox_error) raw.Enum_SS_mox_status,
) (*Sequence, error) {
	from, err := owner.use()
	if err != nil {
		return nil, err
	}
	defer owner.done()
	var o raw.Mox_sequence_options
	if options != nil {
		o = raw.NewMox_sequence_options()
		defer raw.DeleteMox_sequence_options(o)
		raw.Mox_sequence_options_init(o, o.GetStruct_size())
		o.SetFirst_position(int64(options.FirstPosition))
		o.SetKv(raw.Enum_SS_mox_dtype(options.KV))
	}
	var object uintptr
	err = call(func(e raw.Mox_error) raw.Enum_SS_mox_status { return create(from, o, &object, e) })
	if err != nil {
		return nil, err
	}
	return &Sequence{newHandle("Sequence", object, raw.Mox_sequence_free, owner.log)}, nil
}

// Close forgets the sequence. Closing twice is fine; a call it is in ends first. The error is always nil.
func (s *Sequence) Close() error {
	s.handle.close()
	return nil
}

// Fork makes a second sequence that remembers the same; what they share is copied only when one of them writes.
func (s *Sequence) Fork() (*Sequence, error) {
	object, err := s.handle.use()
	if err != nil {
		return nil, err
	}
	defer s.handle.done()
	var fork uintptr
	err = call(func(e raw.Mox_error) raw.Enum_SS_mox_status { return raw.Mox_sequence_fork(object, &fork, e) })
	if err != nil {
		return nil, err
	}
	return &Sequence{newHandle("Sequence", fork, raw.Mox_sequence_free, s.handle.log)}, nil
}

// Truncate forgets everything after the first `length` tokens, 0 to Length.
func (s *Sequence) Truncate(length int) error {
	object, err := s.handle.use()
	if err != nil {
		return err
	}
	defer s.handle.done()
	return call(func(e raw.Mox_error) raw.Enum_SS_mox_status {
		return raw.Mox_sequence_truncate(object, int64(length), e)
	})
}

// Length is the number of tokens held.
func (s *Sequence) Length() (int, error) {
	object, err := s.handle.use()
	if err != nil {
		return 0, err
	}
	defer s.handle.done()
	return int(raw.Mox_sequence_length(object)), nil
}

// SequenceInfo is what a Sequence holds.
type SequenceInfo struct {
	Length        int
	FirstPosition int
	KV            DType
	KVBytes       int64 // memory of keys and values, in steps of 64 tokens; what forks share counts in each
}

// Describe tells what the sequence holds. It must not be in a call.
func (s *Sequence) Describe() (SequenceInfo, error) {
	object, err := s.handle.use()
	if err != nil {
		return SequenceInfo{}, err
	}
	defer s.handle.done()
	info := raw.NewMox_sequence_info()
	defer raw.DeleteMox_sequence_info(info)
	err = call(func(e raw.Mox_error) raw.Enum_SS_mox_status { return raw.Mox_sequence_describe(object, info, e) })
	if err != nil {
		return SequenceInfo{}, err
	}
	return SequenceInfo{
		Length:        int(info.GetLength()),
		FirstPosition: int(info.GetFirst_position()),
		KV:            DType(info.GetKv()),
		KVBytes:       info.GetKv_bytes(),
	}, nil
}
