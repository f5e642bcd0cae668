//go:build !linux

package shm

// HaveMembarrier says whether Membarrier works here: never on this system.
func HaveMembarrier() bool { return false }

// RegisterMembarrier returns ErrUnsupported on this system.
func RegisterMembarrier() error { return unsupported(registerMembarrier) }

// Membarrier returns ErrUnsupported on this system.
func Membarrier() error { return unsupported(membarrierGlobal) }

// MembarrierProcess returns ErrUnsupported on this system.
func MembarrierProcess() error { return unsupported(membarrierProcess) }
