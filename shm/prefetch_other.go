//go:build race || (!amd64 && !arm64)

package shm

// PrefetchWrite does nothing where there is no assembly for it.
func (s Span) PrefetchWrite(off, n uint64) {}
