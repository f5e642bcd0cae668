package control

import (
	"errors"
	"fmt"
)

// Opening the bus directory.
var (
	// ErrNoBus: there is no bus of that name in the directory the text names
	// (with the rule that chose it). Start a participant that may host or
	// "shmbus serve", or name the right directory. Or the directory was removed
	// while it was in use: close, and open again.
	ErrNoBus = errors.New("control: no such bus")
	// ErrBadName: a bus, topic or participant name is not
	// [A-Za-z0-9][A-Za-z0-9._-]{0,63}. Choose another name.
	ErrBadName = errors.New("control: bad name")
	// ErrDirSymlink: the root or bus directory is a symbolic link, which
	// somebody else could point elsewhere. Name the real directory.
	ErrDirSymlink = errors.New("control: the directory is a symbolic link")
	// ErrDirOwner: the directory belongs to another uid. Use a directory of
	// your own, or join as a guest if its owner runs the bus in group mode.
	ErrDirOwner = errors.New("control: the directory belongs to another user")
	// ErrNotDir: there is something else where the root or bus directory is to
	// be. Move it away or choose another directory.
	ErrNotDir = errors.New("control: not a directory")
	// ErrDirMode: others than the owner may enter or write the directory. Make
	// it 0700; the text names the chmod.
	ErrDirMode = errors.New("control: the directory has the wrong mode")
	// ErrGuest: a guest asked for what only the uid of the bus may do, or the
	// bus is not in group mode. Guests are lossy subscribers only.
	ErrGuest = errors.New("control: not allowed for a guest")
)

// Becoming the host and finding it.
var (
	// ErrNoHost: nobody serves this bus now. Retry, or host it.
	ErrNoHost = errors.New("control: the bus has no host")
	// ErrHostStalled: the host holds its lock but does not answer (stopped or
	// frozen). Continue it (SIGCONT) or kill it; the text names its pid.
	ErrHostStalled = errors.New("control: the host does not answer")
	// ErrHostRunning: somebody else hosts this bus. The text names its pid.
	ErrHostRunning = errors.New("control: the bus already has a host")
	// ErrLockLost: host.lock or members was removed or replaced under its
	// holder and could not be taken again. Leave the bus directory alone while
	// it is in use; a host that sees this must step down.
	ErrLockLost = errors.New("control: a lock file was replaced while it was held")
)

// On a connection.
var (
	// ErrVersion: the two sides speak different versions of the control
	// protocol. Use one version of shmbus for one bus. See VersionError.
	ErrVersion = errors.New("control: protocol versions differ")
	// ErrMalformed: a message was not one JSON object of at most MaxMessage
	// bytes, or carried what it must not carry. It costs its sender the
	// connection.
	ErrMalformed = errors.New("control: malformed message")
	// ErrDescriptors: a message carried descriptors it must not carry or lacks
	// those it needs. It costs its sender the connection.
	ErrDescriptors = errors.New("control: wrong descriptors in a message")
	// ErrPermission: the other side has another uid, or the kernel refused
	// access. Run both sides as one user, or use group mode.
	ErrPermission = errors.New("control: permission denied")
	// ErrPidNamespace: the peer's process cannot be named from here (another
	// PID namespace, and a kernel older than 6.5). Run both in one namespace.
	ErrPidNamespace = errors.New("control: the peer is in another PID namespace")
	// ErrNoDescriptors: this process is out of file descriptors. Raise
	// RLIMIT_NOFILE (ulimit -n) or close some.
	ErrNoDescriptors = errors.New("control: out of file descriptors")
	// ErrClosed: the object was closed by its owner.
	ErrClosed = errors.New("control: closed")
)

// Answers of the host.
var (
	// ErrNoMemory: the topic would not fit in memory, in a cgroup or in the
	// host's own limit; the text says which, what was asked and what is left.
	ErrNoMemory = errors.New("control: not enough memory")
	// ErrNameInUse: another live participant of that role (guests are one of their
	// own) has this given name in this topic. Choose another name.
	ErrNameInUse = errors.New("control: name in use")
	// ErrOptions: the topic exists with other options. Ask with zero options
	// to take the topic's.
	ErrOptions = errors.New("control: the topic has other options")
	// ErrExclusive: the topic is exclusive to one publisher, which is there or
	// has gone; the text says which. There can be no other.
	ErrExclusive = errors.New("control: the topic is exclusive")
	// ErrSchema: the topic has another schema version; both are named.
	ErrSchema = errors.New("control: the topic has another schema")
	// ErrNoTopic: there is no such topic (and waiting was not asked for).
	ErrNoTopic = errors.New("control: no such topic")
	// ErrTopicInUse: the topic has participants and is not removed.
	ErrTopicInUse = errors.New("control: the topic is in use")
	// ErrNoSlot: all slots of this role in the topic are taken. Make the topic
	// with more.
	ErrNoSlot = errors.New("control: no free slot in the topic")
	// ErrTooManyClients: the host's limit of connections is reached.
	ErrTooManyClients = errors.New("control: the host has too many clients")
	// ErrStalled: a stopped participant holds what the request needs; the text
	// names it. Continue it or kill it.
	ErrStalled = errors.New("control: a stopped participant is in the way")
	// ErrLayout: a region has a layout version that this program does not
	// know; both are named.
	ErrLayout = errors.New("control: unknown layout version")
)

// VersionError says which versions of the control protocol met. It is ErrVersion.
type VersionError struct {
	Ours, Theirs uint32
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("%v: this side speaks version %d, the other side version %d: use the same shmbus version on both",
		ErrVersion, e.Ours, e.Theirs)
}

// Unwrap makes errors.Is(err, ErrVersion) true.
func (e *VersionError) Unwrap() error { return ErrVersion }

// Coming back to a new host, and limits.
var (
	// ErrOrphaned: the host does not know the slot or the ring that a
	// participant offered: another topic has taken the name, or the slot was
	// given up. What was attached goes on among those who share the ring, but
	// nobody new can join it. Close it and open it again.
	ErrOrphaned = errors.New("control: the slot is not known to the host")
	// ErrRegion: an offered or received region is not one of ours (unsealed,
	// of another size, not a memfd, another user's, or another topic's). It is
	// not mapped.
	ErrRegion = errors.New("control: bad region")
	// ErrTooManyTopics: the host's limit of topics is reached. Remove some.
	ErrTooManyTopics = errors.New("control: the host has too many topics")
	// ErrTooManyRequests: this connection has too many requests outstanding.
	ErrTooManyRequests = errors.New("control: too many requests at once")
)
