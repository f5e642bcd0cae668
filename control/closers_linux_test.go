package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// lingering is a socket whose last close takes an hour: its peer, which this process
// keeps, does not read what is to be sent before.
func lingering() (*os.File, error) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer ln.Close()
	c, err := net.Dial("tcp4", ln.Addr().String())
	if err != nil {
		return nil, err
	}
	defer c.Close()
	peer, err := ln.Accept()
	if err != nil {
		return nil, err
	}
	if _, err := peer.(*net.TCPConn).File(); err != nil { // kept by nobody's closing it
		return nil, err
	}
	f, err := c.(*net.TCPConn).File()
	if err != nil {
		return nil, err
	}
	fd := int(f.Fd())
	b := make([]byte, 1<<16)
	for n := 1; n > 0; {
		if err := unix.SetNonblock(fd, true); err != nil {
			return nil, err
		}
		for err == nil {
			_, err = unix.Write(fd, b)
		}
		n, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, 50)
		if err != nil {
			return nil, err
		}
	}
	return f, unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1, Linger: 3600})
}

// lingerer is a guest that does what it is told.
type lingerer struct {
	ctx   context.Context
	root  string
	conns []*Conn
	files []*os.File
}

// linger sends a message with a descriptor whose last holder is the host then. False: the
// kernel does not let it.
func (l *lingerer) linger(conn *Conn, m any) (bool, error) {
	f, err := lingering()
	if err != nil {
		return false, err
	}
	if err = conn.Send(time.Now().Add(watchdog), m, f); errors.Is(err, unix.EPERM) {
		l.files = append(l.files, f) // not for us to close
		return false, conn.Close()
	}
	closed := make(chan struct{})
	go func() {
		f.Close()
		close(closed)
	}()
	select {
	case <-closed:
	case <-time.After(100 * time.Millisecond): // the host was before us, and we have what it was to have
	}
	return err == nil, err
}

func welcome(conn *Conn, hello helloRequest) bool {
	if conn.Send(time.Now().Add(watchdog), hello) != nil {
		return false
	}
	raw, _, err := conn.Receive(time.Now().Add(watchdog))
	head, headErr := DecodeHeader(raw)
	return err == nil && headErr == nil && head.Type == typeWelcome
}

func (l *lingerer) obey(word string) (string, error) {
	hello := helloRequest{Header: NewHeader(typeHello, 1), Program: "lingerer"}
	if word == "join" {
		for {
			c, err := Dial(l.ctx, Config{Dir: l.root, Guest: true})
			if err == nil {
				return "joined", c.Close()
			}
			if l.ctx.Err() != nil { // until then it may be refused, or hung up on, for those before it
				return "", err
			}
		}
	}
	d, err := openDir(Config{Dir: l.root, Bus: DefaultBus, Guest: true}, false)
	if err != nil {
		return "", err
	}
	defer d.Close()
	if word == "loud" {
		for _, c := range l.conns {
			c.Close()
		}
		return "loud", nil
	}
	taken := 0
	for range 3 {
		conn, err := dialHost(l.ctx, d)
		for err == nil && word == "late" && !welcome(conn, hello) { // some of those before may not be counted out yet
			conn.Close()
			conn, err = dialHost(l.ctx, d)
		}
		if err != nil {
			return "", err
		}
		l.conns = append(l.conns, conn)
		if word == "silent" {
			continue
		}
		ok, err := l.linger(conn, hello)
		if err != nil {
			return "", err
		}
		if ok {
			taken++
		}
	}
	return fmt.Sprint(word, " ", taken), nil
}

var _ = childProgram("lingerer", func(args []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 4*watchdog)
	defer cancel()
	l := &lingerer{ctx: ctx, root: args[0]}
	for {
		var word string
		if _, err := fmt.Scanln(&word); err != nil {
			return nil
		}
		said, err := l.obey(word)
		if err != nil {
			said = fmt.Sprintf("%s: %v", word, err)
		}
		fmt.Println(said)
	}
})

// A guest sends descriptors whose close takes an hour. Whether the kernel keeps them
// from the host or not, nobody is kept out, and the host can leave.
func TestNobodyWaitsForAStrangersDescriptors(t *testing.T) {
	needRoot(t)
	for name, guarded := range map[string]bool{"refused by the kernel": true, "closed aside": false} {
		t.Run(name, func(t *testing.T) { lingersAt(t, guarded) })
	}
}

func lingersAt(t *testing.T, guarded bool) {
	root := busRoot(t)
	must(t, os.Chmod(filepath.Dir(root), 0o755))
	c := dial(t, Config{Dir: root, Host: HostConfig{Group: fmt.Sprint(nobody), MaxUnknown: 6, Handshake: 4 * watchdog}})
	h := c.host
	raw, err := h.listening().ln.SyscallConn()
	must(t, err)
	scratch, _ := rawPair(t)
	if known := passRights(scratch.raw, true); guarded && !known {
		t.Skip("this kernel does not refuse descriptors (before 6.16)")
	}
	if !guarded {
		passRights(raw, true)
	}
	guest := startChild(t, nobody, nobody, "lingerer", root)
	say := func(word, want string) {
		t.Helper()
		fmt.Fprintln(guest.stdin, word)
		if got := guest.line(); got != want {
			t.Fatalf("the guest says %q, want %q", got, want)
		}
	}
	taken := 3
	if guarded {
		taken = 0
	}
	unknown := func(n int) {
		t.Helper()
		eventually(t, func() error {
			h.mu.Lock()
			defer h.mu.Unlock()
			if h.guests.unknown != n {
				return fmt.Errorf("%d guests have not said who they are, want %d", h.guests.unknown, n)
			}
			return nil
		})
	}
	send := func() {
		t.Helper()
		h.mu.Lock() // the host sees nobody before it has sent all
		defer h.mu.Unlock()
		fmt.Fprintln(guest.stdin, "hello")
		got, n := guest.line(), 0
		// One may have been accepted already, and the kernel told about it.
		if fmt.Sscanf(got, "hello %d", &n); n > taken || n < taken-1 {
			t.Fatalf("the guest says %q, want %d taken", got, taken)
		}
	}
	say("silent", "silent 0")
	unknown(3)
	send() // refused, with what they have sent unread
	say("loud", "loud")
	unknown(0)
	send() // read
	unknown(0)
	fmt.Fprintln(guest.stdin, "late") // after a hello
	if got := guest.line(); !strings.HasPrefix(got, "late ") {
		t.Fatalf("the guest says %q", got)
	}
	dial(t, Config{Dir: root, NeverHost: true})
	say("join", "joined")
	within(t, "the host's leaving", func() { c.Close() })
}
