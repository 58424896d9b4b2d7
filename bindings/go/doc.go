// Package moxie runs mixture-of-experts feed-forward layers and LoRA experts on server CPUs: one frozen base model,
// many adapters (MixLoRA, LoRAMoE, MoLA, LoRA, rsLoRA, DoRA), any mix of them in one call. It is a thin layer over the
// C library libmoxie, which pkg-config finds as "moxie".
//
//	rt, err := moxie.NewRuntime(nil)
//	model, err := rt.OpenModel("examples/models/tiny-llama", nil)
//	adapter, err := model.OpenAdapter("examples/models/kjv-mixlora")
//	sequence, err := model.NewSequence(nil)
//	generation := model.Generate(ctx, moxie.GenerateOptions{
//		Sequence: sequence, Adapter: adapter, Tokens: prompt, MaxTokens: 32,
//	})
//	for generation.Next() {
//		fmt.Print(generation.Token(), " ")
//	}
//
// Who steps many sequences puts them into one Model.Step: that is far cheaper than many calls, and the figures are the
// same bits in any company.
//
// # Errors
//
// Every error of the library is an *Error with its Status and message, and errors.Is finds its class:
// ErrInvalidArgument, ErrInvalidFile, ErrNotFound, ErrUnsupported, ErrOutOfMemory, ErrNumeric, ErrIO, ErrInternal. A
// call on or with a closed object is ErrClosed. A library of another version is ErrVersion, from the first call. On
// error nothing has changed: no output is written, no sequence has moved.
//
// # Closing
//
// Close every object, in any order, also while others or calls in flight use it: whoever needs it keeps it. An object
// that was forgotten is closed by a finalizer some time after the collector has noticed, which does not know how many
// gigabytes hang on it. Closing twice is fine.
//
// # Goroutines
//
// Runtime, Model, Block, FeedForward, Adapter, Routing and File may be used by any number of goroutines at once.
// Sequence, Sampler and Generation have one owner at a time; a second use at once of a Sequence or Sampler is an error
// in one of them, not a race. A call blocks its goroutine and one thread of the system until it is done.
//
// # Memory
//
// The library keeps no slice beyond a call. Input and output of FeedForward.Run and Route, logits of a Step alone and
// of Sampler.Next, RouterLoss and RouterProfile, and what ReadInto and ReadTensorInto fill are used in place; their
// memory must not be part of a Go value that holds pointers, which cgo refuses with a panic. Everything else is copied:
// weights and factors (to C memory, for the time of the call), logits of several steps at once, rows of Block.Run. A
// slice given to a call must not be written by others until it returns.
package moxie
