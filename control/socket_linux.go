package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Listen makes the socket of the bus and puts it into the place of the one
// before, if any: a stale socket needs no cleaning, and there is no moment at
// which connecting finds a socket that nobody serves. Only the holder of the
// HostLock may call it. The socket is 0600 from its first moment; in group mode
// it becomes 0660 of the group.
//
// Errors: ErrGuest, ErrPermission, ErrNoDescriptors.
func Listen(d *BusDir) (*Listener, error) {
	name := filepath.Join(d.path, SocketName)
	if d.guest {
		return nil, fmt.Errorf("%w: listen on %s", ErrGuest, name)
	}
	next := d.Path(socketNext)
	// Of a host that died right here; we hold the lock, so it is nobody's.
	if err := os.Remove(next); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("control: remove %s.new: %w", name, err)
	}
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		// The mode of the path is that of the socket before bind.
		return errors.Join(c.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), 0o600) }), err)
	}}
	ln, err := lc.Listen(context.Background(), "unixpacket", next)
	if err != nil {
		return nil, dialError(err, "listen on "+name)
	}
	l := &Listener{ln: ln.(*net.UnixListener), name: name}
	l.ln.SetUnlinkOnClose(false)
	l.guard(d)
	l.file, err = os.Lstat(next)
	if err == nil {
		err = d.publishSocket(next)
	}
	if err != nil {
		l.Close()
		return nil, fmt.Errorf("control: listen on %s: %w", name, err)
	}
	return l, nil
}

func (d *BusDir) publishSocket(next string) error {
	if d.group != nil {
		if err := os.Lchown(next, -1, int(d.group.GID)); err != nil {
			return fmt.Errorf("%w: give the socket to group %s: %w", ErrPermission, d.group.Name, err)
		}
		if err := os.Chmod(next, 0o660); err != nil {
			return err
		}
	}
	return os.Rename(next, d.Path(SocketName))
}

// ListenerFromFile takes a listening socket from a service manager (systemd
// socket activation) and owns f from then on. The socket must be
// ListenSequentialPacket=.
//
// Errors: ErrMalformed if it is anything else.
func ListenerFromFile(f *os.File) (*Listener, error) {
	defer f.Close() // FileListener makes a duplicate
	fd := int(f.Fd())
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil {
		return nil, fmt.Errorf("%w: descriptor %d (%s) is not a socket: %w", ErrMalformed, fd, f.Name(), err)
	}
	domain, err1 := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	listening, err2 := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("control: socket %s: %w", f.Name(), err)
	}
	if kind != unix.SOCK_SEQPACKET || domain != unix.AF_UNIX || listening != 1 {
		return nil, fmt.Errorf("%w: socket %s has type %d, family %d, listening %d; want a listening Unix socket of type %d (ListenSequentialPacket=)",
			ErrMalformed, f.Name(), kind, domain, listening, unix.SOCK_SEQPACKET)
	}
	ln, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("control: socket %s: %w", f.Name(), err)
	}
	ul, ok := ln.(*net.UnixListener)
	if !ok {
		ln.Close()
		return nil, fmt.Errorf("%w: socket %s is a %T", ErrMalformed, f.Name(), ln)
	}
	ul.SetUnlinkOnClose(false)
	return &Listener{ln: ul, name: ul.Addr().String()}, nil
}

func dialUnix(ctx context.Context, d *BusDir) (*net.UnixConn, error) {
	var dialer net.Dialer
	name := filepath.Join(d.path, SocketName)
	for full := false; ; {
		c, err := dialer.DialContext(ctx, "unixpacket", d.Path(SocketName))
		if err == nil {
			return c.(*net.UnixConn), nil
		}
		late := errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
		if !errors.Is(err, unix.EAGAIN) && !(full && late) {
			return nil, dialError(err, "connect to "+name)
		}
		full = true
		again := time.NewTimer(dialAgain)
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return nil, fmt.Errorf("%w: pid %d listens on %s but its backlog is full: %w", ErrHostStalled, d.HostPID(), name, ctx.Err())
		}
	}
}

func dialError(err error, what string) error {
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ECONNREFUSED):
		return fmt.Errorf("%w: %s: %w", ErrNoHost, what, err)
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return fmt.Errorf("%w: %s: %w", ErrPermission, what, err)
	case isOutOfDescriptors(err):
		return fmt.Errorf("%w: %s: %w", ErrNoDescriptors, what, err)
	}
	return fmt.Errorf("control: %s: %w", what, err)
}
