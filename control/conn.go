package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// MaxFiles is the limit of descriptors in one message.
const MaxFiles = 8

// Conn is one control connection: a SOCK_SEQPACKET socket, so one message is one
// system call on either side and never arrives in part.
//
// One goroutine receives; any number send; Close from anywhere.
type Conn struct {
	c   *net.UnixConn
	raw syscall.RawConn
	// sending is held by the sender at work. A channel, because others wait for
	// it no longer than their deadlines.
	sending chan struct{}
	closed  chan struct{}
	once    sync.Once
	// discard closes descriptors that nobody gets to see.
	discard func([]*os.File)
}

func newConn(c *net.UnixConn) *Conn {
	raw, err := c.SyscallConn()
	if err != nil { // only for an invalid (nil) connection
		panic("control: " + err.Error())
	}
	return &Conn{c: c, raw: raw, sending: make(chan struct{}, 1), closed: make(chan struct{}), discard: CloseFiles}
}

// buffer is room for a message and for all descriptors that may come along (253): those
// that there is no room for the kernel closes, in this thread, which may take for ever.
type buffer struct {
	message [MaxMessage]byte
	control [2 << 10]byte
}

// buffers are borrowed only while a message is there to be read: an idle connection
// owns none.
var buffers = sync.Pool{New: func() any { return new(buffer) }}

// Send marshals v to JSON and sends it as one message with the given files'
// descriptors. It blocks while the peer does not read, until the deadline (zero:
// none). The files stay the caller's. A limit on descriptors in flight
// (ETOOMANYREFS), which another process may have used up, is waited out.
//
// Errors: ErrMalformed (v does not marshal or is too large: nothing was sent),
// ErrDescriptors (more than MaxFiles), os.ErrDeadlineExceeded, io.EOF (the peer
// has closed), ErrClosed.
func (c *Conn) Send(deadline time.Time, v any, files ...*os.File) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("%w: cannot marshal a %T: %w", ErrMalformed, v, err)
	}
	if len(b) > MaxMessage {
		return fmt.Errorf("%w: a %T of %d bytes is over the limit of %d", ErrMalformed, v, len(b), MaxMessage)
	}
	if len(files) > MaxFiles {
		return fmt.Errorf("%w: %d in one message, at most %d", ErrDescriptors, len(files), MaxFiles)
	}
	if err := c.lockSending(deadline); err != nil {
		return err
	}
	defer func() { <-c.sending }()
	if err := c.c.SetWriteDeadline(deadline); err != nil {
		return c.failed("send", err)
	}
	return c.failed("send", c.send(deadline, b, files))
}

func (c *Conn) lockSending(deadline time.Time) error {
	var late <-chan time.Time
	if !deadline.IsZero() {
		t := time.NewTimer(time.Until(deadline))
		defer t.Stop()
		late = t.C
	}
	select {
	case c.sending <- struct{}{}:
		return nil
	case <-c.closed:
		return fmt.Errorf("send: %w", ErrClosed)
	case <-late:
		return fmt.Errorf("control: send: another message is on its way to a peer that does not read: %w", os.ErrDeadlineExceeded)
	}
}

// Receive waits for one message until the deadline (zero: none) and returns a
// copy of it with the descriptors it carried, which are the caller's to close
// (CloseFiles). After an error no descriptor is left open, and after any but
// os.ErrDeadlineExceeded and ErrNoDescriptors the connection is of no more use.
// With ErrNoDescriptors the message is there, whole, without what it carried.
//
// Errors: io.EOF (the peer has closed, or sent an empty message),
// os.ErrDeadlineExceeded, ErrMalformed (over MaxMessage bytes, over MaxFiles
// descriptors), ErrNoDescriptors, ErrClosed.
func (c *Conn) Receive(deadline time.Time) (message []byte, files []*os.File, err error) {
	if err := c.c.SetReadDeadline(deadline); err != nil {
		return nil, nil, c.failed("receive", err)
	}
	message, files, err = c.receive()
	if err != nil {
		c.discard(files)
		if !errors.Is(err, ErrNoDescriptors) {
			message = nil
		}
		return message, nil, c.failed("receive", err)
	}
	return message, files, nil
}

// CloseFiles closes descriptors that nobody keeps.
func CloseFiles(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// Close ends the connection; blocked calls return ErrClosed. What was sent
// before is still delivered. Idempotent.
func (c *Conn) Close() error {
	c.once.Do(func() { close(c.closed) })
	if err := c.c.Close(); err != nil && !isClosed(err) {
		return fmt.Errorf("control: close: %w", err)
	}
	return nil
}

// failed names the operation in an error of the net package.
func (c *Conn) failed(op string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.EOF):
		return io.EOF
	case isClosed(err):
		return fmt.Errorf("%s: %w", op, ErrClosed)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("control: %s: the peer took too long: %w", op, os.ErrDeadlineExceeded)
	}
	return fmt.Errorf("%s: %w", op, err)
}
