package control

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/shmbus/shmbus/internal/failpoint"
)

// Credentials names the process at the other end, with a pidfd from the socket
// itself (Linux 6.5), which no reuse of pids can mislead. On older kernels it
// opens the pid that the socket remembers and then checks that the connection is
// still up: a process that connected, ended, and left its pid to another has
// hung up. The caller closes the Peer.
//
// Errors: io.EOF (the peer has gone), ErrPidNamespace, ErrNoDescriptors, ErrClosed.
func Credentials(c *Conn) (*Peer, error) {
	uid, gid, pid, err := c.credentials()
	if err != nil {
		return nil, err
	}
	fd := -1
	var failed error
	err = c.raw.Control(func(s uintptr) {
		fd, failed = peerPIDFD(int(s), pid)
	})
	if err = errors.Join(err, failed); err != nil {
		return nil, peerError(err, pid)
	}
	// O_NONBLOCK makes the runtime's poller watch it.
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("control: pidfd of pid %d: %w", pid, err)
	}
	return &Peer{
		UID: uid, GID: gid, PID: pid,
		PIDFD:  os.NewFile(uintptr(fd), fmt.Sprintf("pidfd of %d", pid)),
		exited: make(chan struct{}),
		gone:   make(chan struct{}),
		closed: make(chan struct{}),
	}, nil
}

// errHungUp: the fallback cannot know whose pid it has opened.
var errHungUp = errors.New("control: the peer hung up before it could be identified")

func peerPIDFD(socket int, pid int32) (int, error) {
	if !failpoint.Enabled("control.peerpidfd") {
		fd, err := unix.GetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_PEERPIDFD)
		if !errors.Is(err, unix.ENOPROTOOPT) && !errors.Is(err, unix.EOPNOTSUPP) {
			if err == nil {
				unix.CloseOnExec(fd)
			}
			return fd, err
		}
	}
	return openPID(socket, pid)
}

// openPID is peerPIDFD for kernels without SO_PEERPIDFD.
func openPID(socket int, pid int32) (int, error) {
	if pid <= 0 {
		return -1, ErrPidNamespace
	}
	fd, err := unix.PidfdOpen(int(pid), 0)
	if err != nil {
		return -1, err
	}
	up := []unix.PollFd{{Fd: int32(socket), Events: unix.POLLRDHUP}}
	_, err = ignoringEINTR(func() (int, error) { return unix.Poll(up, 0) })
	if err == nil && up[0].Revents&(unix.POLLHUP|unix.POLLRDHUP|unix.POLLERR) != 0 {
		err = errHungUp
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func peerError(err error, pid int32) error {
	switch {
	case errors.Is(err, unix.ESRCH), errors.Is(err, unix.ENODATA), errors.Is(err, errHungUp):
		return fmt.Errorf("control: pid %d has gone: %w: %w", pid, io.EOF, err)
	case errors.Is(err, ErrPidNamespace):
		return fmt.Errorf("%w: this kernel (before 6.5) names it only by a pid, and it has none here; run both in one PID namespace", err)
	case isOutOfDescriptors(err):
		return fmt.Errorf("pidfd of pid %d: %w: %w", pid, ErrNoDescriptors, err)
	case isClosed(err):
		return fmt.Errorf("credentials: %w", ErrClosed)
	}
	return fmt.Errorf("control: pidfd of pid %d: %w", pid, err)
}

// credentials reads SO_PEERCRED.
func (c *Conn) credentials() (uid, gid uint32, pid int32, err error) {
	var cred *unix.Ucred
	var failed error
	err = c.raw.Control(func(s uintptr) {
		cred, failed = unix.GetsockoptUcred(int(s), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err = errors.Join(err, failed); err != nil {
		if isClosed(err) {
			return 0, 0, 0, fmt.Errorf("credentials: %w", ErrClosed)
		}
		return 0, 0, 0, fmt.Errorf("control: SO_PEERCRED: %w", err)
	}
	return cred.Uid, cred.Gid, cred.Pid, nil
}

// Exited reports whether the process has ended, zombies included. It never
// blocks. After Close it is false.
func (p *Peer) Exited() bool {
	raw, err := p.PIDFD.SyscallConn()
	if err != nil {
		return false
	}
	ended := false
	err = raw.Control(func(fd uintptr) { ended = readable(fd) })
	return err == nil && ended
}

// waitReadable waits in the runtime's poller: no thread is held.
func (p *Peer) waitReadable() error {
	raw, err := p.PIDFD.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Read(readable)
}

func readable(fd uintptr) bool {
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := ignoringEINTR(func() (int, error) { return unix.Poll(p, 0) })
	return err == nil && n == 1 && p[0].Revents&unix.POLLIN != 0
}
