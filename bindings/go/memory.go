package moxie

import (
	"fmt"
	"math"
	"unsafe"

	"moxie.dev/go/moxie/internal/raw"
)

// memory is what structs of one call point at: C memory, because cgo forbids C structs that point at Go's. Its methods
// panic with a refusal, which release, always deferred, turns into the call's error.
type memory struct{ blocks []unsafe.Pointer }

type refusal struct{ err error }

func (m *memory) release(err *error) {
	for _, block := range m.blocks {
		raw.Moxie_go_release(block)
	}
	if panicked := recover(); panicked != nil {
		refused, ours := panicked.(refusal)
		if !ours {
			panic(panicked)
		}
		*err = refused.err
	}
}

func refuse(format string, arguments ...interface{}) {
	panic(refusal{invalid(format, arguments...)})
}

func (m *memory) allocate(count int, size int64) unsafe.Pointer {
	if size > 0 && int64(count) > math.MaxInt64/size {
		refuse("%d elements of %d bytes are more than memory can hold", count, size)
	}
	block := raw.Moxie_go_allocate(int64(count) * size)
	if block == nil {
		panic(refusal{&Error{StatusOutOfMemory, fmt.Sprintf("no memory for %d elements of %d bytes", count, size)}})
	}
	m.blocks = append(m.blocks, block)
	return block
}

func (m *memory) copy(data unsafe.Pointer, count int, size int64) unsafe.Pointer {
	block := m.allocate(count, size)
	bytes := int64(count) * size
	copy(unsafe.Slice((*byte)(block), bytes), unsafe.Slice((*byte)(data), bytes))
	return block
}

func (m *memory) float32s(values []float32) unsafe.Pointer {
	if len(values) == 0 {
		return nil
	}
	return m.copy(unsafe.Pointer(&values[0]), len(values), 4)
}

func (m *memory) int32s(values []int32) unsafe.Pointer {
	if len(values) == 0 {
		return nil
	}
	return m.copy(unsafe.Pointer(&values[0]), len(values), 4)
}

func (m *memory) bools(values []bool) unsafe.Pointer {
	if len(values) == 0 {
		return nil
	}
	return m.copy(unsafe.Pointer(&values[0]), len(values), 1)
}

// text is a C string; nil for "".
func (m *memory) text(what, text string) unsafe.Pointer {
	if text == "" {
		return nil
	}
	if err := checkText(what, text); err != nil {
		panic(refusal{err})
	}
	terminated := append([]byte(text), 0)
	return m.copy(unsafe.Pointer(&terminated[0]), len(terminated), 1)
}

// int32Of refuses a figure that the library's 32 bits do not hold.
func int32Of(what string, value int) int32 {
	if value < math.MinInt32 || value > math.MaxInt32 {
		refuse("%s is %d; it must be within 32 bits", what, value)
	}
	return int32(value)
}

func (m *memory) matrix(what string, given Matrix) raw.Mox_matrix {
	made := raw.Mox_matrix_at(m.allocate(1, raw.Mox_matrix_size()), 0)
	if given.Data.Len() == 0 {
		if given.Rows != 0 || given.Columns != 0 {
			refuse("%s is said to be [%d, %d], but holds no data", what, given.Rows, given.Columns)
		}
		return made
	}
	if given.Rows <= 0 || given.Columns <= 0 {
		refuse("%s is said to be [%d, %d]; both must be positive", what, given.Rows, given.Columns)
	}
	if err := given.Data.hold(what, given.Rows, given.RowStride, given.Columns); err != nil {
		panic(refusal{err})
	}
	made.SetData(m.copy(given.Data.pointer(), given.Data.Len(), given.Data.dtype.Size()))
	made.SetRows(int64(given.Rows))
	made.SetColumns(int64(given.Columns))
	made.SetRow_stride(int64(given.RowStride))
	made.SetDtype(raw.Enum_SS_mox_dtype(given.Data.dtype))
	return made
}
