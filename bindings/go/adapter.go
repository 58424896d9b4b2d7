package moxie

import (
	"strconv"

	"moxie.dev/go/moxie/internal/raw"
)

// AdapterKind is the family of an adapter.
type AdapterKind int

// The families.
const (
	AdapterLoRA           AdapterKind = 0 // LoRA, rsLoRA (by the scaling), DoRA (by the magnitudes)
	AdapterMixLoRA        AdapterKind = 1
	AdapterMixLoRADynamic AdapterKind = 2
	AdapterMixLoRASwitch  AdapterKind = 3
	AdapterLoRAMoE        AdapterKind = 4
	AdapterMoLA           AdapterKind = 5
)

// String gives the library's name of the family: "lora", "mixlora", ...
func (k AdapterKind) String() string {
	return raw.Mox_adapter_kind_name(raw.Enum_SS_mox_adapter_kind(k))
}

// Adapter is LoRA factors, and perhaps routers, over a frozen base. Immutable: any number of goroutines may use it at
// once. Steps and ranges name adapters by object, never by name, so a name used again cannot reach another tenant's
// weights. Close neither waits for calls that use the adapter nor disturbs them.
type Adapter struct{ handle *handle }

func openAdapter(over *handle, folder string,
	open func(over uintptr, object *uintptr, e raw.Mox_error) raw.Enum_SS_mox_status,
) (*Adapter, error) {
	object, err := over.use()
	if err != nil {
		return nil, err
	}
	defer over.done()
	if err := checkText("folder", folder); err != nil {
		return nil, err
	}
	var adapter uintptr
	err = call(func(e raw.Mox_error) raw.Enum_SS_mox_status { return open(object, &adapter, e) })
	if err != nil {
		return nil, err
	}
	return newAdapter(adapter, over.log), nil
}

func newAdapter(object uintptr, log *listener) *Adapter {
	return &Adapter{newHandle("Adapter", object, raw.Mox_adapter_release, log)}
}

// OpenAdapter reads an adapter folder as MoE-PEFT writes it (adapter_config.json with adapter_model.bin, read without
// executing anything, or adapter_model.safetensors) and lays it over the whole model. Everything in the files that
// changes the result is honoured or refused by name.
func (m *Model) OpenAdapter(folder string) (*Adapter, error) {
	return openAdapter(m.handle, folder, func(model uintptr, object *uintptr, e raw.Mox_error) raw.Enum_SS_mox_status {
		return raw.Mox_adapter_open(model, folder, object, e)
	})
}

// OpenAdapter is the same over one block: its layer's tensors are kept, all are checked.
func (b *Block) OpenAdapter(folder string) (*Adapter, error) {
	return openAdapter(b.handle, folder, func(block uintptr, object *uintptr, e raw.Mox_error) raw.Enum_SS_mox_status {
		return raw.Mox_adapter_open_for_block(block, folder, object, e)
	})
}

// OwnLayer stands for the layer that a feed-forward was opened from.
const OwnLayer = -1

// OpenAdapter is the same over one feed-forward. layer says which layer's tensors to take: OwnLayer, or any for a
// feed-forward made of the caller's weights. Attention factors are checked for shape and left aside.
func (f *FeedForward) OpenAdapter(folder string, layer int) (made *Adapter, err error) {
	var memory memory
	defer memory.release(&err)
	number := int32Of("layer", layer)
	return openAdapter(f.handle, folder, func(over uintptr, object *uintptr, e raw.Mox_error) raw.Enum_SS_mox_status {
		return raw.Mox_adapter_open_for_feed_forward(over, folder, number, object, e)
	})
}

// Projection is a linear of a feed-forward.
type Projection int

// The linears.
const (
	ProjectionGate Projection = 0 // of a plain feed-forward: its first linear
	ProjectionUp   Projection = 1
	ProjectionDown Projection = 2
)

// LoRAFactors are one pair of factors over one linear: y + Scaling * B (A x); with magnitudes,
// (m / n) * (W x + Scaling * B A x) + bias, n the L2 norm of each row of W + Scaling * B A (DoRA).
type LoRAFactors struct {
	A         Matrix    // [rank, in]
	B         Matrix    // [out, rank]
	Scaling   float32   // alpha / rank, or alpha / sqrt(rank) for rsLoRA
	Magnitude []float32 // [out], or nil: no DoRA
}

// AdapterProjection is the factors over one linear.
type AdapterProjection struct {
	Projection Projection
	Factors    []LoRAFactors // one for LoRA, else one for each expert
	Router     Matrix        // LoRAMoE, MoLA: [experts, in]; else absent
}

