package moxie

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"

	"moxie.dev/go/moxie/internal/raw"
)

// Status is the class of an error.
type Status int

// The classes of errors. Numbers never change meaning.
const (
	StatusInvalidArgument Status = 1 // the arguments do not fit together, or with the object
	StatusInvalidFile     Status = 2 // a file's contents are damaged, hostile or contradictory
	StatusNotFound        Status = 3 // no such file, folder, layer or tensor
	StatusUnsupported     Status = 4 // well formed, but this library or this build cannot do it
	StatusOutOfMemory     Status = 5
	StatusNumeric         Status = 6 // a NaN or infinity where a decision is to be made (router or sampler)
	StatusIO              Status = 7 // the operating system refused to read
	StatusInternal        Status = 8 // a defect of the library; please report it with the message
)

// String gives the library's name of the status: "invalid argument", ...
func (s Status) String() string { return raw.Mox_status_name(raw.Enum_SS_mox_status(s)) }

// What errors.Is compares with, one for each Status.
var (
	ErrInvalidArgument = errors.New("moxie: invalid argument")
	ErrInvalidFile     = errors.New("moxie: invalid file")
	ErrNotFound        = errors.New("moxie: not found")
	ErrUnsupported     = errors.New("moxie: unsupported")
	ErrOutOfMemory     = errors.New("moxie: out of memory")
	ErrNumeric         = errors.New("moxie: numeric")
	ErrIO              = errors.New("moxie: input or output")
	ErrInternal        = errors.New("moxie: internal")
)

var (
	// ErrClosed is the error of every call on, or with, an object after its Close.
	ErrClosed = errors.New("moxie: closed")
	// ErrVersion is the error of every call while the library that was loaded is not of this package's version.
	ErrVersion = errors.New("moxie: wrong version of libmoxie")
)

var errorOfStatus = map[Status]error{
	StatusInvalidArgument: ErrInvalidArgument,
	StatusInvalidFile:     ErrInvalidFile,
	StatusNotFound:        ErrNotFound,
	StatusUnsupported:     ErrUnsupported,
	StatusOutOfMemory:     ErrOutOfMemory,
	StatusNumeric:         ErrNumeric,
	StatusIO:              ErrIO,
	StatusInternal:        ErrInternal,
}

// Error is what every refusal and failure is, as errors.As finds it. The message names what was found and what was
// expected.
type Error struct {
	Status  Status
	Message string
}

// Error is the status and the message.
func (e *Error) Error() string { return "moxie: " + e.Status.String() + ": " + e.Message }

// Is makes errors.Is(err, ErrNotFound) and its like work.
func (e *Error) Is(target error) bool { return errorOfStatus[e.Status] == target }

type closedError struct{ kind string }

// Error names the object's type.
func (e *closedError) Error() string { return "moxie: the " + e.kind + " is closed" }

// Is makes errors.Is(err, ErrClosed) work.
func (e *closedError) Is(target error) bool { return target == ErrClosed }

func invalid(format string, arguments ...interface{}) error {
	return &Error{StatusInvalidArgument, fmt.Sprintf(format, arguments...)}
}

// errorBlocks are mox_error structs in C memory, used again and again.
var errorBlocks = sync.Pool{New: func() interface{} {
	block := &errorBlock{raw.NewMox_error()}
	runtime.SetFinalizer(block, func(block *errorBlock) { raw.DeleteMox_error(block.Mox_error) })
	return block
}}

type errorBlock struct{ raw.Mox_error }

// call makes one call of the library and turns its status into an error.
func call(function func(raw.Mox_error) raw.Enum_SS_mox_status) error {
	block := errorBlocks.Get().(*errorBlock)
	defer errorBlocks.Put(block)
	if status := Status(function(block.Mox_error)); status != 0 {
		return &Error{status, block.GetMessage()}
	}
	return nil
}

// checkText refuses what C would see only the beginning of.
func checkText(what, text string) error {
	if at := strings.IndexByte(text, 0); at >= 0 {
		return invalid("%s %q has a zero byte at %d; a string for the library has none", what, text, at)
	}
	return nil
}
