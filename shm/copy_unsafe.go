//go:build !race

package shm

import "unsafe"

// Set writes the word with no order of its own: a plain store, ordered before
// the next store-release. It costs nothing over an assignment.
func (w *Word64) Set(v uint64) { w.v = v }

// Set writes the word with no order of its own.
func (w *Word32) Set(v uint32) { w.v = v }

// CopyIn copies src to off. The caller guarantees off+len(src) <= Len, off a
// multiple of 8, and that the bytes up to the next multiple of 8 are its own.
func (s Span) CopyIn(off uint64, src []byte) {
	// Safe: in bounds by the caller's check.
	copy(unsafe.Slice((*byte)(unsafe.Add(s.base, off)), len(src)), src)
}

// CopyOut copies len(dst) bytes from off, which may be overwritten meanwhile:
// what it brought is of use only once a check made after it says so. The
// conditions on off are those of CopyIn.
func (s Span) CopyOut(dst []byte, off uint64) {
	// Safe: in bounds by the caller's check.
	copy(dst, unsafe.Slice((*byte)(unsafe.Add(s.base, off)), len(dst)))
}
