package moxie

import (
	"math"
	"unsafe"

	"moxie.dev/go/moxie/internal/raw"
)

// DType is the element type of a tensor. Hidden states and outputs take Float32 and BFloat16; weights and factors also
// Float16; the others occur in files only.
type DType int

// The element types.
const (
	Float32  DType = 0
	BFloat16 DType = 1
	Float16  DType = 2
	Float64  DType = 3
	Int64    DType = 4
	Int32    DType = 5
	Int16    DType = 6
	Int8     DType = 7
	Uint8    DType = 8
	Bool     DType = 9
)

// String gives the library's name of the type: "float32", "bfloat16", ...
func (d DType) String() string { return raw.Mox_dtype_name(raw.Enum_SS_mox_dtype(d)) }

// Size is the bytes of one element; 0 for an unknown type.
func (d DType) Size() int64 { return raw.Mox_dtype_size(raw.Enum_SS_mox_dtype(d)) }

// Elements is a slice of figures with its element type: F32(x), BF16(x) or F16(x). The memory stays the caller's; the
// zero value holds nothing.
type Elements struct {
	singles []float32
	halves  []uint16
	dtype   DType
}

// F32 is float32 figures.
func F32(values []float32) Elements { return Elements{singles: values, dtype: Float32} }

// BF16 is bfloat16 figures: each the upper 16 bits of a float32.
func BF16(bits []uint16) Elements { return Elements{halves: bits, dtype: BFloat16} }

// F16 is IEEE half-precision figures, by their bits.
func F16(bits []uint16) Elements { return Elements{halves: bits, dtype: Float16} }

// Len is the number of figures.
func (e Elements) Len() int { return len(e.singles) + len(e.halves) }

// DType is their element type.
func (e Elements) DType() DType { return e.dtype }

func (e Elements) pointer() unsafe.Pointer {
	switch {
	case len(e.singles) > 0:
		return unsafe.Pointer(&e.singles[0])
	case len(e.halves) > 0:
		return unsafe.Pointer(&e.halves[0])
	}
	return nil
}

// hold refuses a slice too short for rows that begin `stride` (0: columns) elements from one another.
func (e Elements) hold(what string, rows, stride, columns int) error {
	if stride == 0 {
		stride = columns
	}
	if rows < 0 || stride < columns {
		return invalid("%s: %d rows, %d elements from row to row; expected no fewer than 0 rows and %d elements",
			what, rows, stride, columns)
	}
	if rows == 0 {
		return nil
	}
	if stride > 0 && rows-1 > (math.MaxInt-columns)/stride {
		return invalid("%s: %d rows of %d elements are more than memory can hold", what, rows, stride)
	}
	if needed := (rows-1)*stride + columns; e.Len() < needed {
		return invalid("%s has %d elements; %d rows of %d, %d from row to row, take %d",
			what, e.Len(), rows, columns, stride, needed)
	}
	return nil
}

// Matrix is rows of elements in the caller's memory. A linear's weight is [out, in]: y = x W^T. The zero value means
// "there is none".
type Matrix struct {
	Data          Elements
	Rows, Columns int
	RowStride     int // elements from one row to the next; 0: Columns
}
