package shm

import (
	"fmt"
	"math"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/shmbus/shmbus/internal/failpoint"
)

// Operations and flags of futex(2) and futex_waitv(2), from include/uapi/linux/futex.h; x/sys has none of them.
const (
	futexOpWake       = 1
	futexOpWaitBitset = 9 // like FUTEX_WAIT, but with an absolute CLOCK_MONOTONIC deadline
	futexFlagPrivate  = 128
	futexFlagSize32   = 2
	futexMatchAny     = math.MaxUint32
)

// FutexWait blocks while *w is val, for at most d, until a FutexWake of any process. It returns nil when woken or when
// the value differs, also spuriously: the caller looks at its condition again. d ≤ 0 only compares. Signals do not end
// the wait. The word may lie in a read-only mapping; it must stay mapped until FutexWait returns. The goroutine
// occupies a thread meanwhile. Errors: ErrTimeout (not wrapped), or the kernel's errno (EFAULT: not mapped).
func FutexWait(w *Word32, val uint32, d time.Duration) error {
	return futexWait(Wait{Word: w, Value: val}, d)
}

// FutexWake wakes at most n of those that wait for w by FutexWait or FutexWaitMany, in any process, and returns how
// many it woke. It changes no memory: change the word first. Does not block.
func FutexWake(w *Word32, n int) int { return futexWake(w, n, 0) }

// FutexWakePrivate is FutexWake for those that wait with Wait.Private, in this process only.
func FutexWakePrivate(w *Word32, n int) int { return futexWake(w, n, futexFlagPrivate) }

// HaveWaitMany says whether the kernel can wait for several words (futex_waitv, Linux 5.16, and no sandbox that
// forbids it). The kernel is asked once per process.
func HaveWaitMany() bool { return haveWaitv() }

// FutexWaitMany blocks while each of the 1 to MaxWaits words has the value given with it, for at most d. It returns
// nil when any of them was woken or differs, also spuriously: the caller looks at all its conditions again. d ≤ 0 only
// compares. Signals do not end the wait. All words must stay mapped until it returns. Errors: ErrTimeout (not
// wrapped), ErrArgument (number of words), or the kernel's errno.
//
// Where HaveWaitMany is false it watches all words for change, but sleeps on the first only and for at most 2 ms at a
// time, then returns nil: put the word that is woken most often first.
func FutexWaitMany(ws []Wait, d time.Duration) error {
	if len(ws) == 0 || len(ws) > MaxWaits {
		return fmt.Errorf("%w: FutexWaitMany: got %d words, want 1 to %d", ErrArgument, len(ws), MaxWaits)
	}
	if len(ws) == 1 {
		return futexWait(ws[0], d)
	}
	if d <= 0 {
		return compare(ws)
	}
	if !haveWaitv() {
		return waitFirst(ws, d)
	}
	end := deadline(d)
	for {
		switch errno := futexWaitv(ws, end); errno {
		case 0, unix.EAGAIN:
			return nil
		case unix.ETIMEDOUT:
			return ErrTimeout
		case unix.EINTR:
			// A signal to this thread, most often the Go scheduler's own. The deadline is absolute: wait on.
		default:
			return fmt.Errorf("shm: futex_waitv for %d words: %w", len(ws), errno)
		}
	}
}

// haveWaitv asks the kernel to wait for no word at all: EINVAL if it knows the call, ENOSYS if it does not, EPERM or
// anything else if a sandbox refuses it.
var haveWaitv = sync.OnceValue(func() bool {
	return !failpoint.Enabled("shm.waitv") && futexWaitv(nil, 0) == unix.EINVAL
})

func futexWait(w Wait, d time.Duration) error {
	if d <= 0 {
		return compareOne(w)
	}
	op := uintptr(futexOpWaitBitset)
	if w.Private {
		op |= futexFlagPrivate
	}
	ts := unix.NsecToTimespec(deadline(d))
	for {
		switch _, errno := futex(w.Word, op, w.Value, &ts, futexMatchAny); errno {
		case 0, unix.EAGAIN:
			return nil
		case unix.ETIMEDOUT:
			return ErrTimeout
		case unix.EINTR:
			// As in FutexWaitMany.
		default:
			return fmt.Errorf("shm: futex wait: %w", errno)
		}
	}
}

func futexWake(w *Word32, n int, flags uintptr) int {
	if n <= 0 {
		return 0
	}
	// sync(futex-compare): the caller changed the word before; pairs with the compare of the sleeper, here or in the kernel
	woken, errno := futex(w, futexOpWake|flags, uint32(min(n, math.MaxInt32)), nil, 0)
	if errno != 0 {
		return 0
	}
	return woken
}

// waitFirst is FutexWaitMany without futex_waitv.
func waitFirst(ws []Wait, d time.Duration) error {
	if compare(ws) == nil {
		return nil
	}
	if err := futexWait(ws[0], min(d, fallbackSlice)); err != ErrTimeout {
		return err
	}
	if d > fallbackSlice {
		return nil
	}
	return compare(ws)
}

// compare returns nil if a word differs from the value seen in it, else ErrTimeout.
func compare(ws []Wait) error {
	for i := range ws {
		if compareOne(ws[i]) == nil {
			return nil
		}
	}
	return ErrTimeout
}

func compareOne(w Wait) error {
	// sync(futex-compare): pairs with the change of the word before futexWake
	if w.Word.Load() != w.Value {
		return nil
	}
	return ErrTimeout
}
