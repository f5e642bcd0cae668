package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

// Listener accepts the connections of a bus.
//
// Safe for concurrent use.
type Listener struct {
	ln   *net.UnixListener
	name string      // for people
	file os.FileInfo // what lies at the path; nil: not known
}

// guard has the kernel refuse descriptors that are sent before the host has seen who
// sends them, if guests may join.
func (l *Listener) guard(d *BusDir) {
	if raw, err := l.ln.SyscallConn(); err == nil && d.group != nil {
		passRights(raw, false)
	}
}

// inPlace reports whether the socket still is what lies at its path.
func (l *Listener) inPlace(d *BusDir) bool {
	there, err := os.Lstat(d.Path(SocketName))
	if err != nil {
		return !errors.Is(err, os.ErrNotExist)
	}
	return l.file != nil && os.SameFile(there, l.file)
}

// findPatience is how long findFile waits for room in a backlog.
const findPatience = 100 * time.Millisecond

// findFile finds out for a socket that was handed over whether it is what lies at its
// path. The kernel does not tell; but nobody else listens there, so connecting does.
func (l *Listener) findFile(d *BusDir) {
	ctx, cancel := context.WithTimeout(context.Background(), findPatience)
	defer cancel()
	c, err := dialUnix(ctx, d)
	if err == nil {
		c.Close()
	}
	if there, statErr := os.Lstat(d.Path(SocketName)); statErr == nil && !errors.Is(err, ErrNoHost) {
		l.file = there
	}
}

// Addr returns the path of the socket for people.
func (l *Listener) Addr() string { return l.name }

// SetDeadline bounds Accept; the zero time means no bound.
func (l *Listener) SetDeadline(t time.Time) error { return l.ln.SetDeadline(t) }

// Accept waits for a connection.
//
// Errors: ErrClosed, ErrNoDescriptors (the connection waits on: close
// something and accept again), os.ErrDeadlineExceeded.
func (l *Listener) Accept() (*Conn, error) {
	c, err := l.ln.AcceptUnix()
	switch {
	case err == nil:
		return newConn(c), nil
	case isClosed(err):
		return nil, fmt.Errorf("accept on %s: %w", l.name, ErrClosed)
	case isOutOfDescriptors(err):
		return nil, fmt.Errorf("accept on %s: %w: %w", l.name, ErrNoDescriptors, err)
	}
	return nil, fmt.Errorf("control: accept on %s: %w", l.name, err)
}

// Close stops listening. The socket file stays: it may be the next host's by
// now, and nobody can mistake one that refuses. Idempotent.
func (l *Listener) Close() error {
	if err := l.ln.Close(); err != nil && !isClosed(err) {
		return fmt.Errorf("control: close %s: %w", l.name, err)
	}
	return nil
}

// dialAgain is how long dialHost waits when the host's backlog is full.
const dialAgain = 5 * time.Millisecond

// dialHost connects to the host of the bus and checks that it is the directory's
// owner (or root, who made the socket for it). It does not retry when nobody
// listens; it does while the host's backlog is full, until ctx ends.
//
// Errors: ErrNoHost, ErrPermission, ErrHostStalled (ctx ended with the backlog
// full), ErrNoDescriptors, ctx's.
func dialHost(ctx context.Context, d *BusDir) (*Conn, error) {
	c, err := dialUnix(ctx, d)
	if err != nil {
		return nil, err
	}
	conn := newConn(c)
	uid, _, pid, err := conn.credentials()
	if err == nil && uid != d.owner && uid != 0 {
		err = fmt.Errorf("%w: the bus directory %s belongs to uid %d, but uid %d (pid %d) listens in it", ErrPermission, d.path, d.owner, uid, pid)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

func isClosed(err error) bool { return errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrClosed) }
