package shm

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

var page = int64(os.Getpagesize())

func newRegion(t *testing.T, size int64) *Region {
	t.Helper()
	r, err := Create("shm-test", size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func sealedRegion(t *testing.T, size int64) *Region {
	t.Helper()
	r := newRegion(t, size)
	if err := r.Seal(); err != nil {
		t.Fatal(err)
	}
	return r
}

func mapped(t *testing.T, r *Region, writable bool) *Mapping {
	t.Helper()
	m, err := r.Map(writable)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Unmap() })
	return m
}

func reopened(t *testing.T, r *Region, writable bool) *Region {
	t.Helper()
	o, err := r.Reopen(writable)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.Close() })
	return o
}

// wantError checks the sentinel and that the text carries the facts a reader needs.
func wantError(t *testing.T, err, want error, facts ...string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got error %v, want %v", err, want)
		return
	}
	for _, f := range facts {
		if !strings.Contains(err.Error(), f) {
			t.Errorf("got error %q, want it to say %q", err, f)
		}
	}
}

func stat(t *testing.T, f *os.File) unix.Stat_t {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	return st
}

func TestCreate(t *testing.T) {
	r := newRegion(t, 3*page)
	if r.Size() != 3*page || !r.Writable() {
		t.Errorf("got size %d, writable %v; want %d, true", r.Size(), r.Writable(), 3*page)
	}
	st := stat(t, r.File())
	if st.Size != 3*page || st.Blocks != 0 || st.Mode&0o7777 != 0o600 {
		t.Errorf("got size %d, %d blocks, mode %#o; want %d, none allocated, 0600", st.Size, st.Blocks, st.Mode&0o7777, 3*page)
	}
	flags, err := unix.FcntlInt(r.File().Fd(), unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("got descriptor flags %#x, error %v; want FD_CLOEXEC", flags, err)
	}
	for i, b := range mapped(t, r, false).Bytes() {
		if b != 0 {
			t.Fatalf("byte %d is %d, want 0", i, b)
		}
	}
}

func TestCreateRefuses(t *testing.T) {
	for _, size := range []int64{0, -1, -page, 1, page - 1, page + 1} {
		_, err := Create("x", size)
		wantError(t, err, ErrSize, "page size")
	}
	_, err := Create(strings.Repeat("x", 250), page)
	wantError(t, err, ErrArgument, "250 bytes", "at most 249")
	_, err = Create("a\x00b", page)
	wantError(t, err, ErrArgument)
	if r, err := Create(strings.Repeat("x", 249), page); err != nil {
		t.Error(err)
	} else if err := r.Close(); err != nil {
		t.Error(err)
	}
}

func TestSealFixesSize(t *testing.T) {
	r := newRegion(t, 2*page)
	if err := r.Seal(); err != nil {
		t.Fatal(err)
	}
	if err := r.Seal(); err != nil {
		t.Errorf("second Seal: %v", err)
	}
	fd := int(r.File().Fd())
	for _, size := range []int64{0, page, 3 * page} {
		if err := unix.Ftruncate(fd, size); err != unix.EPERM {
			t.Errorf("ftruncate to %d: got %v, want EPERM", size, err)
		}
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_WRITE); err != unix.EPERM {
		t.Errorf("add F_SEAL_WRITE: got %v, want EPERM", err)
	}
	if f, err := os.OpenFile(procPath(r), os.O_RDWR|os.O_TRUNC, 0); !errors.Is(err, unix.EPERM) {
		t.Errorf("open with O_TRUNC: got %v, %v; want EPERM", f, err)
	}
	if err := r.Allocate(0, 2*page); err != nil {
		t.Errorf("Allocate after Seal: %v", err)
	}
	mapped(t, r, true).Bytes()[2*page-1] = 1
}

func procPath(r *Region) string {
	return filepath.Join("/proc/self/fd", strconv.Itoa(int(r.File().Fd())))
}

func TestSealNeedsWritableDescriptor(t *testing.T) {
	r := reopened(t, newRegion(t, page), false)
	wantError(t, r.Seal(), unix.EPERM)
	wantError(t, r.Check(page), ErrUnsealed)
}

