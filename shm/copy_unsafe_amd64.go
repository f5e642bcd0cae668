//go:build !race

package shm

import (
	"unsafe"

	"golang.org/x/sys/cpu"

	"github.com/shmbus/shmbus/internal/trick"
)

// repMovsb says that REP MOVSB copies fast (CPUID's ERMS).
var repMovsb = cpu.X86.HasERMS && trick.CopyAtOnce

// copyAtOnce is REP MOVSB. The stores of one such instruction may become
// visible in any order among themselves, but before every store that follows
// it: a commit word still is a release.
//
//go:noescape
func copyAtOnce(dst, src unsafe.Pointer, n uint64) // Safe: touches n bytes of each, which are there by the caller's check
