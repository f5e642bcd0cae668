//go:build !race

package shm

// amd64 keeps stores in program order (TSO), so a plain MOV is a
// store-release. The program's order is the compiler's: it threads all memory
// operations of a function on one chain, in source order, and moves no store
// past another; what it may do is leave out a store that the next one to the
// same word makes invisible, with no load, call or atomic in between, and no
// caller stores a word twice like that. Written out in Go a store costs
// nothing over an assignment; a call of assembly cost 1.2 ns and made the
// caller keep its registers in memory.

func storeRelease64(p *uint64, v uint64) { *p = v }

func storeRelease32(p *uint32, v uint32) { *p = v }

func storeReleaseBoth(p *uint64, v uint64, q *uint32, w uint32) {
	*p = v
	*q = w
}

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
