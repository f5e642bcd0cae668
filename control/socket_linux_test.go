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

func wantNoHost(t *testing.T, d *BusDir) {
	t.Helper()
	within(t, "Dial", func() {
		if _, err := dialHost(context.Background(), d); !errors.Is(err, ErrNoHost) {
			t.Errorf("Dial: %v, want ErrNoHost", err)
		}
	})
}

// exchange sends one message from a new connection to the listener.
func exchange(t *testing.T, d *BusDir, l *Listener) {
	t.Helper()
	within(t, "an exchange", func() {
		c, err := dialHost(context.Background(), d)
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		h, err := l.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		defer h.Close()
		if err := c.Send(noDeadline, NewHeader("hello", 1)); err != nil {
			t.Error(err)
		}
		raw, _, err := h.Receive(noDeadline)
		if want := `{"version":1,"type":"hello","id":1}`; string(raw) != want || err != nil {
			t.Errorf("got %q, %v", raw, err)
		}
	})
}

func TestStaleSocketIsReplaced(t *testing.T) {
	d := testBusDir(t)
	wantNoHost(t, d)
	first, err := Listen(d)
	must(t, err)
	exchange(t, d, first)
	must(t, first.Close())
	must(t, first.Close())
	if _, err := os.Lstat(d.String() + "/" + SocketName); err != nil {
		t.Errorf("closing a listener took the path away: %v", err)
	}
	wantNoHost(t, d) // it is stale now
	if _, err := first.Accept(); !errors.Is(err, ErrClosed) {
		t.Errorf("Accept after Close: %v, want ErrClosed", err)
	}
	// One host died between bind and rename, too.
	left, err := net.Listen("unixpacket", d.Path(socketNext))
	must(t, err)
	left.(*net.UnixListener).SetUnlinkOnClose(false)
	left.Close()

	old, err := Listen(d)
	must(t, err)
	next, err := Listen(d)
	must(t, err)
	defer next.Close()
	// A third one has just made its socket, under the name that each has at first.
	young, err := net.Listen("unixpacket", d.Path(socketNext))
	must(t, err)
	must(t, old.Close()) // must not take away its successors' sockets
	if _, err := os.Lstat(d.String() + "/" + socketNext); err != nil {
		t.Errorf("closing a listener took the path of the next one away: %v", err)
	}
	young.Close()
	exchange(t, d, next)
	if want := d.String() + "/" + SocketName; next.Addr() != want {
		t.Errorf("address %q, want %q", next.Addr(), want)
	}
	if _, err := os.Lstat(d.String() + "/" + socketNext); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket's first name is left: %v", err)
	}
}

func TestSomethingElseInPlaceOfTheSocket(t *testing.T) {
	d := testBusDir(t)
	must(t, os.WriteFile(d.String()+"/"+SocketName, nil, 0o600))
	wantNoHost(t, d)
	l, err := Listen(d)
	must(t, err)
	exchange(t, d, l)
	l.Close()
	must(t, os.Remove(d.String()+"/"+SocketName))
	must(t, os.Mkdir(d.String()+"/"+SocketName, 0o700))
	fds := openDescriptors(t)
	_, err = Listen(d)
	wantText(t, err, d.String()+"/"+SocketName)
	if now := openDescriptors(t); now > fds {
		t.Errorf("%d descriptors open, %d before", now, fds)
	}
}

var _ = childProgram("impostor", func(args []string) error {
	l, err := net.Listen("unixpacket", args[0])
	if err != nil {
		return err
	}
	fmt.Println("listening")
	untilParentEnds()
	return l.Close()
})

func TestHostOfAnotherUidIsRefused(t *testing.T) {
	needRoot(t)
	dir := shortDir(t)
	must(t, os.Chown(dir, nobody, nobody))
	d := testBusDir(t)
	c := startChild(t, nobody, nobody, "impostor", dir+"/s")
	if got := c.line(); got != "listening" {
		t.Fatal(got)
	}
	must(t, os.Rename(dir+"/s", d.String()+"/"+SocketName))
	fds := openDescriptors(t)
	_, err := dialHost(context.Background(), d)
	if !errors.Is(err, ErrPermission) {
		t.Errorf("Dial: %v, want ErrPermission", err)
	}
	wantText(t, err, "uid 65534", "uid 0", d.String())
	if now := openDescriptors(t); now > fds {
		t.Errorf("%d descriptors open, %d before", now, fds)
	}
}

// A host that is stopped accepts nobody; in the end its backlog is full.
func TestFullBacklogIsAStalledHost(t *testing.T) {
	d := testBusDir(t)
	mustLock(t, d)
	s, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(s)
	must(t, unix.Bind(s, &unix.SockaddrUnix{Name: d.Path(SocketName)}))
	must(t, unix.Listen(s, 0))
	within(t, "Dial", func() {
		for {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			c, err := dialHost(ctx, d)
			cancel()
			if err == nil {
				defer c.Close()
				continue
			}
			if !errors.Is(err, ErrHostStalled) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Dial: %v, want ErrHostStalled", err)
			}
			wantText(t, err, fmt.Sprintf("pid %d", os.Getpid()))
			return
		}
	})
}

func TestListenerFromFile(t *testing.T) {
	d := testBusDir(t)
	dir := shortDir(t)
	file := func(network string) *os.File {
		name := filepath.Join(dir, network)
		l, err := net.Listen(network, name)
		must(t, err)
		l.(*net.UnixListener).SetUnlinkOnClose(false)
		defer l.Close()
		f, err := l.(*net.UnixListener).File()
		must(t, err)
		return f
	}
	activated := file("unixpacket")
	must(t, os.Rename(dir+"/unixpacket", d.String()+"/"+SocketName))
	l, err := ListenerFromFile(activated)
	must(t, err)
	exchange(t, d, l)
	must(t, l.Close())
	wantNoHost(t, d) // no descriptor of it is left
	if _, err := os.Lstat(d.String() + "/" + SocketName); err != nil {
		t.Errorf("closing took away the service manager's socket: %v", err)
	}

	fds := openDescriptors(t)
	null, err := os.Open("/dev/null")
	must(t, err)
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(pair[1])
	for what, f := range map[string]*os.File{
		"a stream socket": file("unix"), "a file": null, "a connection": os.NewFile(uintptr(pair[0]), "connection"),
	} {
		if _, err := ListenerFromFile(f); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v, want ErrMalformed", what, err)
		} else if strings.Contains(what, "socket") {
			wantText(t, err, "ListenSequentialPacket=")
		}
	}
	if now := openDescriptors(t); now > fds+1 {
		t.Errorf("%d descriptors open, %d before and one of the pair", now, fds)
	}
}
