package moxie

import (
	"unsafe"

	"moxie.dev/go/moxie/internal/raw"
)

// Range is rows Begin to End-1 of a batch, and the adapter they run under.
type Range struct {
	Adapter    *Adapter // nil: the plain base
	Begin, End int
}

// Batch is rows of hidden states in ranges, which must cover rows 0 to Rows-1 exactly once, in any order; a gap or an
// overlap is an error, as is an adapter made over another base.
//
// Input and output are used where they are, without a copy, and only while the call lasts. Their memory must not be
// part of a Go value that holds pointers, which cgo refuses.
type Batch struct {
	Rows         int
	Input        Elements // [Rows, Hidden], float32 or bfloat16
	InputStride  int      // elements from row to row; 0: Hidden
	Output       Elements // [Rows, Hidden], float32 or bfloat16; untouched on error. May be the input itself.
	OutputStride int      // elements from row to row; 0: Hidden
	Ranges       []Range
	// SequenceBegins are the first rows of sequences, ascending, for routers whose capacity counts per sequence. Nil:
	// every range is one sequence. The beginning of a range always begins a sequence.
	SequenceBegins []int
	// Plan, of one layer with one entry for each range, decides instead of the routers. Nil: the routers decide. Route
	// leaves it aside.
	Plan *Routing
}

// Run runs the batch: each row goes to its experts, each range's result lands in its own rows. A row's output bits
// depend on that row, its adapter and the weights only: not on the rest of the batch, nor on the number of threads.
func (f *FeedForward) Run(batch *Batch) error { return f.run(batch, nil) }

// RunWithRouting is Run, and gives what was decided.
func (f *FeedForward) RunWithRouting(batch *Batch) (*Routing, error) {
	var routing uintptr
	if err := f.run(batch, &routing); err != nil {
		return nil, err
	}
	return newRouting(routing), nil
}

func (f *FeedForward) run(batch *Batch, routing *uintptr) error {
	var used loans
	defer used.done()
	object, err := used.use(f.handle)
	if err != nil {
		return err
	}
	laidOut, err := f.layOut(batch, &used)
	if err != nil {
		return err
	}
	if err := batch.Output.hold("Output", batch.Rows, batch.OutputStride, f.info.Hidden); err != nil {
		return err
	}
	var plan uintptr
	if batch.Plan != nil {
		if plan, err = used.use(batch.Plan.handle); err != nil {
			return err
		}
	}
	return call(func(e raw.Mox_error) raw.Enum_SS_mox_status {
		return raw.Moxie_go_run(object, int64(batch.Rows),
			batch.Input.pointer(), raw.Enum_SS_mox_dtype(batch.Input.dtype), int64(batch.InputStride),
			batch.Output.pointer(), raw.Enum_SS_mox_dtype(batch.Output.dtype), int64(batch.OutputStride),
			laidOut.ranges, int64(len(batch.Ranges)), laidOut.begins, int64(len(batch.SequenceBegins)),
			plan, routing, e)
	})
}

// Route decides without running: the output of the batch is left aside. Where an adapter has a router on each linear
// (LoRAMoE, MoLA), the linears before the last are computed to route it.
func (f *FeedForward) Route(batch *Batch) (*Routing, error) {
	var used loans
	defer used.done()
	object, err := used.use(f.handle)
	if err != nil {
		return nil, err
	}
	laidOut, err := f.layOut(batch, &used)
	if err != nil {
		return nil, err
	}
	var routing uintptr
	err = call(func(e raw.Mox_error) raw.Enum_SS_mox_status {
		return raw.Moxie_go_route(object, int64(batch.Rows),
			batch.Input.pointer(), raw.Enum_SS_mox_dtype(batch.Input.dtype), int64(batch.InputStride),
			laidOut.ranges, int64(len(batch.Ranges)), laidOut.begins, int64(len(batch.SequenceBegins)), &routing, e)
	})
	if err != nil {
		return nil, err
	}
	return newRouting(routing), nil
}

// laidOut are a batch's lists as the library takes them.
type laidOut struct{ ranges, begins unsafe.Pointer }

func (f *FeedForward) layOut(batch *Batch, used *loans) (laidOut, error) {
	var made laidOut
	if err := batch.Input.hold("Input", batch.Rows, batch.InputStride, f.info.Hidden); err != nil {
		return made, err
	}
	ranges := make([]raw.Range, len(batch.Ranges))
	for i, given := range batch.Ranges {
		ranges[i] = raw.Range{Begin: int64(given.Begin), End: int64(given.End)}
		if given.Adapter != nil {
			adapter, err := used.use(given.Adapter.handle)
			if err != nil {
				return made, err
			}
			ranges[i].Adapter = adapter
		}
	}
	begins := make([]int64, len(batch.SequenceBegins))
	for i, begin := range batch.SequenceBegins {
		begins[i] = int64(begin)
	}
	if len(ranges) > 0 {
		made.ranges = unsafe.Pointer(&ranges[0])
	}
	if len(begins) > 0 {
		made.begins = unsafe.Pointer(&begins[0])
	}
	return made, nil
}
