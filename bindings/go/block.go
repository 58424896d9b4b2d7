package moxie

import (
	"strconv"
	"unsafe"

	"moxie.dev/go/moxie/internal/raw"
)

// Block is one transformer block: RMSNorm, attention, feed-forward, residuals. Immutable: any number of goroutines may
// run their own sequences through it at once.
type Block struct {
	handle *handle
	hidden int
}

// OpenBlock opens one layer of a checkpoint folder; options nil: the defaults. Tensors of other layers need not be
// there.
func (r *Runtime) OpenBlock(folder string, layer int, options *LoadOptions) (made *Block, err error) {
	var memory memory
	defer memory.release(&err)
	number := int32Of("layer", layer)
	h, err := r.open("Block", folder, options, raw.Mox_block_free,
		func(runtime uintptr, o raw.Mox_load_options, object *uintptr, e raw.Mox_error) raw.Enum_SS_mox_status {
			return raw.Mox_block_open(runtime, folder, number, o, object, e)
		})
	if err != nil {
		return nil, err
	}
	object, err := h.use()
	if err != nil {
		return nil, err
	}
	defer h.done()
	return &Block{h, int(raw.Mox_block_hidden(object))}, nil
}

// Hidden is the width of the block's rows.
func (b *Block) Hidden() int { return b.hidden }

// NewSequence begins an empty sequence; options nil: the defaults.
func (b *Block) NewSequence(options *SequenceOptions) (*Sequence, error) {
	return newSequence(b.handle, options, raw.Mox_sequence_create_for_block)
}

// Close gives the block up; its sequences and calls in flight keep what they need. Closing twice is fine. The error is
// always nil.
func (b *Block) Close() error {
	b.handle.close()
	return nil
}

// BlockStep is rows of one sequence that pass through the block, behind those it has seen. All slices are
// [Rows, Hidden] of one element type, float32 or bfloat16; they are copied to C memory and back.
type BlockStep struct {
	Sequence       *Sequence
	Adapter        *Adapter // nil: the plain base
	Rows           int
	Input          Elements
	Output         Elements
	AfterAttention Elements // input + attention; the zero value: not wanted
}

// Run moves all given sequences through the block together. All or nothing, as Model.Step.
func (b *Block) Run(steps ...BlockStep) error { return b.run(steps, nil) }

// RunWithRouting is Run, and gives what the routers decided, one range for each step.
func (b *Block) RunWithRouting(steps ...BlockStep) (*Routing, error) {
	var routing uintptr
	if err := b.run(steps, &routing); err != nil {
		return nil, err
	}
	return newRouting(routing), nil
}

func (b *Block) run(steps []BlockStep, routing *uintptr) (err error) {
	var used loans
	defer used.done()
	block, err := used.use(b.handle)
	if err != nil {
		return err
	}
	var memory memory
	defer memory.release(&err)
	list := memory.allocate(len(steps), raw.Mox_block_step_size())
	outputs := make([]struct{ output, afterAttention unsafe.Pointer }, len(steps))
	for i, given := range steps {
		if err := b.check("steps["+strconv.Itoa(i)+"].", &given); err != nil {
			return err
		}
		sequence, err := used.use(given.Sequence.handle)
		if err != nil {
			return err
		}
		var adapter uintptr
		if given.Adapter != nil {
			if adapter, err = used.use(given.Adapter.handle); err != nil {
				return err
			}
		}
		elements := given.Rows * b.hidden
		size := given.Input.dtype.Size()
		step := raw.Mox_block_step_at(list, int64(i))
		step.SetSequence(sequence)
		step.SetAdapter(adapter)
		step.SetRows(int64(given.Rows))
		step.SetDtype(raw.Enum_SS_mox_dtype(given.Input.dtype))
		step.SetInput(memory.copy(given.Input.pointer(), elements, size))
		outputs[i].output = memory.allocate(elements, size)
		step.SetOutput(outputs[i].output)
		if given.AfterAttention.Len() > 0 {
			outputs[i].afterAttention = memory.allocate(elements, size)
			step.SetAfter_attention(outputs[i].afterAttention)
		}
	}
	err = call(func(e raw.Mox_error) raw.Enum_SS_mox_status {
		return raw.Mox_block_run(block, raw.Mox_block_step_at(list, 0), int64(len(steps)), routing, e)
	})
	if err != nil {
		return err
	}
	for i, given := range steps {
		elements := given.Rows * b.hidden
		given.Output.copyFrom(outputs[i].output, elements)
		given.AfterAttention.copyFrom(outputs[i].afterAttention, elements)
	}
	return nil
}

func (b *Block) check(name string, step *BlockStep) error {
	if step.Sequence == nil {
		return invalid("%sSequence is nil", name)
	}
	if step.Rows <= 0 {
		return invalid("%sRows is %d; expected 1 or more", name, step.Rows)
	}
	if err := step.Input.hold(name+"Input", step.Rows, 0, b.hidden); err != nil {
		return err
	}
	if err := step.Output.hold(name+"Output", step.Rows, 0, b.hidden); err != nil {
		return err
	}
	if step.Output.dtype != step.Input.dtype {
		return invalid("%sOutput is %v; the input is %v", name, step.Output.dtype, step.Input.dtype)
	}
	if step.AfterAttention.Len() == 0 {
		return nil
	}
	if step.AfterAttention.dtype != step.Input.dtype {
		return invalid("%sAfterAttention is %v; the input is %v", name, step.AfterAttention.dtype, step.Input.dtype)
	}
	return step.AfterAttention.hold(name+"AfterAttention", step.Rows, 0, b.hidden)
}

func (e Elements) copyFrom(data unsafe.Pointer, count int) {
	switch {
	case data == nil:
	case e.dtype == Float32:
		copy(e.singles, unsafe.Slice((*float32)(data), count))
	default:
		copy(e.halves, unsafe.Slice((*uint16)(data), count))
	}
}
