package moxie

import (
	"strconv"
	"unsafe"

	"moxie.dev/go/moxie/internal/raw"
)

// Routing is what the routers of a call decided, for every layer the call ran and every range (or step) of it; or a
// plan made by NewRouting. Immutable: any number of goroutines may read it at once.
type Routing struct {
	handle         *handle
	layers, ranges int
}

func newRouting(object uintptr) *Routing {
	return &Routing{
		newHandle("Routing", object, raw.Mox_routing_free, nil),
		int(raw.Mox_routing_layers(object)),
		int(raw.Mox_routing_ranges(object)),
	}
}

// RoutingChoice is what the caller decides for one range, laid out as in RoutedRange. Routers is 0 for a range without
// a router.
type RoutingChoice struct {
	Rows, Routers, Experts, Places int
	ExpertIDs                      []int32   // [Routers * Rows, Places]
	Weights                        []float32 // [Routers * Rows, Places]
}

// NewRouting builds a plan of one layer, one choice for each range of the batch it is meant for. Ids must be within -1
// (an empty place) to Experts-1, none twice in a row, and weights finite.
func NewRouting(choices []RoutingChoice) (made *Routing, err error) {
	if err := checkVersion(); err != nil {
		return nil, err
	}
	var memory memory
	defer memory.release(&err)
	list := memory.allocate(len(choices), raw.Mox_routing_choice_size())
	for i, given := range choices {
		name := "choices[" + strconv.Itoa(i) + "]"
		count, fits := product(given.Routers, given.Rows, given.Places)
		if !fits {
			refuse("%s: %d routers, %d rows and %d places; expected none below 0, and no more than memory can hold",
				name, given.Routers, given.Rows, given.Places)
		}
		if len(given.ExpertIDs) != count || len(given.Weights) != count {
			refuse("%s has %d expert ids and %d weights; %d routers, %d rows and %d places take %d of each",
				name, len(given.ExpertIDs), len(given.Weights), given.Routers, given.Rows, given.Places, count)
		}
		choice := raw.Mox_routing_choice_at(list, int64(i))
		choice.SetRows(int64(given.Rows))
		choice.SetRouters(int32Of(name+".Routers", given.Routers))
		choice.SetExperts(int32Of(name+".Experts", given.Experts))
		choice.SetPlaces(int32Of(name+".Places", given.Places))
		choice.SetExpert_ids(memory.int32s(given.ExpertIDs))
		choice.SetWeights(memory.float32s(given.Weights))
	}
	var object uintptr
	err = call(func(e raw.Mox_error) raw.Enum_SS_mox_status {
		return raw.Mox_routing_create(raw.Mox_routing_choice_at(list, 0), int64(len(choices)), &object, e)
	})
	if err != nil {
		return nil, err
	}
	return newRouting(object), nil
}

// product of figures that are 0 or more; false where one is not, or memory could not hold as many.
func product(factors ...int) (int, bool) {
	result := 1
	for _, factor := range factors {
		if factor < 0 || (factor > 0 && result > (1<<48)/factor) {
			return 0, false
		}
		result *= factor
	}
	return result, true
}

// Close frees the routing. Closing twice is fine. The error is always nil.
func (r *Routing) Close() error {
	r.handle.close()
	return nil
}

// Layers is how many layers it covers.
func (r *Routing) Layers() int { return r.layers }

// Ranges is how many ranges (or steps) it covers.
func (r *Routing) Ranges() int { return r.ranges }

// RoutingInfo says how the routers of one range in one layer are laid out.
//
//	who routes                   Routers  Places   order of the places
//	bank of experts (Mixtral)    1        top-k    likeliest first
//	MixLoRA top-k                1        top-k    likeliest first; weights sum to 1
//	MixLoRA dynamic (top-p)      1        experts  likeliest first, then -1 with weight 0
//	MixLoRA switch               1        1        -1: over capacity (the weight still stands)
//	LoRAMoE                      linears  experts  expert 0, 1, ... (all are used)
//	MoLA                         linears  top-k    likeliest first; weights sum to 1
//
// The linears of LoRAMoE and MoLA come in the order q, k, v, o, gate, down, up, those without a router left out. A
// range without a router has Routers 0.
type RoutingInfo struct {
	Rows    int
	Routers int
	Experts int // experts each router chooses from
	Places  int // expert ids and weights per row and router
}

