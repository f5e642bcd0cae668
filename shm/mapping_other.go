//go:build !linux

package shm

// Populate returns ErrUnsupported on this system.
func (m *Mapping) Populate(off, n int64) error { return unsupported("Populate") }

// Unmap does nothing on this system, where no mapping can be made.
func (m *Mapping) Unmap() error { return nil }
