package shm

import (
	"errors"
	"fmt"
	"os"
)

// allocationStep bounds one fallocate and one populate call, so that a signal undoes little and no lock of the kernel
// is held for long.
const allocationStep = 16 << 20

// Region is a memfd: a piece of memory without a name in the file system, which other processes map once they have
// its descriptor. It owns the descriptor, not the mappings made from it, which outlive it.
//
// All methods may be called concurrently, except Close with any other.
type Region struct {
	file *os.File
	name string
	size int64
}

// File returns the region's descriptor, to send to another process. It stays the region's: do not close it, and do
// not use it after Close.
func (r *Region) File() *os.File { return r.file }

// Size returns the region's length in bytes, as created or as found by FromFile.
func (r *Region) Size() int64 { return r.size }

// Close closes the descriptor. Mappings stay valid; the memory is freed when the last mapping and descriptor of any
// process is gone. Idempotent.
func (r *Region) Close() error {
	if err := r.file.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("shm: close region %q: %w", r.name, err)
	}
	return nil
}

// checkRange refuses a range that is not within size bytes.
func checkRange(operation string, off, n, size int64) error {
	if off < 0 || n < 0 || off > size || n > size-off {
		return fmt.Errorf("%w: %s: got offset %d and length %d, want a range within %d bytes", ErrArgument, operation, off, n, size)
	}
	return nil
}
