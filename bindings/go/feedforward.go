package moxie

import (
	"strconv"
	"unsafe"

	"moxie.dev/go/moxie/internal/raw"
)

// FeedForwardKind is the shape of a feed-forward.
type FeedForwardKind int

// The shapes.
const (
	FeedForwardGated   FeedForwardKind = 0 // down(act(gate(x)) * up(x))
	FeedForwardPlain   FeedForwardKind = 1 // down(act(gate(x))): Gate is the first linear, Up is absent
	FeedForwardExperts FeedForwardKind = 2 // a bank of gated experts with a router
)

// Activation of a feed-forward.
type Activation int

// The activations.
const (
	ActivationBase     Activation = 0 // adapters only: whatever the base uses
	ActivationSiLU     Activation = 1
	ActivationGELU     Activation = 2 // exact, with erf
	ActivationGELUTanh Activation = 3 // gelu_new, gelu_pytorch_tanh
	ActivationReLU     Activation = 4
)

// ExpertWeights are the linears of one expert, or of a dense feed-forward. Nil biases: none.
type ExpertWeights struct {
	Gate     Matrix    // [FFN, Hidden]
	Up       Matrix    // [FFN, Hidden]; absent where plain
	Down     Matrix    // [Hidden, FFN]
	GateBias []float32 // [FFN]
	UpBias   []float32 // [FFN]
	DownBias []float32 // [Hidden]
}

// FeedForwardDescription says what NewFeedForward makes.
type FeedForwardDescription struct {
	Kind        FeedForwardKind
	Hidden, FFN int
	Activation  Activation
	Experts     []ExpertWeights // one for the dense kinds
	Router      Matrix          // bank: [len(Experts), Hidden]
	TopK        int             // bank: experts per row
	Weights     Weights
	Storage     WeightStorage
}

// FeedForward is a feed-forward layer, its frozen base shared by every range of a batch. Immutable: any number of
// goroutines may run batches on it at once.
type FeedForward struct {
	handle *handle
	info   FeedForwardInfo
}

// FeedForwardInfo says what a feed-forward is.
type FeedForwardInfo struct {
	Kind         FeedForwardKind
	Hidden, FFN  int
	Activation   Activation
	Experts      int   // 1 for the dense kinds
	TopK         int   // 0 for the dense kinds
	Weights      DType // as held
	WeightBytes  int64 // packed
	CompactBytes int64 // what of them is held compact
}

// OpenFeedForward opens the feed-forward of one layer of a checkpoint folder; options nil: the defaults. Tensors of
// other layers need not be there.
func (r *Runtime) OpenFeedForward(folder string, layer int, options *LoadOptions) (made *FeedForward, err error) {
	var memory memory
	defer memory.release(&err)
	number := int32Of("layer", layer)
	h, err := r.open("FeedForward", folder, options, raw.Mox_feed_forward_free,
		func(runtime uintptr, o raw.Mox_load_options, object *uintptr, e raw.Mox_error) raw.Enum_SS_mox_status {
			return raw.Mox_feed_forward_open(runtime, folder, number, o, object, e)
		})
	if err != nil {
		return nil, err
	}
	return newFeedForward(h)
}

// NewFeedForward makes a feed-forward of the caller's weights. They are copied to C memory for the call and packed for
// the kernels: for its time they are held three times, then once, by the library.
func (r *Runtime) NewFeedForward(description *FeedForwardDescription) (made *FeedForward, err error) {
	runtime, err := r.handle.use()
	if err != nil {
		return nil, err
	}
	defer r.handle.done()
	var memory memory
	defer memory.release(&err)
	d := raw.NewMox_feed_forward_description()
	defer raw.DeleteMox_feed_forward_description(d)
	raw.Mox_feed_forward_description_init(d, d.GetStruct_size())
	d.SetKind(raw.Enum_SS_mox_feed_forward_kind(description.Kind))
	d.SetHidden(int64(description.Hidden))
	d.SetFfn(int64(description.FFN))
	d.SetActivation(raw.Enum_SS_mox_activation(description.Activation))
	d.SetExpert_count(int32Of("len(Experts)", len(description.Experts)))
	if len(description.Experts) > 0 {
		experts := memory.allocate(len(description.Experts), raw.Mox_expert_weights_size())
		for i := range description.Experts {
			memory.setExpert(raw.Mox_expert_weights_at(experts, int64(i)), description, i)
		}
		d.SetExperts(raw.Mox_expert_weights_at(experts, 0))
	}
	d.SetRouter(memory.matrix("Router", description.Router))
	d.SetTop_k(int32Of("TopK", description.TopK))
	d.SetWeights(raw.Enum_SS_mox_weights(description.Weights))
	d.SetStorage(raw.Enum_SS_mox_storage(description.Storage))
	var object uintptr
	err = call(func(e raw.Mox_error) raw.Enum_SS_mox_status {
		return raw.Mox_feed_forward_create(runtime, d, &object, e)
	})
	if err != nil {
		return nil, err
	}
	return newFeedForward(newHandle("FeedForward", object, raw.Mox_feed_forward_free, r.handle.log))
}

func (m *memory) setExpert(made raw.Mox_expert_weights, description *FeedForwardDescription, index int) {
	given := &description.Experts[index]
	name := "Experts[" + strconv.Itoa(index) + "]."
	made.SetGate(m.matrix(name+"Gate", given.Gate))
	made.SetUp(m.matrix(name+"Up", given.Up))
	made.SetDown(m.matrix(name+"Down", given.Down))
	made.SetGate_bias(m.vector(name+"GateBias", given.GateBias, description.FFN))
	made.SetUp_bias(m.vector(name+"UpBias", given.UpBias, description.FFN))
	made.SetDown_bias(m.vector(name+"DownBias", given.DownBias, description.Hidden))
}

// vector is nil, or exactly as long as it must be.
func (m *memory) vector(what string, values []float32, length int) unsafe.Pointer {
	if values != nil && len(values) != length {
		refuse("%s has %d elements; expected %d", what, len(values), length)
	}
	return m.float32s(values)
}

func newFeedForward(h *handle) (*FeedForward, error) {
	info, err := describeFeedForward(h)
	if err != nil {
		h.close()
		return nil, err
	}
	return &FeedForward{h, info}, nil
}

func describeFeedForward(h *handle) (FeedForwardInfo, error) {
	object, err := h.use()
	if err != nil {
		return FeedForwardInfo{}, err
	}
	defer h.done()
	info := raw.NewMox_feed_forward_info()
	defer raw.DeleteMox_feed_forward_info(info)
	err = call(func(e raw.Mox_error) raw.Enum_SS_mox_status {
		return raw.Mox_feed_forward_describe(object, info, e)
	})
	if err != nil {
		return FeedForwardInfo{}, err
	}
	return FeedForwardInfo{
		Kind:         FeedForwardKind(info.GetKind()),
		Hidden:       int(info.GetHidden()),
		FFN:          int(info.GetFfn()),
		Activation:   Activation(info.GetActivation()),
		Experts:      int(info.GetExpert_count()),
		TopK:         int(info.GetTop_k()),
		Weights:      DType(info.GetWeights()),
		WeightBytes:  info.GetWeight_bytes(),
		CompactBytes: info.GetCompact_bytes(),
	}, nil
}

// Close gives the feed-forward up; calls in flight keep what they need. Closing twice is fine. The error is always
// nil.
func (f *FeedForward) Close() error {
	f.handle.close()
	return nil
}

// Describe says what the feed-forward is.
func (f *FeedForward) Describe() (FeedForwardInfo, error) { return describeFeedForward(f.handle) }
