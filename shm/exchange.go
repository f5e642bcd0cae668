package shm

import "sync/atomic"

// Swap stores v and returns the old value; a full fence (XCHG on amd64).
func (w *Word64) Swap(v uint64) uint64 { return atomic.SwapUint64(&w.v, v) }
