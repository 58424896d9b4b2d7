package raw

// Structs that stand in arrays never change in C; written here so that an array of them can be an argument of a call.
// Their pointers are C memory.

// Range is mox_range.
type Range struct {
	Adapter    uintptr
	Begin, End int64
}

// Step is mox_step. Tokens and Logits stay 0: see Moxie_go_step.
type Step struct {
	Sequence, Adapter        uintptr
	Tokens                   uintptr
	TokenCount               int64
	Logits                   uintptr
	LogitsRows, LogitsStride int64
}
