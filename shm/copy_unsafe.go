//go:build !race

package shm

import "unsafe"

// Set writes the word with no order of its own: a plain store, ordered before
// the next store-release. It costs nothing over an assignment.
func (w *Word64) Set(v uint64) { w.v = v }

// Get reads the word with no order of its own: a plain load, ordered behind the
// load-acquire before it. Behind a commit word that says the record is whole,
// nothing more is needed, and the compiler can compare with what is in memory.
func (w *Word64) Get() uint64 { return w.v }

// Set writes the word with no order of its own.
func (w *Word32) Set(v uint32) { w.v = v }

// CopyIn copies src to off. The caller guarantees off+len(src) <= Len, off a
// multiple of 8, and that the bytes up to the next multiple of 8 are its own.
//
// What is short goes word by word. Whoever publishes has just written the
// payload, as words; a wider load takes those from the cache, not from the
// store buffer, and so waits until they, and every store to the ring before
// them, have got there: one miss after the other instead of many at a time.
func (s Span) CopyIn(off uint64, src []byte) {
	n := len(src)
	// Safe: in bounds by the caller's check, source and destination alike.
	dst, from := unsafe.Add(s.base, off), unsafe.Pointer(unsafe.SliceData(src))
	if n > wordwise || n%8 != 0 {
		copyBytes(dst, from, uint64(n))
		return
	}
	for ; n >= 32; n -= 32 {
		d, f := (*[4]uint64)(dst), (*[4]uint64)(from) // Safe: 32 bytes are left of both
		d[0] = f[0]
		d[1] = f[1]
		d[2] = f[2]
		d[3] = f[3]
		dst, from = unsafe.Add(dst, 32), unsafe.Add(from, 32) // Safe: at most behind the last byte
	}
	for ; n >= 8; n -= 8 {
		*(*uint64)(dst) = *(*uint64)(from)                  // Safe: 8 bytes are left of both
		dst, from = unsafe.Add(dst, 8), unsafe.Add(from, 8) // Safe: at most behind the last byte
	}
}

// wordwise is the longest payload that is copied word by word.
const wordwise = 128

// copyBytes copies what is longer. What is long goes by the processor's own
// copy instruction where that is fast: it takes possession of whole lines
// without reading from the other processor what they held.
func copyBytes(dst, src unsafe.Pointer, n uint64) {
	if n >= atOnce && repMovsb {
		copyAtOnce(dst, src, n)
		return
	}
	// Safe: n bytes are there of both, by the caller's check.
	copy(unsafe.Slice((*byte)(dst), n), unsafe.Slice((*byte)(src), n))
}

// atOnce is the shortest payload that is worth starting that instruction for.
const atOnce = 4096

// CopyOut copies len(dst) bytes from off, which may be overwritten meanwhile:
// what it brought is of use only once a check made after it says so. The
// conditions on off are those of CopyIn.
func (s Span) CopyOut(dst []byte, off uint64) {
	// Safe: in bounds by the caller's check.
	copy(dst, unsafe.Slice((*byte)(unsafe.Add(s.base, off)), len(dst)))
}
