package control

import (
	"errors"
	"fmt"
	"math/bits"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	dirPrivate = 0o700
	dirGroup   = 0o750
	modeBits   = 0o777

	// A tmp cleaner holds its exclusive flock while it looks through one
	// directory.
	cleanerWait  = time.Second
	cleanerAgain = 10 * time.Millisecond
)

// OpenBusDir opens the directory of a bus: root/bus. Both are made 0700 where
// they are missing and o.Create is set; an existing one is never changed, except
// into group mode, by its owner. It blocks at most a second, for a tmp cleaner
// at work; one that takes longer is not waited for.
//
// Errors: ErrBadName, ErrNoBus, ErrDirSymlink, ErrNotDir, ErrDirOwner, ErrDirMode,
// ErrGuest, ErrPermission, errors.ErrUnsupported on a 32-bit processor.
func OpenBusDir(root, bus string, o DirOptions) (*BusDir, error) {
	if err := needWords(bits.UintSize); err != nil {
		return nil, err
	}
	if err := ValidName("bus", bus); err != nil {
		return nil, err
	}
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("control: root directory %q: %w", root, err)
	}
	for range fileTries {
		d, err := openBusDir(root, bus, o)
		if err != nil {
			return nil, err
		}
		if d.Check() == nil {
			return d, nil
		}
		d.Close() // removed between opening and flock: make it again
	}
	return nil, fmt.Errorf("%w: %s is removed as fast as it is made", ErrNoBus, filepath.Join(root, bus))
}

// needWords refuses a processor, by the bits of its words, that writes in two
// halves what others read whole.
func needWords(size int) error {
	if size < 64 {
		return fmt.Errorf("control: shared memory is made of 64-bit words, and %s writes %d bits at once: %w", runtime.GOARCH, size, errors.ErrUnsupported)
	}
	return nil
}

func openBusDir(root, bus string, o DirOptions) (*BusDir, error) {
	if o.Create {
		if err := os.MkdirAll(filepath.Dir(root), dirPrivate); err != nil {
			return nil, fmt.Errorf("control: make the parents of %s: %w", root, err)
		}
	}
	top, err := openDirAt(unix.AT_FDCWD, root, root, bus, unix.O_PATH, o)
	if err != nil {
		return nil, err
	}
	defer top.file.Close()
	if err := top.check(o, false); err != nil {
		return nil, err
	}
	path := filepath.Join(root, bus)
	d, err := openDirAt(int(top.file.Fd()), bus, path, bus, unix.O_RDONLY, o)
	if err != nil {
		return nil, err
	}
	if err = d.check(o, true); err == nil {
		err = d.keepFromCleaners()
	}
	if err != nil {
		d.file.Close()
		return nil, err
	}
	return d, nil
}

