//go:build race || (!amd64 && !arm64)

package shm

import (
	"runtime"
	"sync/atomic"
)

// Under the race detector, and on processors shmbus has no assembly for, the
// named operations are sync/atomic's: sequentially consistent, and visible to
// the detector where the memory is Go's own.

func storeRelease64(p *uint64, v uint64) { atomic.StoreUint64(p, v) }

func storeRelease32(p *uint32, v uint32) { atomic.StoreUint32(p, v) }

func storeReleaseBoth(p *uint64, v uint64, q *uint32, w uint32) {
	atomic.StoreUint64(p, v)
	atomic.StoreUint32(q, w)
}

var fence atomic.Uint32

// FenceFull orders everything before it before everything after it.
func FenceFull() { fence.Add(1) }

// FenceStoreStore orders stores before it before stores after it.
func FenceStoreStore() { FenceFull() }

// FenceLoadLoad orders loads before it before loads after it.
func FenceLoadLoad() { FenceFull() }

// Pause yields the processor once; n is at least 1.
func Pause(n uint32) {
	if n > 64 {
		runtime.Gosched()
	}
}
