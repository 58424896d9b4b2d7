package moxie

import (
	"unsafe"

	"moxie.dev/go/moxie/internal/raw"
)

// RouterKind is how a router turns logits into weights.
type RouterKind int

// The routers.
const (
	RouterTopK    RouterKind = 0 // the k largest logits, softmax over those (Mixtral)
	RouterMixLoRA RouterKind = 1 // softmax over all, the k most probable, renormalised
	RouterDynamic RouterKind = 2 // likeliest first up to the one whose running sum exceeds p
	RouterSwitch  RouterKind = 3 // the most probable, up to a capacity per sequence
	RouterLoRAMoE RouterKind = 4 // every expert, weighted by its probability; has no loss
	RouterMoLA    RouterKind = 5 // as RouterMixLoRA, on each linear
)

// RouterLossOptions say what router logits are and which loss is taken of them. Logits are
// [Layers * Sequences * rows, Experts], the layers one after another; a linear with a router of its own counts as a
// layer. Begin with DefaultRouterLoss or Adapter.RouterLoss.
type RouterLossOptions struct {
	Kind               RouterKind
	Experts            int
	TopK               int     // TopK, MixLoRA, MoLA
	TopP               float32 // Dynamic
	Temperature        float32 // Dynamic
	Capacity           int     // Switch: counts in the profile only
	BalanceCoefficient float64
	ZCoefficient       float64 // Switch
	Layers             int
	Sequences          int
	// Mask is [Sequences * rows], true for a real token, repeated for each layer; padding counts in no loss and no
	// profile. Nil: all rows count.
	Mask []bool
}

// DefaultRouterLoss is the library's defaults.
func DefaultRouterLoss() RouterLossOptions {
	o := raw.NewMox_router_loss_options()
	defer raw.DeleteMox_router_loss_options(o)
	raw.Mox_router_loss_options_init(o, o.GetStruct_size())
	return readRouterLoss(o)
}

// RouterLoss is the settings of the adapter's own loss, from its configuration; Layers, Sequences and Mask are left at
// their defaults. ErrUnsupported where the adapter adds no loss (LoRA, LoRAMoE, `router_loss` false).
func (a *Adapter) RouterLoss() (RouterLossOptions, error) {
	object, err := a.handle.use()
	if err != nil {
		return RouterLossOptions{}, err
	}
	defer a.handle.done()
	o := raw.NewMox_router_loss_options()
	defer raw.DeleteMox_router_loss_options(o)
	raw.Mox_router_loss_options_init(o, o.GetStruct_size())
	err = call(func(e raw.Mox_error) raw.Enum_SS_mox_status { return raw.Mox_adapter_router_loss(object, o, e) })
	if err != nil {
		return RouterLossOptions{}, err
	}
	return readRouterLoss(o), nil
}

func readRouterLoss(o raw.Mox_router_loss_options) RouterLossOptions {
	return RouterLossOptions{
		Kind:               RouterKind(o.GetKind()),
		Experts:            int(o.GetExperts()),
		TopK:               int(o.GetTop_k()),
		TopP:               o.GetTop_p(),
		Temperature:        o.GetTemperature(),
		Capacity:           int(o.GetCapacity()),
		BalanceCoefficient: o.GetBalance_coefficient(),
		ZCoefficient:       o.GetZ_coefficient(),
		Layers:             int(o.GetLayers()),
		Sequences:          int(o.GetSequences()),
	}
}

// RouterLoss is the auxiliary loss, coefficients included, computed in float64 over all layers at once.
//
//	TopK, MixLoRA, MoLA  balance (Switch Transformers eq. 4): experts * sum over e of (share of rows that chose e) *
//	                     (mean probability of e)
//	Dynamic              the same over the experts that top-p takes
//	Switch               ZCoefficient * mean squared log-sum-exp + balance of the likeliest expert
func RouterLoss(options *RouterLossOptions, logits []float32) (loss float64, err error) {
	err = routerLoss(options, logits, func(o raw.Mox_router_loss_options, at unsafe.Pointer, rows int64, e raw.Mox_error) raw.Enum_SS_mox_status {
		return raw.Mox_router_loss(o, at, rows, unsafe.Pointer(&loss), e)
	})
	return loss, err
}

// RouterProfile is the share of each layer's rows that went to each expert, [Layers, Experts]. Places without an
// expert (top-p's empty ones, rows over capacity) count for nobody.
func RouterProfile(options *RouterLossOptions, logits []float32) ([]float64, error) {
	count, fits := product(options.Layers, options.Experts)
	if !fits || count == 0 {
		return nil, invalid("%d layers and %d experts; expected 1 or more of each", options.Layers, options.Experts)
	}
	profile := make([]float64, count)
	err := routerLoss(options, logits, func(o raw.Mox_router_loss_options, at unsafe.Pointer, rows int64, e raw.Mox_error) raw.Enum_SS_mox_status {
		return raw.Mox_router_profile(o, at, rows, unsafe.Pointer(&profile[0]), e)
	})
	if err != nil {
		return nil, err
	}
	return profile, nil
}

func routerLoss(options *RouterLossOptions, logits []float32,
	function func(o raw.Mox_router_loss_options, logits unsafe.Pointer, rows int64, e raw.Mox_error) raw.Enum_SS_mox_status,
) (err error) {
	if err := checkVersion(); err != nil {
		return err
	}
	var memory memory
	defer memory.release(&err)
	if options.Experts <= 0 || len(logits) == 0 || len(logits)%options.Experts != 0 {
		return invalid("%d logits of %d experts; expected a whole number of rows", len(logits), options.Experts)
	}
	rows := len(logits) / options.Experts
	if options.Mask != nil && len(options.Mask)*options.Layers != rows {
		return invalid("Mask has %d rows, for each of %d layers; there are %d rows of logits",
			len(options.Mask), options.Layers, rows)
	}
	o := raw.NewMox_router_loss_options()
	defer raw.DeleteMox_router_loss_options(o)
	raw.Mox_router_loss_options_init(o, o.GetStruct_size())
	o.SetKind(raw.Enum_SS_mox_router_kind(options.Kind))
	o.SetExperts(int32Of("Experts", options.Experts))
	o.SetTop_k(int32Of("TopK", options.TopK))
	o.SetTop_p(options.TopP)
	o.SetTemperature(options.Temperature)
	o.SetCapacity(int64(options.Capacity))
	o.SetBalance_coefficient(options.BalanceCoefficient)
	o.SetZ_coefficient(options.ZCoefficient)
	o.SetLayers(int64(options.Layers))
	o.SetSequences(int64(options.Sequences))
	o.SetMask(memory.bools(options.Mask))
	return call(func(e raw.Mox_error) raw.Enum_SS_mox_status {
		return function(o, unsafe.Pointer(&logits[0]), int64(rows), e)
	})
}
