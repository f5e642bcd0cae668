package shm

// Why membarrier: where one side is hot and the other rare (entering the lock against ending its bias; committing
// against going to sleep), both need a store→load fence. The rare side issues membarrier instead, which makes every
// running thread of every registered process execute a full fence, so the hot side needs none: a plain store followed
// by a load in program order suffices there.

const (
	registerMembarrier = "register for membarrier"
	membarrierGlobal   = "membarrier"
	membarrierProcess  = "membarrier of this process"
)
