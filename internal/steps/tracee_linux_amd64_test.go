package steps

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// hangLimit is when a participant that makes no progress is called hung: one
// that does not stop again, not one that has many stops to make. Nothing here
// takes as long, even on a machine that is busy with other things.
const hangLimit = 30 * time.Second

// startLimit is hangLimit until its first marker: until then it registers for
// membarriers, and the kernel waits for every processor, however busy.
const startLimit = 2 * time.Minute

// tracee is a process whose main thread is traced. All methods but the
// watchdog are called by the thread that started it.
type tracee struct {
	pid     int
	regs    unix.PtraceRegs
	limit   time.Duration // hangLimit, but at the start and where that is tested
	watch   *time.Timer   // runs while the process is waited for
	hung    atomic.Bool
	gone    bool
	private bool // the sleep that step reported is the runtime's own

	mu   sync.Mutex // the watchdog comes from another thread
	held []int      // other threads, traced and stopped
}

var (
	errEnded  = errors.New("the process ended by itself")
	errMissed = errors.New("the process did not come by that instruction again")
	errHung   = errors.New("hung")
)

// startTracee executes this test binary again as what is said, and lets it run
// to its first marker.
func startTracee(what string, files []uintptr) (*tracee, error) {
	env := []string{
		roleVariable + "=" + what, "GOGC=off", "GODEBUG=asyncpreemptoff=1", "GOMAXPROCS=1", "GOTRACEBACK=single",
	}
	pid, err := syscall.ForkExec("/proc/self/exe", []string{"victim"}, &syscall.ProcAttr{
		Env: env, Files: append([]uintptr{0, 2, 2}, files...), Sys: &syscall.SysProcAttr{Ptrace: true, Pdeathsig: syscall.SIGKILL},
	})
	if err != nil {
		return nil, fmt.Errorf("executing a traced process: %w", err)
	}
	t := &tracee{pid: pid, limit: startLimit}
	t.watch = time.AfterFunc(startLimit, t.bite)
	if err = t.await(); err == nil {
		err = unix.PtraceSetOptions(pid, unix.PTRACE_O_EXITKILL)
	}
	if err == nil {
		err = t.toMarker()
	}
	if err != nil {
		t.kill()
		return nil, err
	}
	t.limit = hangLimit
	return t, nil
}

// bite is what the watchdog does: whoever waits for the process learns then
// that it is no more.
func (t *tracee) bite() {
	t.hung.Store(true)
	_ = unix.Kill(t.pid, unix.SIGKILL)
	t.reap()
}

// reap waits for the held threads of a process that is killed. Before that the
// kernel reports no end of the main thread.
func (t *tracee) reap() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, tid := range t.held {
		for {
			var ws unix.WaitStatus
			_, err := unix.Wait4(tid, &ws, unix.WALL, nil)
			if err != nil && err != unix.EINTR || err == nil && (ws.Exited() || ws.Signaled()) {
				break
			}
		}
	}
	t.held = nil
}

// await waits until the main thread has stopped by a trap, and reads its
// registers.
func (t *tracee) await() error {
	t.watch.Reset(t.limit)
	defer t.watch.Stop()
	for {
		var ws unix.WaitStatus
		_, err := unix.Wait4(t.pid, &ws, unix.WALL, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("waiting for process %d: %w", t.pid, err)
		}
		if stopped, err := t.stopped(ws); stopped || err != nil {
			return err
		}
	}
}

// stopped reports whether ws is the trap that was waited for; other signals go
// through to the process.
func (t *tracee) stopped(ws unix.WaitStatus) (bool, error) {
	switch {
	case ws.Exited() || ws.Signaled():
		t.gone = true
		if t.hung.Load() {
			return false, t.isHung()
		}
		return false, fmt.Errorf("%w: %v", errEnded, ws)
	case !ws.Stopped():
		return false, nil
	case ws.StopSignal() != unix.SIGTRAP:
		return false, unix.PtraceCont(t.pid, int(ws.StopSignal()))
	}
	return true, unix.PtraceGetRegs(t.pid, &t.regs)
}

func (t *tracee) isHung() error {
	return fmt.Errorf("%w: process %d ran for %v without coming to a stop, last from %s", errHung, t.pid, t.limit, place(uintptr(t.regs.Rip)))
}

// toMarker lets the process run to its next marker.
func (t *tracee) toMarker() error {
	if err := unix.PtraceCont(t.pid, 0); err != nil {
		return err
	}
	if err := t.await(); err != nil {
		return err
	}
	if uintptr(t.regs.Rip) != marker()+1 {
		return fmt.Errorf("process %d stopped at %s, want a marker", t.pid, place(uintptr(t.regs.Rip)))
	}
	return nil
}

// step executes one instruction. It reports whether the thread sleeps in the
// kernel instead of coming back; then await returns when it does.
func (t *tracee) step() (asleep bool, err error) {
	call := isCall(uintptr(t.regs.Rip))
	if err := unix.PtraceSingleStep(t.pid); err != nil {
		return false, err
	}
	if !call {
		return false, t.await()
	}
	return t.awaitOrSleep()
}