// openDirAt opens, and with o.Create makes, one directory without following a link.
func openDirAt(parent int, name, path, bus string, access int, o DirOptions) (*BusDir, error) {
	if o.Create {
		switch err := unix.Mkdirat(parent, name, dirPrivate); {
		case err == nil:
			// Whatever the umask took away.
			if err := unix.Fchmodat(parent, name, dirPrivate, 0); err != nil {
				return nil, fmt.Errorf("control: chmod 0700 %s: %w", path, err)
			}
		case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM), errors.Is(err, unix.EROFS):
			if _, statErr := os.Lstat(path); statErr != nil {
				return nil, fmt.Errorf("%w: cannot make the directory %s (%s): %w; choose another with --dir or SHMBUS_DIR", ErrPermission, path, o.Rule, err)
			}
		case !errors.Is(err, unix.EEXIST):
			return nil, fmt.Errorf("control: make the directory %s (%s): %w", path, o.Rule, err)
		}
	}
	fd, err := ignoringEINTR(func() (int, error) {
		return unix.Openat(parent, name, access|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return nil, explainOpen(err, parent, name, path, bus, o)
	}
	return &BusDir{path: path, file: os.NewFile(uintptr(fd), path)}, nil
}

func explainOpen(err error, parent int, name, path, bus string, o DirOptions) error {
	rule := o.Rule
	if rule != "" {
		rule = " (" + rule + ")"
	}
	var st unix.Stat_t
	stat := unix.Fstatat(parent, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	switch {
	case errors.Is(err, unix.ENOENT):
		return fmt.Errorf("%w: bus %q is not there: no directory %s%s", ErrNoBus, bus, path, rule)
	case stat == nil && st.Mode&unix.S_IFMT == unix.S_IFLNK:
		return fmt.Errorf("%w: %s%s; name the directory itself", ErrDirSymlink, path, rule)
	case errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP):
		return fmt.Errorf("%w: %s%s; move it away or choose another with --dir", ErrNotDir, path, rule)
	case errors.Is(err, unix.EACCES) && o.Guest:
		return fmt.Errorf("%w: %s is closed to this user: its owner does not run the bus in group mode, or for another group", ErrGuest, path)
	case errors.Is(err, unix.EACCES) && stat == nil && int(st.Uid) != os.Geteuid():
		return fmt.Errorf("%w: %s%s belongs to uid %d, this process is uid %d", ErrDirOwner, path, rule, st.Uid, os.Geteuid())
	case errors.Is(err, unix.EACCES):
		return fmt.Errorf("%w: cannot open %s%s: %w", ErrPermission, path, rule, err)
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
		return fmt.Errorf("%w: open %s: %w", ErrNoDescriptors, path, err)
	}
	return fmt.Errorf("control: open the directory %s%s: %w", path, rule, err)
}

// check refuses a directory that others could change or look into, and puts it
// into group mode if that is asked for. isBus is false for the root.
func (d *BusDir) check(o DirOptions, isBus bool) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(d.file.Fd()), &st); err != nil {
		return fmt.Errorf("control: stat %s: %w", d.path, err)
	}
	d.owner = st.Uid
	mode := st.Mode & modeBits
	if euid := os.Geteuid(); int(st.Uid) != euid {
		if !o.Guest {
			return fmt.Errorf("%w: %s belongs to uid %d, this process is uid %d; choose a directory of your own with --dir or SHMBUS_DIR", ErrDirOwner, d.path, st.Uid, euid)
		}
		return d.checkGuest(&st, isBus)
	}
	if o.Group != nil && o.Create {
		if err := d.enterGroup(o.Group, &st); err != nil {
			return err
		}
		d.group = o.Group
		return nil
	}
	if mode == dirPrivate {
		return nil
	}
	if mode == dirGroup && d.groupMarker() == int64(st.Gid) {
		d.group = groupOf(st.Gid)
		return nil
	}
	return fmt.Errorf("%w: %s has mode %04o, want 0700 (chmod 700 %s)", ErrDirMode, d.path, mode, d.path)
}

// checkGuest checks somebody else's directory: only its owner may write it, or,
// for the root, it is a directory like /tmp where nobody can take another's name.
func (d *BusDir) checkGuest(st *unix.Stat_t, isBus bool) error {
	mode := st.Mode & modeBits
	if !isBus {
		if mode&0o022 != 0 && st.Mode&unix.S_ISVTX == 0 {
			return fmt.Errorf("%w: %s has mode %04o: others than uid %d may write it", ErrDirMode, d.path, mode, st.Uid)
		}
		return nil
	}
	if mode != dirGroup {
		return fmt.Errorf("%w: %s of uid %d has mode %04o; want 0750, a bus in group mode (shmbus serve --group)", ErrGuest, d.path, st.Uid, mode)
	}
	d.guest, d.group = true, groupOf(st.Gid)
	return nil
}

// enterGroup makes a directory of ours 0750 of the group. The marker comes
// first: without it others of our uid refuse a directory that is not 0700, since
// a stray chmod shall not open a bus to a group.
func (d *BusDir) enterGroup(g *Group, st *unix.Stat_t) error {
	mode := st.Mode & modeBits
	marked := d.groupMarker()
	switch {
	case mode == dirGroup && st.Gid == g.GID && marked == int64(g.GID):
		return nil
	case mode != dirPrivate && (mode != dirGroup || st.Gid != g.GID):
		return fmt.Errorf("%w: %s has mode %04o and gid %d; want 0700 to start group mode for gid %d in it, or another directory",
			ErrDirMode, d.path, mode, st.Gid, g.GID)
	}
	name := d.Path(groupName)
	if marked != int64(g.GID) {
		if err := os.WriteFile(name, []byte(strconv.FormatUint(uint64(g.GID), 10)+"\n"), 0o600); err != nil {
			return fmt.Errorf("control: note group mode in %s: %w", d.path, err)
		}
	}
	if err := os.Chown(d.Path("."), -1, int(g.GID)); err != nil {
		return fmt.Errorf("%w: give %s to group %s: %w; uid %d must be a member of it", ErrPermission, d.path, g.Name, err, os.Geteuid())
	}
	if err := os.Chmod(d.Path("."), dirGroup); err != nil {
		return fmt.Errorf("control: chmod 750 %s: %w", d.path, err)
	}
	return nil
}

// groupMarker returns the gid of group mode, -1 where there is no marker.
func (d *BusDir) groupMarker() int64 {
	b, err := os.ReadFile(d.Path(groupName))
	if err != nil {
		return -1
	}
	gid, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 32)
	if err != nil {
		return -1
	}
	return int64(gid)
}

