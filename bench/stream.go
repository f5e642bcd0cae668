//go:build linux

package bench

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// What goes through the kernel is read and written by blocking calls on the
// descriptors themselves: quicker for one process on one processor than Go's
// poller, so this is the best that those mechanisms do. Both sides know the
// size of a message, so that none of them needs a length in front.

// stageFIFO makes a named pipe for each direction.
func stageFIFO(s *stage) error {
	for i, name := range []string{"there", "back"} {
		path := filepath.Join(s.dir, name)
		if err := unix.Mkfifo(path, 0o600); err != nil {
			return fmt.Errorf("bench: fifo %s: %w", path, err)
		}
		s.keep = append(s.keep, func() { os.Remove(path) })
		// Open for both first: neither of the others then waits for a peer.
		both, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		s.closeLater(both)
		read, err := openBlocking(path, unix.O_RDONLY)
		if err != nil {
			return err
		}
		write, err := openBlocking(path, unix.O_WRONLY)
		if err != nil {
			return err
		}
		s.closeLater(read)
		s.closeLater(write)
		publisher := i // of this direction
		s.give(publisher, write)
		s.give(1-publisher, read)
	}
	// Each actor gets the descriptor it writes to first.
	own := s.files[1][ownDescriptors-deskDescriptor:]
	own[0], own[1] = own[1], own[0]
	return nil
}

func openBlocking(path string, mode int) (*os.File, error) {
	fd, err := unix.Open(path, mode|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("bench: %s: %w", path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

func stageUnixStream(s *stage) error { return stagePair(s, unix.SOCK_STREAM) }
func stageSeqpacket(s *stage) error  { return stagePair(s, unix.SOCK_SEQPACKET) }

// socketBuffer is what we ask of the kernel for each socket; it may give less.
const socketBuffer = 1 << 20

// stagePair makes a pair of connected Unix sockets.
func stagePair(s *stage, kind int) error {
	pair, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("bench: socket pair: %w", err)
	}
	for i, fd := range pair {
		f := s.closeLater(os.NewFile(uintptr(fd), "socket"))
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, socketBuffer) != nil {
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, socketBuffer)
		}
		s.give(i, f)
		s.give(i, f)
	}
	return nil
}

// stageTCP makes a connection over the loopback interface.
func stageTCP(s *stage) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	defer l.Close()
	dialled, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	defer dialled.Close()
	accepted, err := l.Accept()
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	defer accepted.Close()
	for i, c := range []net.Conn{dialled, accepted} {
		t := c.(*net.TCPConn)
		if err := t.SetNoDelay(true); err != nil {
			return err
		}
		f, err := t.File()
		if err != nil {
			return err
		}
		s.closeLater(f)
		if err := unix.SetNonblock(int(f.Fd()), false); err != nil {
			return err
		}
		s.give(i, f)
		s.give(i, f)
	}
	return nil
}

// descriptor reads and writes with blocking system calls.
type descriptor int

func (d descriptor) Read(b []byte) (int, error) {
	for {
		n, err := unix.Read(int(d), b)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return 0, fmt.Errorf("bench: read: %w", err)
		case n == 0:
			return 0, io.ErrUnexpectedEOF
		default:
			return n, nil
		}
	}
}

func (d descriptor) Write(b []byte) (int, error) {
	for done := 0; done < len(b); {
		n, err := unix.Write(int(d), b[done:])
		if err != nil && err != unix.EINTR {
			return done, fmt.Errorf("bench: write: %w", err)
		}
		done += max(n, 0)
	}
	return len(b), nil
}

// bufferSize is that of the buffered forms.
const bufferSize = 64 * kib

// attachBytes makes ends of byte streams.
func attachBytes(buffered bool) func(*actor) (outlet, inlet, error) {
	return func(a *actor) (outlet, inlet, error) {
		out, in := descriptor(ownDescriptors), descriptor(ownDescriptors+1)
		if buffered {
			return bufferedOutlet{bufio.NewWriterSize(out, bufferSize)},
				bytesInlet{bufio.NewReaderSize(in, bufferSize), make([]byte, a.Cell.Size)}, nil
		}
		return bytesOutlet{out}, bytesInlet{in, make([]byte, a.Cell.Size)}, nil
	}
}

type bytesOutlet struct{ to descriptor }

func (o bytesOutlet) send(w *writer, n int) error {
	for range n {
		if _, err := o.to.Write(w.next()); err != nil {
			return err
		}
	}
	return nil
}

type bufferedOutlet struct{ to *bufio.Writer }

// send flushes when it has nothing more to send.
func (o bufferedOutlet) send(w *writer, n int) error {
	for range n {
		if _, err := o.to.Write(w.next()); err != nil {
			return err
		}
	}
	return o.to.Flush()
}

type bytesInlet struct {
	from   io.Reader
	buffer []byte
}

func (in bytesInlet) receive(k *checker, n int) error {
	if b, ok := in.from.(*bufio.Reader); ok && len(in.buffer) <= bufferSize {
		return peekAll(b, k, n, len(in.buffer))
	}
	for range n {
		if _, err := io.ReadFull(in.from, in.buffer); err != nil {
			return err
		}
		k.take(in.buffer)
	}
	return nil
}

// peekAll reads messages in place, in the reader's buffer.
func peekAll(from *bufio.Reader, k *checker, n, size int) error {
	for range n {
		p, err := from.Peek(size)
		if err != nil {
			return err
		}
		if !k.next(p) {
			k.take(p)
		}
		if _, err := from.Discard(size); err != nil {
			return err
		}
	}
	return nil
}

// attachPackets makes ends of sockets that keep packets apart. Buffered, a
// packet holds as many messages as fit.
func attachPackets(buffered bool) func(*actor) (outlet, inlet, error) {
	return func(a *actor) (outlet, inlet, error) {
		packet := a.Cell.Size
		if buffered {
			packet = bufferSize / packet * packet
		}
		return &packetOutlet{descriptor(ownDescriptors), make([]byte, 0, packet)},
			&packetInlet{from: descriptor(ownDescriptors + 1), size: a.Cell.Size, buffer: make([]byte, packet)}, nil
	}
}

type packetOutlet struct {
	to     descriptor
	packet []byte
}

func (o *packetOutlet) send(w *writer, n int) error {
	for range n {
		if cap(o.packet) == len(w.payload) {
			if _, err := o.to.Write(w.next()); err != nil {
				return err
			}
			continue
		}
		o.packet = append(o.packet, w.next()...)
		if len(o.packet) == cap(o.packet) {
			if err := o.flush(); err != nil {
				return err
			}
		}
	}
	return o.flush()
}

func (o *packetOutlet) flush() error {
	if len(o.packet) == 0 {
		return nil
	}
	_, err := o.to.Write(o.packet)
	o.packet = o.packet[:0]
	return err
}

type packetInlet struct {
	from   descriptor
	size   int // of a message
	buffer []byte
	rest   []byte // of the last packet
}

func (in *packetInlet) receive(k *checker, n int) error {
	for range n {
		if len(in.rest) == 0 {
			got, err := in.from.Read(in.buffer)
			if err != nil {
				return err
			}
			in.rest = in.buffer[:got]
		}
		if len(in.rest) < in.size {
			return ErrWrong
		}
		k.take(in.rest[:in.size])
		in.rest = in.rest[in.size:]
	}
	return nil
}
