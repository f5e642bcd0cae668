//go:build !race && (amd64 || arm64)

package shm

import "unsafe"

// prefetchWrite asks for a cache line, for writing, each 64 bytes from p on
// that are less than n; for one at least.
//
//go:noescape
func prefetchWrite(p unsafe.Pointer, n uint64)

// PrefetchWrite asks the processor to take possession of the lines of n bytes
// from off on, and does not wait for them. A store to a line that another
// processor has waits until that one has given it up, and the stores behind it
// wait too: where several lines are to be written, asking for all of them first
// makes one wait of many. It changes no byte; lines beyond the end of the span
// are asked for in vain.
func (s Span) PrefetchWrite(off, n uint64) {
	prefetchWrite(unsafe.Add(s.base, off), n) // Safe: addresses that are not accessed; the processor ignores those that are not mapped
}
