//go:build !linux

package shm

import (
	"fmt"
	"runtime"
)

// unsupported is what every operation returns where Linux is missing.
func unsupported(operation string) error {
	return fmt.Errorf("shm: %s on %s/%s: %w", operation, runtime.GOOS, runtime.GOARCH, ErrUnsupported)
}
