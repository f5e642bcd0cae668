//go:build !linux

package shm

import "time"

// FutexWait returns ErrUnsupported on this system.
func FutexWait(w *Word32, val uint32, d time.Duration) error { return unsupported("FutexWait") }

// FutexWake wakes nobody on this system.
func FutexWake(w *Word32, n int) int { return 0 }

// FutexWakePrivate wakes nobody on this system.
func FutexWakePrivate(w *Word32, n int) int { return 0 }

// HaveWaitMany says whether the kernel can wait for several words: never on this system.
func HaveWaitMany() bool { return false }

// FutexWaitMany returns ErrUnsupported on this system.
func FutexWaitMany(ws []Wait, d time.Duration) error { return unsupported("FutexWaitMany") }
