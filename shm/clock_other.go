//go:build !linux

package shm

func rawMonotonic() (int64, bool) { return 0, false }
