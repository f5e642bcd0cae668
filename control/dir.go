package control

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
)

// Names of what lies in a bus directory. Nothing else is put there.
const (
	SocketName  = "control.sock" // where the host listens
	LockName    = "host.lock"    // flock: who holds it is the host
	MembersName = "members"      // OFD locks: who is alive
	groupName   = ".group"       // present in group mode, also in the root: the gid
	socketNext  = SocketName + ".new"
)

// Group is the group whose members may join a bus as guests.
type Group struct {
	Name string
	GID  uint32
}

// DirOptions say how OpenBusDir opens a bus directory.
type DirOptions struct {
	// Rule is how ResolveRoot chose the root, for error texts.
	Rule string
	// Create makes the root and the bus directory where they are missing.
	Create bool
	// Group puts the bus into group mode (with Create, by the owner only):
	// directory 0750 of that group. A bus stays in group mode until its
	// directory is removed.
	Group *Group
	// Guest accepts the directory of another uid if that uid runs the bus in
	// group mode.
	Guest bool
}

// BusDir is an open bus directory, checked once when it was opened: no
// symbolic link, ours (or a guest's host's), closed to others. All later access
// goes through its descriptor, so nobody can exchange it by renaming. A shared
// flock on it, held until Close, keeps tmp cleaners away.
//
// Safe for concurrent use, Close excepted.
type BusDir struct {
	path  string // as given, for people
	file  *os.File
	owner uint32
	group *Group
	guest bool

	mu      sync.Mutex
	members []*os.File // for MemberAlive, the newest last; apart from Member's, whose own locks they would not see
}

// Path returns a path of a file in the directory for the kernel: short enough
// for a socket address however deep the directory lies, and not exchangeable.
// It means something in this process only, and only until Close.
func (d *BusDir) Path(name string) string {
	return "/proc/self/fd/" + strconv.FormatUint(uint64(d.file.Fd()), 10) + "/" + name
}

// String returns the directory's path for people.
func (d *BusDir) String() string { return d.path }

// Owner is the uid that owns the directory: the only one that may host.
func (d *BusDir) Owner() uint32 { return d.owner }

// Group is the bus's group in group mode, nil otherwise. The caller does not
// change it.
func (d *BusDir) Group() *Group { return d.group }

// Guest reports whether the directory belongs to another uid.
func (d *BusDir) Guest() bool { return d.guest }

// Close drops the descriptors and the flock. Idempotent. HostLock, Member,
// Listener and Conn made from it live on, but their Check methods need it open.
func (d *BusDir) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	CloseFiles(d.members)
	d.members = nil
	if err := d.file.Close(); err != nil && !isClosed(err) {
		return fmt.Errorf("control: close %s: %w", d.path, err)
	}
	return nil
}

// ResolveRoot returns the directory that holds the bus directories and the rule
// that chose it, the first that applies: dir (an argument or SHMBUS_DIR, read by
// the caller) · uid 0: /run/shmbus · $XDG_RUNTIME_DIR/shmbus ·
// /run/user/UID/shmbus if /run/user/UID is ours · /tmp/shmbus-UID. It looks only;
// OpenBusDir checks and makes.
func ResolveRoot(dir string) (path, rule string, err error) {
	return resolveRoot(dir, os.Geteuid(), os.Getenv("XDG_RUNTIME_DIR"), ownedBy)
}

func resolveRoot(dir string, uid int, runtimeDir string, owned func(path string, uid int) bool) (path, rule string, err error) {
	if dir != "" {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return "", "", fmt.Errorf("control: directory %q: %w", dir, err)
		}
		return abs, "it was given as --dir or SHMBUS_DIR", nil
	}
	if uid == 0 {
		return "/run/shmbus", "the default of uid 0", nil
	}
	// The XDG specification says to ignore a relative path.
	if filepath.IsAbs(runtimeDir) {
		return filepath.Join(runtimeDir, "shmbus"), "XDG_RUNTIME_DIR is set", nil
	}
	user := "/run/user/" + strconv.Itoa(uid)
	if owned(user, uid) {
		return user + "/shmbus", user + " is ours", nil
	}
	return "/tmp/shmbus-" + strconv.Itoa(uid), "no --dir, SHMBUS_DIR, XDG_RUNTIME_DIR or " + user, nil
}
