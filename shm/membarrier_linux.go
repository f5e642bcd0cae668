package shm

import (
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/shmbus/shmbus/internal/failpoint"
)

// Commands of membarrier(2), from include/uapi/linux/membarrier.h; x/sys has none of them.
const (
	membarrierCmdQuery                    = 0
	membarrierCmdGlobalExpedited          = 1 << 1
	membarrierCmdRegisterGlobalExpedited  = 1 << 2
	membarrierCmdPrivateExpedited         = 1 << 3
	membarrierCmdRegisterPrivateExpedited = 1 << 4
)

// What the kernel offers and what this process has registered for: facts of the process, found out once.
var (
	membarrierCommands  = sync.OnceValue(queryMembarrier)
	globalRegistration  = sync.OnceValue(registerGlobal)
	privateRegistration = sync.OnceValue(registerPrivate)
)

// HaveMembarrier says whether Membarrier works here. The kernel is asked once per process.
func HaveMembarrier() bool {
	const need = membarrierCmdGlobalExpedited | membarrierCmdRegisterGlobalExpedited
	return membarrierCommands()&need == need
}

// RegisterMembarrier makes the threads of this process take part in the Membarrier of other processes. It must have
// succeeded before the process touches a word whose other side relies on Membarrier. Only the first call asks the
// kernel, which may block for some milliseconds. The registration lasts until the process ends or executes another
// program. Errors: ErrNoMembarrier.
func RegisterMembarrier() error { return globalRegistration() }

// Membarrier makes every running thread of every registered process execute a full memory fence before it returns;
// threads that are not running have executed one since they last ran. The caller need not be registered. Costs about
// 0.5 µs and an interrupt of every CPU that runs a registered process. Errors: ErrNoMembarrier; the caller must then
// not rely on any order.
func Membarrier() error {
	if !HaveMembarrier() {
		return ErrNoMembarrier
	}
	return membarrier(membarrierCmdGlobalExpedited, membarrierGlobal)
}

// MembarrierProcess is Membarrier for the threads of this process only; it registers the process by itself, once.
// Errors: ErrNoMembarrier; the caller must then not rely on any order.
func MembarrierProcess() error {
	if err := privateRegistration(); err != nil {
		return err
	}
	return membarrier(membarrierCmdPrivateExpedited, membarrierProcess)
}

func queryMembarrier() int {
	if failpoint.Enabled("shm.membarrier") {
		return 0
	}
	commands, _, errno := unix.Syscall(unix.SYS_MEMBARRIER, membarrierCmdQuery, 0, 0)
	if errno != 0 {
		return 0
	}
	return int(commands)
}

func registerGlobal() error {
	if !HaveMembarrier() {
		return ErrNoMembarrier
	}
	return membarrier(membarrierCmdRegisterGlobalExpedited, registerMembarrier)
}

func registerPrivate() error {
	const need = membarrierCmdPrivateExpedited | membarrierCmdRegisterPrivateExpedited
	if membarrierCommands()&need != need {
		return ErrNoMembarrier
	}
	return membarrier(membarrierCmdRegisterPrivateExpedited, registerMembarrier)
}

func membarrier(command uintptr, operation string) error {
	if _, _, errno := unix.Syscall(unix.SYS_MEMBARRIER, command, 0, 0); errno != 0 {
		return fmt.Errorf("%w: %s: membarrier(2) command %#x: %w", ErrNoMembarrier, operation, command, errno)
	}
	return nil
}
