package control

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// TryHostLock tries to become the host. ok is false when somebody else is; it
// never waits for them. Nothing is written into the files.
//
// Errors: ErrGuest, ErrPermission, ErrNoDescriptors, ErrNoBus (the directory was
// removed), ErrLockLost (files are replaced as fast as they are locked).
func (d *BusDir) TryHostLock() (lock *HostLock, ok bool, err error) {
	if d.guest {
		return nil, false, fmt.Errorf("%w: host the bus in %s; only uid %d may", ErrGuest, d.path, d.owner)
	}
	l := &HostLock{dir: d}
	if l.lock, ok, err = d.lockFile(LockName, flockWhole); !ok {
		return nil, false, err
	}
	if l.witness, ok, err = d.lockFile(MembersName, lockHostByte); !ok {
		l.lock.Close()
		return nil, false, err
	}
	return l, true, nil
}

// Check verifies that this process is still the host and takes replaced files
// again. A host calls it every now and then.
//
// Errors: ErrLockLost: step down at once, somebody else may be the host.
func (l *HostLock) Check() error {
	if l.lock == nil {
		return fmt.Errorf("host lock of %s: %w", l.dir.path, ErrClosed)
	}
	// One of the two is enough, since a contender needs both.
	first, err1 := l.dir.keepLocked(&l.lock, LockName, flockWhole)
	second, err2 := l.dir.keepLocked(&l.witness, MembersName, lockHostByte)
	if first || second {
		return nil
	}
	return fmt.Errorf("%w: %s and %s in %s: %w", ErrLockLost, LockName, MembersName, l.dir.path, errors.Join(err1, err2))
}

// Release lets somebody else host. Idempotent.
func (l *HostLock) Release() error {
	if l.lock != nil {
		// In this order a contender that gets the first gets the second too.
		l.witness.Close()
		l.lock.Close()
		l.witness, l.lock = nil, nil
	}
	return nil
}

// HostPID finds who holds the host lock, for people: 0 if nobody does or it
// cannot be known (another PID namespace). It reads /proc/locks, so it works for
// a host that is stopped, and before it listens.
func (d *BusDir) HostPID() int {
	var st unix.Stat_t
	if unix.Fstatat(int(d.file.Fd()), LockName, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
		return 0
	}
	file := fmt.Sprintf("%02x:%02x:%d", unix.Major(uint64(st.Dev)), unix.Minor(uint64(st.Dev)), st.Ino)
	for range locksTries {
		f, err := os.Open("/proc/locks")
		if err != nil {
			return 0
		}
		pid, whole := flockHolder(f, file)
		f.Close()
		if pid != 0 || whole {
			return pid
		}
	}
	return 0
}

// locksTries is how often a list of locks that comes in pieces is read before it
// is believed that one is not there.
const locksTries = 5

// flockHolder finds in the kernel's list of locks who holds a file's; 0: nobody.
// One read gets what fits into a page, as it is at that moment, and the next goes
// on by number: if somebody gave up an earlier lock meanwhile, it misses one. whole
// says that one read got all of it, with room for more.
func flockHolder(locks io.Reader, file string) (pid int, whole bool) {
	b := make([]byte, 64<<10)
	whole = true
	for reads := 0; ; reads++ {
		n, err := locks.Read(b)
		if n == 0 || err != nil {
			return 0, whole
		}
		whole = reads == 0 && n < os.Getpagesize()/2
		// 1: FLOCK  ADVISORY  WRITE 1234 00:1b:56789 0 EOF
		for line := range strings.Lines(string(b[:n])) { // whole ones
			f := strings.Fields(line)
			if len(f) >= 6 && f[1] == "FLOCK" && f[3] == "WRITE" && f[5] == file {
				if pid, err := strconv.Atoi(f[4]); err == nil && pid > 0 {
					return pid, true
				}
			}
		}
	}
}

// lockFile opens a file of the directory and locks it; ok is false if somebody
// else has. What is locked is what lies under the name: a file that was unlinked
// or replaced in between proves nothing, since others open the new one.
func (d *BusDir) lockFile(name string, lock func(*os.File) (bool, error)) (f *os.File, ok bool, err error) {
	for range fileTries {
		f, err := d.openFile(name, unix.O_CREAT)
		if err != nil {
			return nil, false, err
		}
		ok, err := lock(f)
		if err != nil || !ok {
			f.Close()
			return nil, false, err
		}
		same, err := d.current(f, name)
		if same && err == nil {
			return f, true, nil
		}
		f.Close()
		if err != nil {
			return nil, false, err
		}
	}
	return nil, false, fmt.Errorf("%w: %s/%s is replaced as fast as it is locked", ErrLockLost, d.path, name)
}

// keepLocked replaces *f by the file that lies under the name now, locked, if
// that is another. It reports whether *f is locked and under its name.
func (d *BusDir) keepLocked(f **os.File, name string, lock func(*os.File) (bool, error)) (bool, error) {
	same, err := d.current(*f, name)
	if same || err != nil {
		return same, err
	}
	next, ok, err := d.lockFile(name, lock)
	if ok {
		(*f).Close()
		*f = next
	}
	return ok, err
}

func flockWhole(f *os.File) (bool, error) {
	_, err := ignoringEINTR(func() (int, error) { return 0, unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) })
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("control: flock %s: %w", f.Name(), err)
	}
	return true, nil
}

func lockHostByte(f *os.File) (bool, error) { return lockByte(f, hostByte) }
