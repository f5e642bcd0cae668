//go:build !race

package shm

//go:noescape
func storeRelease64(p *uint64, v uint64)

//go:noescape
func storeRelease32(p *uint32, v uint32)

//go:noescape
func storeReleaseBoth(p *uint64, v uint64, q *uint32, w uint32)

// FenceFull orders everything before it before everything after it, stores
// before loads included.
func FenceFull()

// Pause tells the processor n times that this is a spin loop; n is at least 1.
// One PAUSE is 10 to 60 cycles by processor.
func Pause(n uint32)

// FenceStoreStore orders stores before it before stores after it. On amd64 the
// hardware does so by itself.
func FenceStoreStore() {}

// FenceLoadLoad orders loads before it before loads after it. On amd64 the
// hardware does so by itself.
func FenceLoadLoad() {}
