package shm

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/shmbus/shmbus/internal/failpoint"
)

const (
	// sealsRequired are exactly the seals of a region ready for use: nobody, root included, can change its size or add
	// further seals. F_SEAL_EXEC, which the kernel adds for MFD_NOEXEC_SEAL, may be there too.
	sealsRequired = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL
	sealsAllowed  = sealsRequired | unix.F_SEAL_EXEC

	maxNameLength = 249 // what memfd_create(2) takes
	regionMode    = 0o600
)

// Create makes a region of size zero bytes, a positive multiple of the page size. The name serves people only (it
// shows up in /proc/PID/maps); it need not be unique and has at most 249 bytes. No memory is taken yet: see Allocate.
// The caller owns the region. Errors: ErrSize, ErrArgument, or the kernel's errno (EMFILE: too many open files).
func Create(name string, size int64) (*Region, error) {
	if page := int64(os.Getpagesize()); size <= 0 || size%page != 0 || size > math.MaxInt {
		return nil, fmt.Errorf("%w: create region %q: got %d bytes, want a positive multiple of the page size %d", ErrSize, name, size, page)
	}
	if len(name) > maxNameLength || strings.IndexByte(name, 0) >= 0 {
		return nil, fmt.Errorf("%w: create region: got name %q of %d bytes, want at most %d and no zero byte", ErrArgument, name, len(name), maxNameLength)
	}
	fd, err := createMemfd(name)
	if err != nil {
		return nil, fmt.Errorf("shm: create region %q: memfd_create: %w", name, err)
	}
	r := &Region{file: os.NewFile(uintptr(fd), "memfd:"+name), name: name, size: size}
	// A memfd is born 0666 or 0777; with 0600 another uid that gets hold of a read-only descriptor cannot reopen it for
	// writing.
	if err := r.control("fchmod", func(fd int) error { return unix.Fchmod(fd, regionMode) }); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	if err := r.control("ftruncate", func(fd int) error { return unix.Ftruncate(fd, size) }); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// createMemfd asks for a memfd that can never be executed, where the kernel knows how (Linux 6.3).
func createMemfd(name string) (int, error) {
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := -1, error(unix.EINVAL) // the answer of a kernel that does not know the flag
	if !failpoint.Enabled("shm.noexecseal") {
		fd, err = unix.MemfdCreate(name, flags|unix.MFD_NOEXEC_SEAL)
	}
	if err == unix.EINVAL {
		fd, err = unix.MemfdCreate(name, flags)
	}
	return fd, err
}

// FromFile makes a region of a descriptor that another process sent. It takes ownership of f, which it closes on
// error. Nothing about the sender is trusted and nothing is checked but that it is a memfd: call Check before Map.
// Errors: ErrNotMemfd, ErrArgument (f is nil).
func FromFile(f *os.File) (*Region, error) {
	if f == nil {
		return nil, fmt.Errorf("%w: FromFile: got no file", ErrArgument)
	}
	r := &Region{file: f, name: f.Name()}
	if _, err := r.seals(); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	if err := r.checkFilesystem(); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	size, err := r.fileSize()
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	r.size = size
	return r, nil
}

// Check says whether the region may be mapped and relied on: it has exactly the seals SHRINK, GROW and SEAL (and
// perhaps EXEC) and is wantSize bytes long. After that no access within a mapping can fault for want of a file, as
// long as there is memory. Errors: ErrUnsealed, ErrSize, ErrNotMemfd.
func (r *Region) Check(wantSize int64) error {
	seals, err := r.seals()
	if err != nil {
		return err
	}
	if seals&sealsRequired != sealsRequired || seals&^sealsAllowed != 0 {
		return fmt.Errorf("%w: region %q: got %s, want exactly %s (EXEC may be added)", ErrUnsealed, r.name, sealNames(seals), sealNames(sealsRequired))
	}
	return r.checkSize(wantSize)
}

func (r *Region) checkSize(wantSize int64) error {
	size, err := r.fileSize() // after the seals: only now it cannot change any more
	if err != nil {
		return err
	}
	if size != wantSize || size != r.size {
		return fmt.Errorf("%w: region %q: got %d bytes (%d when received), want %d", ErrSize, r.name, size, r.size, wantSize)
	}
	return nil
}

// Seal fixes the region's size for ever, for everybody. Allocate and Map work as before. Idempotent. Errors: the
// kernel's errno (EPERM: opened for reading only).
func (r *Region) Seal() error {
	if seals, err := r.seals(); err == nil && seals&sealsRequired == sealsRequired {
		return nil
	}
	return r.control("seal", func(fd int) error {
		_, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, sealsRequired)
		return err
	})
}

