package shm

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// waitv is struct futex_waitv of include/uapi/linux/futex.h. The address is held as a pointer, so that the runtime
// keeps the word alive and follows it should the stack move.
type waitv struct {
	value uint64
	word  *Word32
	_     [8 - unsafe.Sizeof(uintptr(0))]byte // the kernel's field is 64 bits wide everywhere
	flags uint32
	_     uint32
}

// The kernel reads an array of these: 24 bytes each.
var _ [24]byte = [unsafe.Sizeof(waitv{})]byte{}

// kernelTimespec is struct __kernel_timespec: 64 bits each on every architecture.
type kernelTimespec struct{ seconds, nanoseconds int64 }

// futex makes one futex(2) call: op on w, with the value (or count) val. It goes through the scheduler, so a blocked
// call holds a thread but no processor of the Go runtime.
func futex(w *Word32, op uintptr, val uint32, ts *unix.Timespec, mask uint32) (int, unix.Errno) {
	// Safe: both pointers are converted in the argument list, which keeps their targets alive and in place until the
	// call returns; the kernel only compares *w, and answers EFAULT should it not be mapped.
	n, _, errno := unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(w)), op, uintptr(val), uintptr(unsafe.Pointer(ts)), 0, uintptr(mask))
	return int(n), errno
}

// futexWaitv makes one futex_waitv(2) call for at most MaxWaits words, until CLOCK_MONOTONIC is end nanoseconds.
func futexWaitv(ws []Wait, end int64) unix.Errno {
	var list [MaxWaits]waitv
	for i := range ws {
		v := waitv{value: uint64(ws[i].Value), word: ws[i].Word, flags: futexFlagSize32}
		if ws[i].Private {
			v.flags |= futexFlagPrivate
		}
		list[i] = v
	}
	ts := kernelTimespec{seconds: end / 1e9, nanoseconds: end % 1e9}
	// Safe: list and ts are converted in the argument list and stay alive and in place until the call returns; the
	// words are held by list. The kernel only reads len(ws) ≤ MaxWaits elements.
	_, _, errno := unix.Syscall6(unix.SYS_FUTEX_WAITV, uintptr(unsafe.Pointer(&list[0])), uintptr(len(ws)), 0, uintptr(unsafe.Pointer(&ts)), unix.CLOCK_MONOTONIC, 0)
	return errno
}
