package control

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var noDeadline time.Time

func socketPair() (a, b *os.File, err error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	return os.NewFile(uintptr(pair[0]), "pair"), os.NewFile(uintptr(pair[1]), "pair"), nil
}

func connOf(f *os.File) (*Conn, error) {
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	return newConn(c.(*net.UnixConn)), nil
}

// rawPair is a connection and, for what a Conn would not send, the bare socket
// at its other end.
func rawPair(t *testing.T) (c *Conn, peer *os.File) {
	t.Helper()
	a, b, err := socketPair()
	must(t, err)
	c, err = connOf(a)
	must(t, err)
	t.Cleanup(func() {
		c.Close()
		b.Close()
	})
	return c, b
}

func connPair(t *testing.T) (a, b *Conn) {
	t.Helper()
	a, raw := rawPair(t)
	b, err := connOf(raw)
	must(t, err)
	t.Cleanup(func() { b.Close() })
	return a, b
}

// inject puts bytes and n descriptors into the connection.
func inject(t *testing.T, peer *os.File, b []byte, n int) {
	t.Helper()
	var rights []byte
	if n > 0 {
		fds := make([]int, n)
		for i := range fds {
			fds[i] = int(peer.Fd())
		}
		rights = unix.UnixRights(fds...)
	}
	must(t, unix.Sendmsg(int(peer.Fd()), b, rights, nil, 0))
}

func TestConnCarriesMessagesAndDescriptors(t *testing.T) {
	a, b := connPair(t)
	fds := openDescriptors(t)
	var files []*os.File
	for i := range MaxFiles {
		f, err := os.CreateTemp(t.TempDir(), "x")
		must(t, err)
		fmt.Fprintf(f, "file %d", i)
		files = append(files, f)
	}
	within(t, "the exchange", func() {
		if err := a.Send(noDeadline, NewHeader("offer", 1), files...); err != nil {
			t.Error(err)
		}
		CloseFiles(files)
		raw, got, err := b.Receive(noDeadline)
		if err != nil || len(got) != len(files) || !strings.Contains(string(raw), "offer") {
			t.Errorf("got %q with %d descriptors, %v", raw, len(got), err)
		}
		for i, f := range got {
			text := make([]byte, 16)
			n, _ := f.ReadAt(text, 0)
			if want := fmt.Sprintf("file %d", i); string(text[:n]) != want {
				t.Errorf("descriptor %d holds %q, want %q", i, text[:n], want)
			}
			if flags, _ := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0); flags&unix.FD_CLOEXEC == 0 {
				t.Errorf("descriptor %d would be inherited by other programs", i)
			}
		}
		CloseFiles(got)
	})
	if now := openDescriptors(t); now > fds {
		t.Errorf("%d descriptors open, %d before", now, fds)
	}
}

func TestReceiveRefuses(t *testing.T) {
	full := bytes.Repeat([]byte("x"), MaxMessage)
	for _, c := range []struct {
		name  string
		bytes []byte
		files int
		want  error
	}{
		{"oversized", append(full, 'x'), 0, ErrMalformed},
		{"oversized with descriptors", append(full, 'x'), MaxFiles, ErrMalformed},
		{"empty", nil, 0, io.EOF},
		{"one descriptor too many", []byte("{}"), MaxFiles + 1, ErrMalformed},
		{"as many descriptors as the kernel lets through", []byte("{}"), 253, ErrMalformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, peer := rawPair(t)
			fds := openDescriptors(t)
			inject(t, peer, c.bytes, c.files)
			within(t, "Receive", func() {
				raw, files, err := conn.Receive(noDeadline)
				if !errors.Is(err, c.want) || raw != nil || files != nil {
					t.Errorf("got %d bytes, %d descriptors, %v; want %v", len(raw), len(files), err, c.want)
				}
			})
			if now := openDescriptors(t); now > fds {
				t.Errorf("%d descriptors open, %d before", now, fds)
			}
		})
	}
}

// What the transport lets through is for DecodeHeader to refuse; descriptors that
// came with it are closed by whoever received it.
func TestGarbageReachesOnlyTheDecoder(t *testing.T) {
	conn, peer := rawPair(t)
	fds := openDescriptors(t)
	for _, c := range []struct {
		bytes string
		files int
	}{
		{"\x00\x01\xff garbage", 0}, {`{"version":1,"type":"hel`, 0}, {strings.Repeat("{", MaxMessage), 0},
		{`{"version":1,"type":"hello"}`, 3}, {"garbage", MaxFiles},
	} {
		inject(t, peer, []byte(c.bytes), c.files)
		within(t, "Receive", func() {
			raw, files, err := conn.Receive(noDeadline)
			if string(raw) != c.bytes || len(files) != c.files || err != nil {
				t.Errorf("got %d bytes, %d descriptors, %v", len(raw), len(files), err)
			}
			if _, err := DecodeHeader(raw); !errors.Is(err, ErrMalformed) && c.files != 3 {
				t.Errorf("DecodeHeader(%.20q): %v, want ErrMalformed", raw, err)
			}
			CloseFiles(files)
		})
	}
	if now := openDescriptors(t); now > fds {
		t.Errorf("%d descriptors open, %d before", now, fds)
	}
}

