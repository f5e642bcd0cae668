package shm

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// A region that one process alone may write is sealed in two steps, with that process's mapping made between them:
//
//	SealSize ──▶ the writer maps it ──▶ SealWrites: SHRINK|GROW|FUTURE_WRITE|SEAL
//
// From then on nobody, root included, gets a writable mapping, whichever way it opens the memfd, nor can anybody
// write(2) or punch holes; mappings made before stay as they are.
const (
	sealsSize      = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW
	sealsExclusive = sealsRequired | unix.F_SEAL_FUTURE_WRITE
)

// SealSize fixes the region's size, and leaves room for SealWrites. Errors: the kernel's errno.
func (r *Region) SealSize() error { return r.addSeals(sealsSize) }

// SealWrites makes every future mapping read-only, for everybody and for ever. Idempotent. Errors: the kernel's errno
// (EPERM: sealed otherwise already, or opened for reading only).
func (r *Region) SealWrites() error {
	if seals, err := r.seals(); err == nil && seals&sealsExclusive == sealsExclusive {
		return nil
	}
	return r.addSeals(unix.F_SEAL_FUTURE_WRITE | unix.F_SEAL_SEAL)
}

func (r *Region) addSeals(seals int) error {
	return r.control("seal", func(fd int) error {
		_, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals)
		return err
	})
}

// WritesSealed says whether SealWrites was called.
func (r *Region) WritesSealed() bool {
	seals, err := r.seals()
	return err == nil && seals&sealsExclusive == sealsExclusive
}

// CheckExclusive is Check for a region of one writer: sealed against writing too, or, for that writer before SealWrites,
// against a change of size at least. Errors: ErrUnsealed, ErrSize, ErrNotMemfd.
func (r *Region) CheckExclusive(wantSize int64, writer bool) error {
	seals, err := r.seals()
	if err != nil {
		return err
	}
	got := seals &^ unix.F_SEAL_EXEC
	if got != sealsExclusive && !(writer && got == sealsSize) {
		return fmt.Errorf("%w: region %q: got %s, want exactly %s (EXEC may be added)", ErrUnsealed, r.name, sealNames(seals), sealNames(sealsExclusive))
	}
	return r.checkSize(wantSize)
}