// awaitOrSleep waits until the thread stops, or sleeps for as long as a few
// looks.
func (t *tracee) awaitOrSleep() (asleep bool, err error) {
	t.watch.Reset(t.limit)
	defer t.watch.Stop()
	for looks := 0; ; {
		var ws unix.WaitStatus
		pid, err := unix.Wait4(t.pid, &ws, unix.WALL|unix.WNOHANG, nil)
		if err != nil && err != unix.EINTR {
			return false, err
		}
		if pid == t.pid {
			if stopped, err := t.stopped(ws); stopped || err != nil {
				return false, err
			}
			continue
		}
		if t.sleeps() {
			if looks++; looks == 5 {
				return true, nil
			}
		} else {
			looks = 0
		}
		nap()
	}
}

// sleeps looks whether the thread sleeps in a system call that others end.
func (t *tracee) sleeps() bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/syscall", t.pid, t.pid))
	fields := bytes.Fields(b)
	if err != nil || len(fields) < 4 {
		return false // running
	}
	number, _ := strconv.Atoi(string(fields[0]))
	operation, _ := strconv.ParseUint(string(fields[2]), 0, 64)
	switch number {
	case unix.SYS_FUTEX:
		t.private = operation&futexPrivate != 0
	case unix.SYS_FUTEX_WAITV:
		t.private = false
	case unix.SYS_EPOLL_PWAIT, unix.SYS_EPOLL_WAIT:
		t.private = true
	default:
		return false
	}
	return true
}

// nap lets others run for a moment.
func nap() {
	ts := unix.Timespec{Nsec: 20_000}
	_ = unix.Nanosleep(&ts, nil)
}

// runTo runs until the thread has come to address n times, not counting that it
// may stand there now. Its breakpoint is a register of the processor,
// which is the thread's own: another thread that comes by is not stopped, as
// it would be, for good, by an instruction put there.
func (t *tracee) runTo(address uintptr, n int) error {
	for n > 0 && uintptr(t.regs.Rip) == address { // more than once where it repeats itself
		asleep, err := t.step()
		if asleep {
			err = t.await()
		}
		if err != nil {
			return err
		}
	}
	if n == 0 {
		return nil
	}
	if err := errors.Join(t.setDebugRegister(0, address), t.setDebugRegister(7, 1)); err != nil {
		return fmt.Errorf("breakpoint at %s: %w", place(address), err)
	}
	for ; n > 0; n-- {
		if err := unix.PtraceCont(t.pid, 0); err != nil {
			return err
		}
		if err := t.await(); err != nil {
			return err
		}
		if uintptr(t.regs.Rip) != address {
			return errMissed
		}
	}
	return t.setDebugRegister(7, 0)
}

// setDebugRegister sets a debug register of the thread: 0 is an address, 7
// says that it stops.
func (t *tracee) setDebugRegister(n, value uintptr) error {
	const debugRegisters = 848 // offset in the kernel's struct user
	_, _, e := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_POKEUSR, uintptr(t.pid), debugRegisters+8*n, value, 0, 0)
	if e != 0 {
		return e
	}
	return nil
}

const (
	int3         = 0xcc
	futexPrivate = 128 // in a futex operation: the word is not shared
)

// hold stops the process's other threads.
func (t *tracee) hold() error {
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", t.pid))
	if err != nil {
		return err
	}
	for _, e := range list {
		tid, _ := strconv.Atoi(e.Name())
		if tid == t.pid || slices.Contains(t.held, tid) {
			continue
		}
		if err := t.holdOne(tid); err != nil {
			return err
		}
	}
	return nil
}

func (t *tracee) holdOne(tid int) error {
	t.mu.Lock()
	seized := unix.PtraceSeize(tid) == nil // otherwise it has ended meanwhile
	if seized {
		t.held = append(t.held, tid) // from now on its end is to be waited for
	}
	t.mu.Unlock()
	if !seized {
		return nil
	}
	t.watch.Reset(t.limit)
	defer t.watch.Stop()
	var ws unix.WaitStatus
	err := unix.PtraceInterrupt(tid)
	if err == nil || err == unix.ESRCH { // ending: that is waited for as well
		_, err = unix.Wait4(tid, &ws, unix.WALL, nil)
	}
	switch {
	case t.hung.Load():
		return t.isHung()
	case err == nil && ws.Exited():
		t.mu.Lock()
		t.held = t.held[:len(t.held)-1]
		t.mu.Unlock()
	}
	return err
}

// release lets them go on.
func (t *tracee) release() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.held) > 0 {
		last := len(t.held) - 1
		if err := unix.PtraceDetach(t.held[last]); err != nil {
			return err
		}
		t.held = t.held[:last]
	}
	return nil
}

// kill ends the process by SIGKILL where it stands, and returns when it is no
// more.
func (t *tracee) kill() {
	if t == nil {
		return
	}
	t.watch.Stop()
	if !t.gone {
		_ = unix.Kill(t.pid, unix.SIGKILL)
		t.reap()
		for !t.gone {
			var ws unix.WaitStatus
			_, err := unix.Wait4(t.pid, &ws, unix.WALL, nil)
			t.gone = err != nil && err != unix.EINTR || ws.Exited() || ws.Signaled()
		}
	}
}

// place names an instruction.
func place(address uintptr) string {
	f := runtime.FuncForPC(address)
	if f == nil {
		return fmt.Sprintf("%#x (vDSO)", address)
	}
	file, line := f.FileLine(address)
	return fmt.Sprintf("%#x, %s (%s:%d)", address, f.Name(), filepath.Base(file), line)
}
