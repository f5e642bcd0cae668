//go:build !race && !amd64

package shm

import "unsafe"

const repMovsb = false

// copyAtOnce is not called where repMovsb is false.
func copyAtOnce(dst, src unsafe.Pointer, n uint64) {
	// Safe: n bytes are there of both, by the caller's check.
	copy(unsafe.Slice((*byte)(dst), n), unsafe.Slice((*byte)(src), n))
}
