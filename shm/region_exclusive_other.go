//go:build !linux

package shm

// SealSize returns ErrUnsupported on this system.
func (r *Region) SealSize() error { return unsupported("SealSize") }

// SealWrites returns ErrUnsupported on this system.
func (r *Region) SealWrites() error { return unsupported("SealWrites") }

// WritesSealed is false on this system.
func (r *Region) WritesSealed() bool { return false }

// CheckExclusive returns ErrUnsupported on this system.
func (r *Region) CheckExclusive(wantSize int64, writer bool) error {
	return unsupported("CheckExclusive")
}
