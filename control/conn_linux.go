package control

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// How long to wait when descriptors in flight are at their limit.
const (
	inFlightAgain = time.Millisecond
	inFlightMost  = 20 * time.Millisecond
)

// send puts one message into the socket. Called with c.sending held.
func (c *Conn) send(deadline time.Time, b []byte, files []*os.File) error {
	var rights []byte
	if len(files) > 0 {
		fds := make([]int, len(files))
		for i, f := range files {
			fds[i] = int(f.Fd())
		}
		rights = unix.UnixRights(fds...)
	}
	defer runtime.KeepAlive(files)
	for again := inFlightAgain; ; again = min(2*again, inFlightMost) {
		var failed error
		err := c.raw.Write(func(fd uintptr) bool {
			_, failed = ignoringEINTR(func() (int, error) {
				return unix.SendmsgN(int(fd), b, rights, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
			})
			return !errors.Is(failed, unix.EAGAIN)
		})
		switch {
		case err != nil:
			return err
		case errors.Is(failed, unix.ETOOMANYREFS):
			if err := c.pause(deadline, again); err != nil {
				return err
			}
		case errors.Is(failed, unix.EPIPE), errors.Is(failed, unix.ECONNRESET), errors.Is(failed, unix.ENOTCONN):
			return io.EOF
		case errors.Is(failed, unix.EBADF):
			return fmt.Errorf("%w: one to be sent is closed", ErrDescriptors)
		case failed != nil:
			return fmt.Errorf("control: %d bytes with %d descriptors: %w", len(b), len(files), failed)
		default:
			return nil
		}
	}
}

// pause waits until it makes sense to send descriptors again.
func (c *Conn) pause(deadline time.Time, d time.Duration) error {
	if !deadline.IsZero() && time.Until(deadline) < d {
		return fmt.Errorf("too many descriptors in flight (RLIMIT_NOFILE of this user): %w", os.ErrDeadlineExceeded)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-c.closed:
		return os.ErrClosed
	}
}

// receive takes one message out of the socket. Files are returned with an error
// too, for Receive to close.
func (c *Conn) receive() (message []byte, files []*os.File, err error) {
	var oob []byte
	var n, oobn, flags int
	var failed error
	readErr := c.raw.Read(func(fd uintptr) bool {
		buf := buffers.Get().(*buffer)
		defer buffers.Put(buf)
		// A peer that closes with messages of ours unread makes the next call
		// fail with ECONNRESET, once, and what it had sent comes after that: the
		// refusal that says why. So ask again.
		for range 3 {
			n, oobn, flags, _, failed = unix.Recvmsg(int(fd), buf.message[:], buf.control[:], unix.MSG_CMSG_CLOEXEC|unix.MSG_DONTWAIT)
			if !errors.Is(failed, unix.ECONNRESET) && !errors.Is(failed, unix.EINTR) {
				break
			}
		}
		if failed == nil && n > 0 {
			message = append([]byte(nil), buf.message[:n]...)
		}
		if failed == nil {
			oob = append([]byte(nil), buf.control[:oobn]...)
		}
		return !errors.Is(failed, unix.EAGAIN)
	})
	switch {
	case readErr != nil:
		return nil, nil, readErr
	case errors.Is(failed, unix.ECONNRESET):
		return nil, nil, io.EOF
	case failed != nil:
		return nil, nil, fmt.Errorf("control: recvmsg: %w", failed)
	}
	files, err = filesOf(oob)
	switch {
	case err != nil:
	case flags&unix.MSG_CTRUNC != 0 && len(files) <= MaxFiles:
		err = fmt.Errorf("%w: %d of the descriptors in a message could be taken; raise RLIMIT_NOFILE", ErrNoDescriptors, len(files))
	case len(files) > MaxFiles:
		err = fmt.Errorf("%w: more than %d descriptors in one message", ErrMalformed, MaxFiles)
	case flags&unix.MSG_TRUNC != 0:
		err = fmt.Errorf("%w: a message of more than %d bytes", ErrMalformed, MaxMessage)
	case n == 0:
		err = io.EOF
	}
	return message, files, err
}

// filesOf takes the descriptors out of control messages, all of them, whatever
// else is wrong.
func filesOf(oob []byte) ([]*os.File, error) {
	if len(oob) == 0 {
		return nil, nil
	}
	parts, err := unix.ParseSocketControlMessage(oob)
	var files []*os.File
	for i := range parts {
		fds, rightsErr := unix.ParseUnixRights(&parts[i])
		if rightsErr != nil {
			err = errors.Join(err, rightsErr)
			continue
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "received descriptor"))
		}
	}
	if err != nil {
		return files, fmt.Errorf("%w: control data: %w", ErrMalformed, err)
	}
	return files, nil
}
