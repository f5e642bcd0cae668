package shm

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSealWrites: after it nobody gets at the memory for writing, by any way
// there is, root included; who mapped it before goes on.
func TestSealWrites(t *testing.T) {
	const size = 8192
	r, err := Create("exclusive", size)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := errors.Join(r.Allocate(0, size), r.SealSize()); err != nil {
		t.Fatal(err)
	}
	if err := r.CheckExclusive(size, false); !errors.Is(err, ErrUnsealed) {
		t.Errorf("before: %v, want ErrUnsealed", err)
	}
	if err := r.CheckExclusive(size, true); err != nil {
		t.Errorf("before, for the writer: %v", err)
	}
	writer, err := r.Map(true)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Unmap()
	for range 2 {
		if err := r.SealWrites(); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(r.CheckExclusive(size, false), r.CheckExclusive(size, true)); err != nil || !r.WritesSealed() {
		t.Fatalf("after: %v", err)
	}
	if err := r.Check(size); !errors.Is(err, ErrUnsealed) {
		t.Errorf("as an ordinary region: %v, want ErrUnsealed", err)
	}
	again, err := os.OpenFile(fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), r.File().Fd()), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	fd := int(again.Fd())
	for what, try := range map[string]func() error{
		"a writable mapping": func() error {
			_, err := unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
			return err
		},
		"mprotect of a read-only mapping": func() error {
			b, err := unix.Mmap(fd, 0, size, unix.PROT_READ, unix.MAP_SHARED)
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Munmap(b)
			return unix.Mprotect(b, unix.PROT_READ|unix.PROT_WRITE)
		},
		"write":    func() error { _, err := again.WriteAt([]byte("x"), 0); return err },
		"a hole":   func() error { return unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, 4096) },
		"truncate": func() error { return again.Truncate(0) },
		"growth":   func() error { return again.Truncate(2 * size) },
		"a seal": func() error {
			_, err := unix.FcntlInt(again.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_WRITE)
			return err
		},
	} {
		if err := try(); !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EACCES) {
			t.Errorf("%s: got %v, want EPERM or EACCES", what, err)
		}
	}
	writer.Bytes()[5000] = 7
	b := make([]byte, 1)
	if _, err := again.ReadAt(b, 5000); err != nil || b[0] != 7 {
		t.Errorf("what the writer wrote reads as %d, %v", b[0], err)
	}
}