// AdapterDescription says what NewAdapter makes.
type AdapterDescription struct {
	Kind        AdapterKind
	Name        string // for messages; "": "adapter"
	Experts     int
	TopK        int        // MixLoRA, MoLA
	TopP        float32    // dynamic: in (0, 1]
	Temperature float32    // dynamic: 0 or more
	Capacity    int        // switch
	Activation  Activation // MixLoRA: inside the experts
	Router      Matrix     // MixLoRA: [experts, hidden]
	Projections []AdapterProjection
}

// NewAdapter makes an adapter of the caller's factors, which are copied.
func (f *FeedForward) NewAdapter(description *AdapterDescription) (made *Adapter, err error) {
	over, err := f.handle.use()
	if err != nil {
		return nil, err
	}
	defer f.handle.done()
	var memory memory
	defer memory.release(&err)
	d := raw.NewMox_adapter_description()
	defer raw.DeleteMox_adapter_description(d)
	raw.Mox_adapter_description_init(d, d.GetStruct_size())
	d.SetKind(raw.Enum_SS_mox_adapter_kind(description.Kind))
	raw.Moxie_go_set_name(d, memory.text("Name", description.Name))
	d.SetExperts(int32Of("Experts", description.Experts))
	d.SetTop_k(int32Of("TopK", description.TopK))
	d.SetTop_p(description.TopP)
	d.SetTemperature(description.Temperature)
	d.SetCapacity(int64(description.Capacity))
	d.SetActivation(raw.Enum_SS_mox_activation(description.Activation))
	d.SetRouter(memory.matrix("Router", description.Router))
	list := memory.allocate(len(description.Projections), raw.Mox_adapter_projection_size())
	for i, given := range description.Projections {
		name := "Projections[" + strconv.Itoa(i) + "]"
		projection := raw.Mox_adapter_projection_at(list, int64(i))
		projection.SetProjection(raw.Enum_SS_mox_projection(given.Projection))
		factors := memory.allocate(len(given.Factors), raw.Mox_lora_factors_size())
		for j := range given.Factors {
			memory.setFactors(raw.Mox_lora_factors_at(factors, int64(j)), name+".Factors["+strconv.Itoa(j)+"]", &given.Factors[j])
		}
		projection.SetFactors(raw.Mox_lora_factors_at(factors, 0))
		projection.SetFactor_count(int64(len(given.Factors)))
		projection.SetRouter(memory.matrix(name+".Router", given.Router))
	}
	d.SetProjections(raw.Mox_adapter_projection_at(list, 0))
	d.SetProjection_count(int64(len(description.Projections)))
	var object uintptr
	err = call(func(e raw.Mox_error) raw.Enum_SS_mox_status { return raw.Mox_adapter_create(over, d, &object, e) })
	if err != nil {
		return nil, err
	}
	return newAdapter(object, f.handle.log), nil
}

func (m *memory) setFactors(made raw.Mox_lora_factors, name string, given *LoRAFactors) {
	made.SetA(m.matrix(name+".A", given.A))
	made.SetB(m.matrix(name+".B", given.B))
	made.SetScaling(given.Scaling)
	made.SetMagnitude(m.vector(name+".Magnitude", given.Magnitude, given.B.Rows))
}

// Retain gives a second Adapter of the same factors, to be closed on its own: for whoever uses an adapter that
// somebody else may close meanwhile.
func (a *Adapter) Retain() (*Adapter, error) {
	object, err := a.handle.use()
	if err != nil {
		return nil, err
	}
	defer a.handle.done()
	return newAdapter(raw.Mox_adapter_retain(object), a.handle.log), nil
}

// Close gives this hold of the adapter up; with the last one, calls in flight included, the factors are freed. Closing
// twice is fine. The error is always nil.
func (a *Adapter) Close() error {
	a.handle.close()
	return nil
}

// AdapterInfo says what an adapter is.
type AdapterInfo struct {
	Name       string // the folder's, or the description's
	Kind       AdapterKind
	Experts    int // 0 without experts
	TopK       int
	Rank       int  // of the experts, or of the plain factors
	DoRA       bool // magnitudes rescale outputs
	Parameters int64
	Bytes      int64 // as held
}

// Describe says what the adapter is.
func (a *Adapter) Describe() (AdapterInfo, error) {
	object, err := a.handle.use()
	if err != nil {
		return AdapterInfo{}, err
	}
	defer a.handle.done()
	info := raw.NewMox_adapter_info()
	defer raw.DeleteMox_adapter_info(info)
	err = call(func(e raw.Mox_error) raw.Enum_SS_mox_status { return raw.Mox_adapter_describe(object, info, e) })
	if err != nil {
		return AdapterInfo{}, err
	}
	return AdapterInfo{
		Name:       info.GetName(),
		Kind:       AdapterKind(info.GetKind()),
		Experts:    int(info.GetExperts()),
		TopK:       int(info.GetTop_k()),
		Rank:       int(info.GetRank()),
		DoRA:       info.GetDora() != 0,
		Parameters: info.GetParameters(),
		Bytes:      info.GetBytes(),
	}, nil
}
