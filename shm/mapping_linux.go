package shm

import (
	"errors"
	"fmt"
	"os"

	mmap "github.com/edsrzf/mmap-go"
	"golang.org/x/sys/unix"
)

// Map maps the whole region, shared. The mapping is not inherited by a forked child, which would otherwise hold the
// memory of its parent's death unseen, and is left out of core dumps, which would otherwise contain messages. The
// caller owns the mapping. Errors: ErrReadOnly, ErrSize (empty), or the kernel's errno (ENOMEM: no address space left
// or too many mappings).
func (r *Region) Map(writable bool) (*Mapping, error) {
	if r.size <= 0 {
		return nil, fmt.Errorf("%w: map region %q: got %d bytes, want at least a page", ErrSize, r.name, r.size)
	}
	if writable && !r.Writable() {
		return nil, fmt.Errorf("%w: map region %q", ErrReadOnly, r.name)
	}
	protection := mmap.RDONLY
	if writable {
		protection = mmap.RDWR
	}
	memory, err := mmap.MapRegion(r.file, int(r.size), protection, 0, 0)
	if err != nil {
		return nil, fmt.Errorf("shm: map region %q, %d bytes: %w", r.name, r.size, err)
	}
	m := &Mapping{memory: memory, name: r.name, writable: writable}
	for _, advice := range []struct {
		number int
		name   string
	}{{unix.MADV_DONTFORK, "MADV_DONTFORK"}, {unix.MADV_DONTDUMP, "MADV_DONTDUMP"}} {
		if err := unix.Madvise(memory, advice.number); err != nil {
			return nil, errors.Join(fmt.Errorf("shm: map region %q: %s: %w", r.name, advice.name, err), m.Unmap())
		}
	}
	return m, nil
}

// Populate brings the n bytes from off, rounded out to pages, into the page tables, so that the first access is as
// quick as any. In a hole of the region it takes memory, as Allocate does. The contents stay as they are, also while
// other processes write to them. Errors: ErrNoMemory, ErrArgument (outside the mapping).
func (m *Mapping) Populate(off, n int64) error {
	if err := checkRange("Populate", off, n, int64(len(m.memory))); err != nil {
		return err
	}
	if n == 0 {
		return nil
	}
	page := int64(os.Getpagesize())
	first := off / page * page
	last := (off + n + page - 1) / page * page // within the mapping: its length is a multiple of the page size
	last = min(last, int64(len(m.memory)))
	advice := unix.MADV_POPULATE_READ
	if m.writable {
		advice = unix.MADV_POPULATE_WRITE
	}
	for first < last {
		part := m.memory[first:min(first+allocationStep, last)]
		switch err := unix.Madvise(part, advice); {
		case err == nil:
			first += int64(len(part))
		case err == unix.EINTR || err == unix.EAGAIN:
		case err == unix.EINVAL || err == unix.ENOSYS || err == unix.EPERM: // before Linux 5.14, or a sandbox
			touch(m.memory[first:last], page, m.writable)
			return nil
		case outOfMemory(err):
			return fmt.Errorf("%w: populate %d bytes at %d of region %q: %w", ErrNoMemory, n, off, m.name, err)
		default: // EFAULT: an access would get SIGBUS, as beyond the end of an unsealed file that has shrunk
			return fmt.Errorf("shm: populate %d bytes at %d of region %q: %w", n, off, m.name, err)
		}
	}
	return nil
}

// Unmap removes the bytes from the address space. Idempotent. See Mapping for what the caller must be sure of.
func (m *Mapping) Unmap() error {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if m.memory == nil {
		return nil
	}
	size := len(m.memory)
	if err := m.memory.Unmap(); err != nil { // sets m.memory to nil in any case
		return fmt.Errorf("shm: unmap region %q, %d bytes: %w", m.name, size, err)
	}
	return nil
}

// touch accesses a word of each page without changing it, also where others write to it at the same time.
func touch(b []byte, page int64, write bool) {
	for off := int64(0); off < int64(len(b)); off += page {
		w := Overlay[Word32](b, int(off))
		if write {
			w.Or(0) // sync(touch): an atomic change to nothing, pairs with no store in particular
		} else {
			w.Load() // sync(touch): only the page fault is wanted
		}
	}
}
