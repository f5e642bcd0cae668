//go:build !race

package shm

//go:noescape
func storeRelease64(p *uint64, v uint64)

//go:noescape
func storeRelease32(p *uint32, v uint32)

//go:noescape
func storeReleaseBoth(p *uint64, v uint64, q *uint32, w uint32)

// FenceFull orders everything before it before everything after it, stores
// before loads included (DMB ISH).
func FenceFull()

// FenceStoreStore orders stores before it before stores after it (DMB ISHST).
// A store-release does not hold back later stores here, so a word that must be
// seen before what follows it needs this fence behind it.
func FenceStoreStore()

// FenceLoadLoad orders loads before it before loads after it (DMB ISHLD). A
// load-acquire does not hold back earlier loads here, so a check that must
// come after reading needs this fence before it.
func FenceLoadLoad()

// Pause tells the processor n times that this is a spin loop; n is at least 1.
func Pause(n uint32)