// Allocate takes memory for n bytes from off, rounded out to pages, so that writing there cannot fail later. What is
// allocated already stays as it is. On error part of the range may be allocated. It may take long for much memory
// and makes the kernel reclaim; a memfd has no limit of its own, so compare with the memory available before:
// asking for too much ends in the OOM killer rather than in an error. Errors: ErrNoMemory, ErrArgument (outside the
// region), ErrReadOnly.
func (r *Region) Allocate(off, n int64) error {
	if err := checkRange("Allocate", off, n, r.size); err != nil {
		return err
	}
	if n > 0 && !r.Writable() {
		return fmt.Errorf("%w: allocate %d bytes of region %q", ErrReadOnly, n, r.name)
	}
	step := int64(allocationStep)
	for end := off + n; off < end; {
		part := min(step, end-off)
		err := r.control("fallocate", func(fd int) error { return unix.Fallocate(fd, 0, off, part) })
		switch {
		case err == nil:
			off += part
		case errors.Is(err, unix.EINTR):
			// The kernel has undone this step. Smaller ones get through between signals, however many there are.
			step = max(step/2, int64(os.Getpagesize()))
		case outOfMemory(err):
			return fmt.Errorf("%w: region %q: asked for %d bytes, %d were not had: %w", ErrNoMemory, r.name, n, end-off, err)
		default:
			return err
		}
	}
	return nil
}

// Writable says whether the descriptor was opened for reading and writing, so that Map(true) can work.
func (r *Region) Writable() bool {
	flags := 0
	err := r.control("fcntl(F_GETFL)", func(fd int) (err error) {
		flags, err = unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		return err
	})
	return err == nil && flags&unix.O_ACCMODE == unix.O_RDWR
}

// Reopen opens the same memory once more, by /proc/self/fd. Of a region opened for reading only, who receives the
// descriptor can make no writable mapping; a process of the same uid could still reopen it writably on purpose. The
// caller owns the new region. Errors: the kernel's errno (ENOENT: /proc is not mounted; EACCES: not the owner).
func (r *Region) Reopen(writable bool) (*Region, error) {
	mode := unix.O_RDONLY
	if writable {
		mode = unix.O_RDWR
	}
	opened := -1
	err := r.control("reopen by /proc/self/fd", func(fd int) (err error) {
		for {
			opened, err = unix.Open(fmt.Sprintf("/proc/self/fd/%d", fd), mode|unix.O_CLOEXEC, 0)
			if err != unix.EINTR {
				return err
			}
		}
	})
	if err != nil {
		return nil, err
	}
	return &Region{file: os.NewFile(uintptr(opened), r.file.Name()), name: r.name, size: r.size}, nil
}

func (r *Region) seals() (int, error) {
	seals := 0
	err := r.control("fcntl(F_GET_SEALS)", func(fd int) (err error) {
		seals, err = unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0)
		return err
	})
	if errors.Is(err, unix.EINVAL) {
		return 0, fmt.Errorf("%w: %q: got a file that knows no seals: %w", ErrNotMemfd, r.name, err)
	}
	return seals, err
}

// checkFilesystem refuses what knows seals but is no ordinary memory, such as huge pages, which fault when the pool
// is empty.
func (r *Region) checkFilesystem() error {
	var fs unix.Statfs_t
	err := r.control("fstatfs", func(fd int) error {
		for {
			if err := unix.Fstatfs(fd, &fs); err != unix.EINTR {
				return err
			}
		}
	})
	if err != nil {
		return err
	}
	if fs.Type != unix.TMPFS_MAGIC {
		return fmt.Errorf("%w: %q: got file system type %#x, want %#x (tmpfs)", ErrNotMemfd, r.name, fs.Type, unix.TMPFS_MAGIC)
	}
	return nil
}

func (r *Region) fileSize() (int64, error) {
	var st unix.Stat_t
	err := r.control("fstat", func(fd int) error { return unix.Fstat(fd, &st) })
	return st.Size, err
}

// control runs f on the descriptor, which cannot be closed meanwhile, and names the operation in the error.
func (r *Region) control(operation string, f func(fd int) error) error {
	conn, err := r.file.SyscallConn()
	if err != nil {
		return fmt.Errorf("shm: %s of region %q: %w", operation, r.name, err)
	}
	var result error
	if err := conn.Control(func(fd uintptr) { result = f(int(fd)) }); err != nil {
		return fmt.Errorf("shm: %s of region %q: %w: %w", operation, r.name, os.ErrClosed, err) // its only cause
	}
	if result != nil {
		return fmt.Errorf("shm: %s of region %q: %w", operation, r.name, result)
	}
	return nil
}

// outOfMemory says whether the kernel refused for want of memory or for a limit on it.
func outOfMemory(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.ENOMEM) || errors.Is(err, unix.EDQUOT)
}

// sealNames names the seals as fcntl(2) does, without F_SEAL_.
func sealNames(seals int) string {
	known := []struct {
		bit  int
		name string
	}{
		{unix.F_SEAL_SHRINK, "SHRINK"}, {unix.F_SEAL_GROW, "GROW"}, {unix.F_SEAL_SEAL, "SEAL"},
		{unix.F_SEAL_WRITE, "WRITE"}, {unix.F_SEAL_FUTURE_WRITE, "FUTURE_WRITE"}, {unix.F_SEAL_EXEC, "EXEC"},
	}
	var names []string
	for _, k := range known {
		if seals&k.bit != 0 {
			names = append(names, k.name)
			seals &^= k.bit
		}
	}
	if seals != 0 {
		names = append(names, fmt.Sprintf("%#x", seals))
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, "|")
}
