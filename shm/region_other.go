//go:build !linux

package shm

import (
	"errors"
	"fmt"
	"os"
)

// Create returns ErrUnsupported on this system.
func Create(name string, size int64) (*Region, error) { return nil, unsupported("Create") }

// FromFile returns ErrUnsupported on this system; it closes f.
func FromFile(f *os.File) (*Region, error) {
	if f == nil {
		return nil, fmt.Errorf("%w: FromFile: got no file", ErrArgument)
	}
	return nil, errors.Join(unsupported("FromFile"), f.Close())
}

// Allocate returns ErrUnsupported on this system.
func (r *Region) Allocate(off, n int64) error { return unsupported("Allocate") }

// Seal returns ErrUnsupported on this system.
func (r *Region) Seal() error { return unsupported("Seal") }

// Check returns ErrUnsupported on this system.
func (r *Region) Check(wantSize int64) error { return unsupported("Check") }

// Writable is false on this system.
func (r *Region) Writable() bool { return false }

// Reopen returns ErrUnsupported on this system.
func (r *Region) Reopen(writable bool) (*Region, error) { return nil, unsupported("Reopen") }

// Map returns ErrUnsupported on this system.
func (r *Region) Map(writable bool) (*Mapping, error) { return nil, unsupported("Map") }
