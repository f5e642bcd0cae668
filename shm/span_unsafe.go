package shm

import (
	"fmt"
	"unsafe"
)

// Overlay returns the T that begins off bytes into b. T must hold no Go
// pointers. It panics if T does not fit there or would be misaligned: offsets
// are layout constants, so that is an error of the program, never of a peer.
func Overlay[T any](b []byte, off int) *T {
	var z T
	if off < 0 || off > len(b) || uintptr(len(b)-off) < unsafe.Sizeof(z) {
		panic(fmt.Sprintf("shm: overlay of %d bytes at %d does not fit in %d", unsafe.Sizeof(z), off, len(b)))
	}
	// Safe: [off, off+Sizeof(T)) lies within b, checked above.
	p := unsafe.Pointer(unsafe.SliceData(b[off:]))
	if uintptr(p)%unsafe.Alignof(z) != 0 {
		panic(fmt.Sprintf("shm: overlay at %d is not aligned to %d", off, unsafe.Alignof(z)))
	}
	return (*T)(p) // Safe: in bounds and aligned, as checked; T holds no Go pointers by contract
}

// Span is a run of shared bytes reached without bounds checks: the records of
// a ring, whose offsets are masked by a size the process keeps for itself. It
// keeps heap memory alive, but not a mapping: whoever unmaps answers for that.
type Span struct {
	base unsafe.Pointer
	size uint64
}

// NewSpan returns the span of all bytes of b.
func NewSpan(b []byte) Span {
	// Safe: the pointer and length of one slice.
	return Span{base: unsafe.Pointer(unsafe.SliceData(b)), size: uint64(len(b))}
}

// Len returns the number of bytes.
func (s Span) Len() uint64 { return s.size }

// Ref returns the T at off. The caller guarantees off+sizeof(T) <= Len and the
// alignment of off: it masks and rounds positions before it comes here.
func Ref[T any](s Span, off uint64) *T {
	// Safe: off is masked by the caller's own copy of the capacity.
	return (*T)(unsafe.Add(s.base, off))
}

// Bytes returns the n bytes at off, with no spare capacity. The caller
// guarantees off+n <= Len.
func (s Span) Bytes(off, n uint64) []byte {
	// Safe: [off, off+n) lies within the span by the caller's check.
	return unsafe.Slice((*byte)(unsafe.Add(s.base, off)), n)
}

// AlignedBytes returns n zeroed bytes of heap memory at a multiple of 4096, as
// a mapping would be: the ring runs over it where the race detector must see.
func AlignedBytes(n int) []byte {
	const page = 4096
	b := make([]byte, n+page)
	// Safe: only the address is taken, to find the first page boundary in b.
	skip := int(-uintptr(unsafe.Pointer(unsafe.SliceData(b))) & (page - 1))
	return b[skip : skip+n : skip+n]
}

// address returns where b begins, for alignment tests.
func address(b []byte) uintptr {
	// Safe: the address is only looked at.
	return uintptr(unsafe.Pointer(unsafe.SliceData(b)))
}
