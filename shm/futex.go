package shm

import "time"

// MaxWaits is the largest number of words FutexWaitMany takes, the kernel's limit.
const MaxWaits = 128

// fallbackSlice bounds one wait of FutexWaitMany where the kernel cannot watch several words: a change of any word
// but the first is noticed only after it.
const fallbackSlice = 2 * time.Millisecond

// Wait is a word to sleep on and the value that the caller saw in it last.
type Wait struct {
	Word  *Word32 // may lie in a read-only mapping
	Value uint32
	// Private: the word lies in memory of this process only and is woken by FutexWakePrivate. Otherwise it lies in a
	// shared mapping (or is used as if it did) and is woken by FutexWake, by any process that maps it.
	Private bool
}