func TestCheck(t *testing.T) {
	if err := sealedRegion(t, page).Check(page); err != nil {
		t.Errorf("a sealed region of the right size: %v", err)
	}
	for _, seals := range []int{0, unix.F_SEAL_SEAL, unix.F_SEAL_SHRINK | unix.F_SEAL_SEAL, unix.F_SEAL_GROW | unix.F_SEAL_SHRINK,
		sealsRequired | unix.F_SEAL_FUTURE_WRITE, sealsRequired | unix.F_SEAL_WRITE} {
		r := newRegion(t, page)
		if _, err := unix.FcntlInt(r.File().Fd(), unix.F_ADD_SEALS, seals); err != nil {
			t.Fatal(err)
		}
		wantError(t, r.Check(page), ErrUnsealed, "exactly SHRINK|GROW|SEAL")
	}
	wantError(t, sealedRegion(t, page).Check(2*page), ErrSize, strconv.Itoa(int(page)), strconv.Itoa(int(2*page)))
	wantError(t, sealedRegion(t, 2*page).Check(page), ErrSize)
	wantError(t, sealedRegion(t, page).Check(0), ErrSize)
}

// A sender may change the size between our fstat and its sealing.
func TestCheckReadsSizeAfterSeals(t *testing.T) {
	r := newRegion(t, 4*page)
	received, err := FromFile(reopened(t, r, true).File())
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Ftruncate(int(r.File().Fd()), page); err != nil {
		t.Fatal(err)
	}
	if err := r.Seal(); err != nil {
		t.Fatal(err)
	}
	wantError(t, received.Check(4*page), ErrSize)
	wantError(t, received.Check(page), ErrSize)
}

func TestFromFile(t *testing.T) {
	r := sealedRegion(t, 2*page)
	mapped(t, r, true).Bytes()[page] = 42
	received, err := FromFile(reopened(t, r, false).File())
	if err != nil {
		t.Fatal(err)
	}
	if received.Size() != 2*page || received.Writable() {
		t.Errorf("got size %d, writable %v; want %d, false", received.Size(), received.Writable(), 2*page)
	}
	if err := received.Check(2 * page); err != nil {
		t.Error(err)
	}
	if got := mapped(t, received, false).Bytes()[page]; got != 42 {
		t.Errorf("got byte %d, want 42", got)
	}
}

func TestFromFileRefuses(t *testing.T) {
	_, err := FromFile(nil)
	wantError(t, err, ErrArgument)

	pipeEnd, other, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	files := map[string]*os.File{"pipe": pipeEnd}
	for name, path := range map[string]string{"device": "/dev/null", "proc": "/proc/uptime"} {
		if files[name], err = os.Open(path); err != nil {
			t.Fatal(err)
		}
	}
	for name, f := range files {
		t.Run(name, func(t *testing.T) {
			_, err := FromFile(f)
			wantError(t, err, ErrNotMemfd)
			if err := f.Close(); !errors.Is(err, os.ErrClosed) {
				t.Errorf("the refused file was left open (second close: %v)", err)
			}
		})
	}
}

// A file in a tmpfs knows seals, but is born unable to get any.
func TestFileInTmpfsIsRefused(t *testing.T) {
	f, err := os.CreateTemp("/dev/shm", "shm-test-*")
	if err != nil {
		t.Skipf("no tmpfs: %v", err)
	}
	defer os.Remove(f.Name())
	if err := f.Truncate(page); err != nil {
		t.Fatal(err)
	}
	r, err := FromFile(f)
	if err != nil {
		wantError(t, err, ErrNotMemfd)
		return
	}
	defer r.Close()
	wantError(t, r.Check(page), ErrUnsealed, "got SEAL")
}

func TestHugePagesAreRefused(t *testing.T) {
	fd, err := unix.MemfdCreate("huge", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|unix.MFD_HUGETLB)
	if err != nil {
		t.Skipf("no huge pages: %v", err)
	}
	_, err = FromFile(os.NewFile(uintptr(fd), "huge"))
	wantError(t, err, ErrNotMemfd, "tmpfs")
}

