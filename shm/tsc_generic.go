//go:build !amd64 && !arm64

package shm

// TSC returns the processor's time stamp counter; there is none that we can
// read here, so it returns [Now].
func TSC() uint64 { return uint64(Now()) }

// tscClockSource is the name under which the kernel uses the counter.
const tscClockSource = ""
