//go:build failpoint && linux

package failpoint

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

func kill() { signalSelf(unix.SIGKILL) }
func stop() { signalSelf(unix.SIGSTOP) }

// signalSelf directs the signal at the calling thread. A signal to the process as a whole may be taken by another
// thread, and the caller would run on for some instructions; this one acts before the system call returns.
func signalSelf(s unix.Signal) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Tgkill(unix.Getpid(), unix.Gettid(), s); err != nil {
		panic(fmt.Sprintf("failpoint: tgkill(%v) of the own thread: %v", s, err))
	}
}