func TestAllocate(t *testing.T) {
	const size = 3*allocationStep + 1<<20 // several steps, the last a short one
	r := sealedRegion(t, size)
	if err := r.Allocate(page, page); err != nil {
		t.Fatal(err)
	}
	if got := stat(t, r.File()).Blocks * 512; got != page {
		t.Errorf("got %d bytes allocated, want %d", got, page)
	}
	b := mapped(t, r, true).Bytes()
	b[page] = 7
	if err := r.Allocate(0, size); err != nil {
		t.Fatal(err)
	}
	if got := stat(t, r.File()).Blocks * 512; got != size {
		t.Errorf("got %d bytes allocated, want %d", got, size)
	}
	if b[page] != 7 {
		t.Error("Allocate changed what was there")
	}
	if err := r.Allocate(size, 0); err != nil {
		t.Errorf("nothing at the end: %v", err)
	}
}

func TestAllocateRefuses(t *testing.T) {
	const maxOffset = 1<<63 - 1
	r := sealedRegion(t, 2*page)
	for _, c := range [][2]int64{{-1, 1}, {0, -1}, {0, 2*page + 1}, {page, page + 1}, {2*page + 1, 0}, {maxOffset, 1}, {1, maxOffset}} {
		wantError(t, r.Allocate(c[0], c[1]), ErrArgument, "Allocate")
	}
	wantError(t, reopened(t, r, false).Allocate(0, page), ErrReadOnly)
	if got := stat(t, r.File()).Blocks; got != 0 {
		t.Errorf("refused calls allocated %d blocks", got)
	}
}

func TestOutOfMemory(t *testing.T) {
	for _, errno := range []unix.Errno{unix.ENOSPC, unix.ENOMEM, unix.EDQUOT} {
		if !outOfMemory(errno) {
			t.Errorf("%v is not taken for want of memory", errno)
		}
	}
	for _, errno := range []unix.Errno{unix.EINTR, unix.EINVAL, unix.EBADF, unix.EFAULT} {
		if outOfMemory(errno) {
			t.Errorf("%v is taken for want of memory", errno)
		}
	}
}

func TestReopen(t *testing.T) {
	r := sealedRegion(t, page)
	mapped(t, r, true).Bytes()[0] = 9
	ro, rw := reopened(t, r, false), reopened(t, r, true)
	if ro.Writable() || !rw.Writable() {
		t.Errorf("got writable %v and %v, want false and true", ro.Writable(), rw.Writable())
	}
	for _, o := range []*Region{ro, rw} {
		if err := o.Check(page); err != nil {
			t.Error(err)
		}
		if got := mapped(t, o, false).Bytes()[0]; got != 9 {
			t.Errorf("got byte %d, want 9: not the same memory", got)
		}
		flags, err := unix.FcntlInt(o.File().Fd(), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("got descriptor flags %#x, error %v; want FD_CLOEXEC", flags, err)
		}
	}
}

func TestClosedRegion(t *testing.T) {
	r := sealedRegion(t, page)
	m := mapped(t, r, true)
	for range 2 {
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	m.Bytes()[0] = 1 // outlives the descriptor
	if r.Writable() {
		t.Error("a closed region says it is writable")
	}
	wantError(t, r.Check(page), os.ErrClosed)
	wantError(t, r.Seal(), os.ErrClosed)
	_, err := r.Reopen(true)
	wantError(t, err, os.ErrClosed)
	if _, err := r.Map(false); err == nil {
		t.Error("a closed region was mapped")
	}
}

func TestSealNames(t *testing.T) {
	for seals, want := range map[int]string{0: "none", sealsRequired: "SHRINK|GROW|SEAL", 1 << 12: "0x1000", unix.F_SEAL_WRITE | unix.F_SEAL_EXEC: "WRITE|EXEC"} {
		if got := sealNames(seals); got != want {
			t.Errorf("%#x: got %s, want %s", seals, got, want)
		}
	}
}
