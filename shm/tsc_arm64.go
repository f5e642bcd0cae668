package shm

// TSC returns the processor's time stamp counter, here the virtual counter
// CNTVCT_EL0. It is neither a fence nor held back by one: the processor may
// read it a few dozen instructions early or late. Of use as a clock only where
// [TSCUsable]; [TSCScale] makes nanoseconds of it.
func TSC() uint64

// tscClockSource is the name under which the kernel uses the counter.
const tscClockSource = "arch_sys_counter"
