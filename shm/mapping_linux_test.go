package shm

import (
	"bytes"
	"os"
	"runtime/debug"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMapIsShared(t *testing.T) {
	r := sealedRegion(t, 2*page)
	a, b := mapped(t, r, true).Bytes(), mapped(t, reopened(t, r, false), false).Bytes()
	if int64(len(a)) != 2*page || cap(a) != len(a) {
		t.Errorf("got length %d, capacity %d; want %d", len(a), cap(a), 2*page)
	}
	copy(a[page-2:], "over a page")
	if !bytes.Equal(a, b) {
		t.Error("what was written in one mapping is not in the other")
	}
}

func TestMapRefuses(t *testing.T) {
	ro := reopened(t, sealedRegion(t, page), false)
	_, err := ro.Map(true)
	wantError(t, err, ErrReadOnly)

	fd, err := unix.MemfdCreate("empty", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	empty, err := FromFile(os.NewFile(uintptr(fd), "empty"))
	if err != nil {
		t.Fatal(err)
	}
	defer empty.Close()
	_, err = empty.Map(false)
	wantError(t, err, ErrSize)
}

// write stores a byte and says whether it could.
func write(b []byte) (ok bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() { ok = recover() == nil }()
	b[0] = 1
	return true
}

func TestReadOnlyMappingFaultsOnWrite(t *testing.T) {
	r := sealedRegion(t, page)
	ro := reopened(t, r, false)
	b := mapped(t, ro, false).Bytes()
	if write(b) {
		t.Error("a write to a read-only mapping went through")
	}
	if err := unix.Mprotect(b, unix.PROT_READ|unix.PROT_WRITE); err != unix.EACCES {
		t.Errorf("mprotect to writable: got %v, want EACCES", err)
	}
	if write(mapped(t, r, false).Bytes()) {
		t.Error("a write to a read-only mapping of a writable descriptor went through")
	}
	if !write(mapped(t, r, true).Bytes()) || b[0] != 1 {
		t.Error("a write to a writable mapping did not go through")
	}
}

func TestPopulate(t *testing.T) {
	notEmulated(t, "qemu-user takes madvise for a hint and does nothing")
	const pages = 8
	r := sealedRegion(t, pages*page)
	w := mapped(t, r, true)
	w.Bytes()[3*page] = 5
	if err := w.Populate(2*page+1, 2*page); err != nil { // touches pages 2, 3 and 4
		t.Fatal(err)
	}
	if got := stat(t, r.File()).Blocks * 512; got != 3*page {
		t.Errorf("got %d bytes allocated, want %d", got, 3*page)
	}
	if got := w.Bytes()[3*page]; got != 5 {
		t.Errorf("Populate changed a byte to %d, want 5", got)
	}
	if err := w.Populate(0, pages*page); err != nil {
		t.Error(err)
	}
	ro := mapped(t, r, false)
	if err := ro.Populate(0, pages*page); err != nil {
		t.Errorf("read-only: %v", err)
	}
	if err := ro.Populate(pages*page, 0); err != nil {
		t.Errorf("nothing at the end: %v", err)
	}
	for _, c := range [][2]int64{{-1, 1}, {0, -1}, {0, pages*page + 1}, {1, 1<<63 - 1}} {
		wantError(t, w.Populate(c[0], c[1]), ErrArgument, "Populate")
	}
}

func TestPopulateOfSeveralSteps(t *testing.T) {
	notEmulated(t, "qemu-user takes madvise for a hint and does nothing")
	const size = 2*allocationStep + 1<<20
	r := sealedRegion(t, size)
	if err := mapped(t, r, true).Populate(0, size); err != nil {
		t.Fatal(err)
	}
	if got := stat(t, r.File()).Blocks * 512; got != size {
		t.Errorf("got %d bytes allocated, want %d", got, size)
	}
}

// An unsealed file that shrank: the error comes from Populate instead of SIGBUS at the first access.
func TestPopulateBeyondTheFile(t *testing.T) {
	notEmulated(t, "qemu-user takes madvise for a hint and does nothing")
	r := newRegion(t, 2*page)
	m := mapped(t, r, true)
	if err := unix.Madvise(m.Bytes(), unix.MADV_POPULATE_WRITE); err == unix.EINVAL {
		t.Skip("kernel without MADV_POPULATE_WRITE: nothing tells beforehand")
	}
	if err := unix.Ftruncate(int(r.File().Fd()), page); err != nil {
		t.Fatal(err)
	}
	wantError(t, m.Populate(0, 2*page), unix.EFAULT, "populate")
}

func TestTouchIsThePopulateOfOlderKernels(t *testing.T) {
	r := sealedRegion(t, 4*page)
	b := mapped(t, r, true).Bytes()
	b[2*page], b[2*page+3] = 1, 255
	before := bytes.Clone(b[2*page:])
	touch(b[2*page:], page, true)
	if got := stat(t, r.File()).Blocks * 512; got != 2*page {
		t.Errorf("got %d bytes allocated, want %d", got, 2*page)
	}
	touch(mapped(t, r, false).Bytes(), page, false)
	if !bytes.Equal(before, b[2*page:]) {
		t.Error("touch changed bytes")
	}
}

// TestPrefetchWrite: prefetching changes nothing and never faults: at the end
// of a mapping, behind which there may be none, in one that is read-only, and
// where none is any more.
func TestPrefetchWrite(t *testing.T) {
	r := sealedRegion(t, page)
	writable, readOnly := mapped(t, r, true), mapped(t, reopened(t, r, false), false)
	copy(writable.Bytes()[page-8:], "the end.")
	want := bytes.Clone(writable.Bytes())
	for _, b := range [][]byte{writable.Bytes(), readOnly.Bytes()} {
		for _, off := range []int64{0, page - 192, page - 64, page - 8} {
			for _, n := range []uint64{0, 1, 192, 2 * uint64(page)} {
				NewSpan(b).PrefetchWrite(uint64(off), n)
			}
		}
	}
	if !bytes.Equal(writable.Bytes(), want) {
		t.Error("prefetching changed a byte")
	}
	gone := NewSpan(writable.Bytes())
	if err := writable.Unmap(); err != nil {
		t.Fatal(err)
	}
	gone.PrefetchWrite(0, uint64(page))
}

func TestUnmap(t *testing.T) {
	r := sealedRegion(t, page)
	m, err := r.Map(true)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := m.Unmap(); err != nil {
			t.Fatal(err)
		}
	}
	if m.Bytes() != nil {
		t.Error("Bytes is not nil after Unmap")
	}
	wantError(t, m.Populate(0, page), ErrArgument)
}

// The kernel lists a mapping's advice as VmFlags: dc = not inherited by a fork, dd = not in a core dump.
func TestMappingStaysOutOfForksAndDumps(t *testing.T) {
	notEmulated(t, "qemu-user takes madvise for a hint and does nothing")
	r, err := Create("shm-test-flags", page)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	mapped(t, r, true)
	smaps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Skip(err)
	}
	_, rest, found := strings.Cut(string(smaps), "shm-test-flags")
	if !found {
		t.Fatal("the mapping is not in /proc/self/smaps")
	}
	_, rest, _ = strings.Cut(rest, "VmFlags:")
	flags, _, _ := strings.Cut(rest, "\n")
	for _, f := range []string{"dc", "dd", "sh"} {
		if !strings.Contains(" "+flags+" ", " "+f+" ") {
			t.Errorf("got VmFlags%s, want %s among them", flags, f)
		}
	}
}
