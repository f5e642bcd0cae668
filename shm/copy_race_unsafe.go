//go:build race

package shm

import (
	"encoding/binary"
	"sync/atomic"
)

// Under the race detector, bytes that a lossy reader may read while they are
// overwritten move as atomic words: that race is meant, is resolved by the
// check after the copy, and must not drown the ones that are not meant.

// Set writes the word with no order of its own.
func (w *Word64) Set(v uint64) { atomic.StoreUint64(&w.v, v) }

// Get reads the word with no order of its own.
func (w *Word64) Get() uint64 { return atomic.LoadUint64(&w.v) }

// Set writes the word with no order of its own.
func (w *Word32) Set(v uint32) { atomic.StoreUint32(&w.v, v) }

// CopyIn copies src to off. The caller guarantees off+len(src) <= Len, off a
// multiple of 8, and that the bytes up to the next multiple of 8 are its own.
func (s Span) CopyIn(off uint64, src []byte) {
	for i := 0; i < len(src); i += 8 {
		var w [8]byte
		copy(w[:], src[i:])
		atomic.StoreUint64(Ref[uint64](s, off+uint64(i)), binary.NativeEndian.Uint64(w[:]))
	}
}

// CopyOut copies len(dst) bytes from off, which may be overwritten meanwhile:
// what it brought is of use only once a check made after it says so. The
// conditions on off are those of CopyIn.
func (s Span) CopyOut(dst []byte, off uint64) {
	for i := 0; i < len(dst); i += 8 {
		var w [8]byte
		binary.NativeEndian.PutUint64(w[:], atomic.LoadUint64(Ref[uint64](s, off+uint64(i))))
		copy(dst[i:], w[:])
	}
}