func TestSendRefuses(t *testing.T) {
	a, b := connPair(t)
	for what, err := range map[string]error{
		"a value that is no JSON": a.Send(noDeadline, make(chan int)),
		"a value too large":       a.Send(noDeadline, strings.Repeat("x", MaxMessage)),
	} {
		if !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v, want ErrMalformed", what, err)
		}
	}
	if err := a.Send(noDeadline, 1, make([]*os.File, MaxFiles+1)...); !errors.Is(err, ErrDescriptors) {
		t.Errorf("too many descriptors: %v, want ErrDescriptors", err)
	}
	closed, err := os.Open("/dev/null")
	must(t, err)
	closed.Close()
	if err := a.Send(noDeadline, 1, closed); !errors.Is(err, ErrDescriptors) {
		t.Errorf("a closed descriptor: %v, want ErrDescriptors", err)
	}
	// None of it was sent, and the connection is as good as before.
	must(t, a.Send(noDeadline, strings.Repeat("x", MaxMessage-2)))
	within(t, "Receive", func() {
		if raw, _, err := b.Receive(noDeadline); len(raw) != MaxMessage || err != nil {
			t.Errorf("got %d bytes, %v", len(raw), err)
		}
	})
}

// fill sends until the kernel says that nothing more fits, and returns how many
// messages it was. A deadline would not do: it may pass before anything is tried.
func fill(t *testing.T, c *Conn) (sent int) {
	t.Helper()
	return fillWith(t, c, []byte(strings.Repeat("x", 1000)))
}

func fillWith(t *testing.T, c *Conn, b []byte) (sent int) {
	t.Helper()
	failed := error(nil)
	must(t, c.raw.Control(func(fd uintptr) {
		for ; failed == nil; sent++ {
			_, failed = ignoringEINTR(func() (int, error) { return unix.SendmsgN(int(fd), b, nil, nil, unix.MSG_DONTWAIT) })
		}
	}))
	if !errors.Is(failed, unix.EAGAIN) {
		t.Errorf("filling the socket: %v, want EAGAIN", failed)
	}
	return sent - 1
}

func TestSlowPeer(t *testing.T) {
	a, b := connPair(t)
	soon := func() time.Time { return time.Now().Add(20 * time.Millisecond) }
	within(t, "a deadline", func() {
		for range 2 {
			if _, _, err := a.Receive(soon()); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Receive of nothing: %v, want ErrDeadlineExceeded", err)
			}
		}
		sent := fill(t, b)
		if err := b.Send(soon(), "x"); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Send to one who does not read: %v, want ErrDeadlineExceeded", err)
		}
		// While one waits for ever, another's deadline holds.
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := b.Send(noDeadline, "patient"); err != nil {
				t.Error(err)
			}
		})
		for range 3 {
			if err := b.Send(soon(), "hasty"); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Send beside another: %v, want ErrDeadlineExceeded", err)
			}
		}
		for i := range sent + 1 {
			raw, _, err := a.Receive(noDeadline)
			if err != nil {
				t.Errorf("message %d of %d: %q, %v", i, sent, raw, err)
				break
			}
		}
		wg.Wait()
	})
}

func TestCloseEndsBlockedCalls(t *testing.T) {
	a, b := connPair(t)
	errs := make(chan error, 3)
	started := make(chan struct{})
	go func() {
		close(started)
		_, _, err := a.Receive(noDeadline)
		errs <- err
	}()
	for range 2 { // one in the system call, one waiting for it
		go func() {
			for {
				if err := a.Send(noDeadline, strings.Repeat("x", 1000)); err != nil {
					errs <- err
					return
				}
			}
		}()
	}
	<-started
	// Once nothing can be taken in, at least one of them is blocked.
	within(t, "filling the socket", func() {
		for {
			if err := a.Send(time.Now().Add(10*time.Millisecond), "x"); err != nil {
				return
			}
		}
	})
	must(t, a.Close())
	must(t, a.Close())
	within(t, "the blocked calls", func() {
		for range 3 {
			if err := <-errs; !errors.Is(err, ErrClosed) {
				t.Errorf("got %v, want ErrClosed", err)
			}
		}
	})
	if err := a.Send(noDeadline, 1); !errors.Is(err, ErrClosed) {
		t.Errorf("Send after Close: %v, want ErrClosed", err)
	}
	if _, err := Credentials(a); !errors.Is(err, ErrClosed) {
		t.Errorf("Credentials after Close: %v, want ErrClosed", err)
	}
	if err := b.Send(noDeadline, 1); !errors.Is(err, io.EOF) {
		t.Errorf("Send to one who closed: %v, want EOF", err)
	}
}

// A host that refuses closes with the asker's messages unread. The refusal must
// arrive all the same.
func TestLastWordIsHeard(t *testing.T) {
	host, client := connPair(t)
	for range 3 {
		must(t, client.Send(noDeadline, NewHeader("unread", 1)))
	}
	must(t, host.Send(noDeadline, Refuse(Header{Version: 2})))
	must(t, host.Close())
	within(t, "Receive", func() {
		raw, _, err := client.Receive(noDeadline)
		if err != nil {
			t.Fatalf("the refusal is lost: %v", err)
		}
		if _, err := DecodeHeader(raw); !errors.Is(err, ErrVersion) {
			t.Errorf("got %q", raw)
		}
		for range 2 {
			if _, _, err := client.Receive(noDeadline); !errors.Is(err, io.EOF) {
				t.Errorf("then %v, want EOF", err)
			}
		}
	})
}

func TestManySenders(t *testing.T) {
	a, b := connPair(t)
	const senders, each = 8, 50
	type message struct{ Sender, Number int }
	var wg sync.WaitGroup
	for s := range senders {
		wg.Go(func() {
			for n := range each {
				if err := a.Send(time.Now().Add(watchdog), message{s, n}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	within(t, "the messages", func() {
		next := map[int]int{}
		for range senders * each {
			raw, _, err := b.Receive(noDeadline)
			if err != nil {
				t.Error(err)
				return
			}
			var m message
			if err := json.Unmarshal(raw, &m); err != nil || m.Number != next[m.Sender] {
				t.Errorf("got %q, %v; want number %d", raw, err, next[m.Sender])
				return
			}
			next[m.Sender]++
		}
		wg.Wait()
	})
}
