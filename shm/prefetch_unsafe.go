//go:build !race && (amd64 || arm64)

package shm

import "unsafe"

// prefetchWrite asks for three cache lines from p on, for writing.
//
//go:noescape
func prefetchWrite(p unsafe.Pointer)

// PrefetchWrite asks the processor to take possession of the line at off and
// the two behind it, and does not wait for them. A store to a line that another
// processor has waits until that one has given it up, and the stores behind it
// wait too: where three lines are to be written, asking for all of them first
// makes one wait of three. It changes no byte; lines beyond the end of the span
// are asked for in vain.
func (s Span) PrefetchWrite(off uint64) {
	prefetchWrite(unsafe.Add(s.base, off)) // Safe: an address that is not accessed; the processor ignores one that is not mapped
}