// keepFromCleaners holds the shared flock that systemd-tmpfiles respects. Whoever may
// open the directory, a guest too, may hold an exclusive one for ever, and shall keep
// nobody out by it.
func (d *BusDir) keepFromCleaners() error {
	for deadline := time.Now().Add(cleanerWait); ; time.Sleep(cleanerAgain) {
		err := unix.Flock(int(d.file.Fd()), unix.LOCK_SH|unix.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, unix.EINTR):
		case !errors.Is(err, unix.EWOULDBLOCK):
			return fmt.Errorf("control: flock %s: %w", d.path, err)
		case time.Now().After(deadline):
			return nil
		}
	}
}

// Check reports whether the directory is still the one at its path.
//
// Errors: ErrNoBus if it was removed or replaced: leave, and open it anew.
func (d *BusDir) Check() error {
	var have, there unix.Stat_t
	if err := unix.Fstat(int(d.file.Fd()), &have); err != nil {
		return fmt.Errorf("control: stat %s: %w", d.path, err)
	}
	if err := unix.Lstat(d.path, &there); err != nil || have.Ino != there.Ino || have.Dev != there.Dev {
		return fmt.Errorf("%w: the directory %s was removed or replaced while in use", ErrNoBus, d.path)
	}
	return nil
}

// openFile opens a file of the directory, 0600 and ours, never through a link.
func (d *BusDir) openFile(name string, create int) (*os.File, error) {
	fd, err := ignoringEINTR(func() (int, error) {
		return unix.Openat(int(d.file.Fd()), name, unix.O_RDWR|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK|create, 0o600)
	})
	path := filepath.Join(d.path, name)
	switch {
	case errors.Is(err, unix.ELOOP):
		return nil, fmt.Errorf("%w: %s is a symbolic link; remove it", ErrPermission, path)
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return nil, fmt.Errorf("%w: open %s: %w", ErrPermission, path, err)
	case isOutOfDescriptors(err):
		return nil, fmt.Errorf("%w: open %s: %w", ErrNoDescriptors, path, err)
	case errors.Is(err, unix.ENOENT) && create != 0:
		return nil, fmt.Errorf("%w: the directory %s was removed while in use", ErrNoBus, d.path)
	case err != nil:
		return nil, fmt.Errorf("control: open %s: %w", path, err)
	}
	var st unix.Stat_t
	err = unix.Fstat(fd, &st)
	switch {
	case err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG:
		err = fmt.Errorf("%w: %s is not a regular file; remove it", ErrPermission, path)
	case err == nil && st.Uid != d.owner:
		err = fmt.Errorf("%w: %s belongs to uid %d, want %d; remove it", ErrPermission, path, st.Uid, d.owner)
	case err == nil && st.Mode&modeBits != 0o600:
		err = unix.Fchmod(fd, 0o600)
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("control: check %s: %w", path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

// current reports whether an open file is still the one of that name.
func (d *BusDir) current(f *os.File, name string) (bool, error) {
	var have, there unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &have); err != nil {
		return false, fmt.Errorf("control: stat %s: %w", f.Name(), err)
	}
	err := unix.Fstatat(int(d.file.Fd()), name, &there, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("control: stat %s: %w", f.Name(), err)
	}
	return have.Ino == there.Ino && have.Dev == there.Dev, nil
}

// LookupGroup finds a group by name or number. Our uid need not be in it; to put
// a bus into group mode it must.
func LookupGroup(name string) (*Group, error) {
	g, err := user.LookupGroup(name)
	if err != nil {
		if gid, numErr := strconv.ParseUint(name, 10, 32); numErr == nil {
			return groupOf(uint32(gid)), nil
		}
		return nil, fmt.Errorf("control: group %q: %w", name, err)
	}
	gid, err := strconv.ParseUint(g.Gid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("control: group %q has the gid %q: %w", name, g.Gid, err)
	}
	return &Group{Name: name, GID: uint32(gid)}, nil
}

func groupOf(gid uint32) *Group {
	id := strconv.FormatUint(uint64(gid), 10)
	if g, err := user.LookupGroupId(id); err == nil {
		return &Group{Name: g.Name, GID: gid}
	}
	return &Group{Name: id, GID: gid}
}

func ownedBy(path string, uid int) bool {
	var st unix.Stat_t
	return unix.Lstat(path, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR && int(st.Uid) == uid
}

// ignoringEINTR repeats a call that a signal interrupted.
func ignoringEINTR(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

func isOutOfDescriptors(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE)
}