// Describe says how a range of a layer is laid out.
func (r *Routing) Describe(layer, rangeIndex int) (RoutingInfo, error) {
	object, err := r.handle.use()
	if err != nil {
		return RoutingInfo{}, err
	}
	defer r.handle.done()
	info := raw.NewMox_routing_info()
	defer raw.DeleteMox_routing_info(info)
	err = call(func(e raw.Mox_error) raw.Enum_SS_mox_status {
		return raw.Mox_routing_describe(object, int64(layer), int64(rangeIndex), info, e)
	})
	if err != nil {
		return RoutingInfo{}, err
	}
	return RoutingInfo{
		Rows:    int(info.GetRows()),
		Routers: int(info.GetRouters()),
		Experts: int(info.GetExperts()),
		Places:  int(info.GetPlaces()),
	}, nil
}

// RouterName is "mlp" for a router that serves a whole feed-forward, else its linear's ("q_proj", "gate_proj", ...).
func (r *Routing) RouterName(layer, rangeIndex, router int) (name string, err error) {
	object, err := r.handle.use()
	if err != nil {
		return "", err
	}
	defer r.handle.done()
	var memory memory
	defer memory.release(&err)
	var text unsafe.Pointer
	err = call(func(e raw.Mox_error) raw.Enum_SS_mox_status {
		return raw.Mox_routing_router_name(object, int64(layer), int64(rangeIndex), int32Of("router", router), &text, e)
	})
	if err != nil {
		return "", err
	}
	return raw.Moxie_go_string(text), nil
}

// RoutedRange is what the routers of one range in one layer decided, router after router.
type RoutedRange struct {
	RoutingInfo
	Logits    []float32 // [Routers * Rows, Experts], before any softmax; NaN throughout where the caller gave the plan
	ExpertIDs []int32   // [Routers * Rows, Places]
	Weights   []float32 // [Routers * Rows, Places]
}

// Choice is the same decision as the caller may give it, to be changed and made a plan of.
func (r *RoutedRange) Choice() RoutingChoice {
	return RoutingChoice{r.Rows, r.Routers, r.Experts, r.Places, r.ExpertIDs, r.Weights}
}

// Read copies out what was decided.
func (r *Routing) Read(layer, rangeIndex int) (*RoutedRange, error) {
	info, err := r.Describe(layer, rangeIndex)
	if err != nil {
		return nil, err
	}
	lines := info.Routers * info.Rows
	read := &RoutedRange{
		info, make([]float32, lines*info.Experts), make([]int32, lines*info.Places), make([]float32, lines*info.Places),
	}
	return read, r.ReadInto(layer, rangeIndex, read.Logits, read.ExpertIDs, read.Weights)
}

// ReadInto is Read into the caller's slices, each as long as in RoutedRange, or nil: not wanted.
func (r *Routing) ReadInto(layer, rangeIndex int, logits []float32, expertIDs []int32, weights []float32) error {
	object, err := r.handle.use()
	if err != nil {
		return err
	}
	defer r.handle.done()
	info, err := r.Describe(layer, rangeIndex)
	if err != nil {
		return err
	}
	var logitsAt, idsAt, weightsAt unsafe.Pointer
	for _, part := range []struct {
		what          string
		length, wants int
	}{
		{"logits", len(logits), info.Experts}, {"expertIDs", len(expertIDs), info.Places}, {"weights", len(weights), info.Places},
	} {
		if expected := info.Routers * info.Rows * part.wants; part.length != 0 && part.length != expected {
			return invalid("%s has %d elements; layer %d, range %d has %d", part.what, part.length, layer, rangeIndex, expected)
		}
	}
	if len(logits) > 0 {
		logitsAt = unsafe.Pointer(&logits[0])
	}
	if len(expertIDs) > 0 {
		idsAt = unsafe.Pointer(&expertIDs[0])
	}
	if len(weights) > 0 {
		weightsAt = unsafe.Pointer(&weights[0])
	}
	return call(func(e raw.Mox_error) raw.Enum_SS_mox_status {
		return raw.Mox_routing_read(object, int64(layer), int64(rangeIndex), logitsAt, idsAt, weightsAt, e)
	})
}
