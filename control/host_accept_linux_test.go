package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/shmbus/shmbus/ring"
)

// Whoever takes the socket away under a host keeps newcomers out for a moment only,
// and nobody else hosts meanwhile.
func TestRemovedSocketIsMadeAgain(t *testing.T) {
	root := busRoot(t)
	host := dial(t, Config{Dir: root})
	name := filepath.Join(root, DefaultBus, SocketName)
	for what, damage := range map[string]func() error{
		"removed":            func() error { return os.Remove(name) },
		"replaced by a file": func() error { return errors.Join(os.Remove(name), os.WriteFile(name, nil, 0o600)) },
		"replaced by a stale socket": func() error {
			l, err := Listen(host.dir)
			return errors.Join(err, l.Close())
		},
	} {
		must(t, damage())
		eventually(t, func() error {
			if !host.host.listening().inPlace(host.dir) {
				return errors.New("the socket is not back")
			}
			return nil
		})
		c, err := Dial(soon(t), Config{Dir: root})
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if c.Hosting() {
			t.Errorf("%s: there are two hosts", what)
		}
		c.Close()
	}
	st, err := os.Lstat(name)
	must(t, err)
	if st.Mode().Perm() != 0o600 {
		t.Errorf("the socket is back with mode %v", st.Mode())
	}
}

// A socket that the service manager hands over again, after its path was removed,
// leads to nobody.
func TestHandedSocketMustLieAtItsPath(t *testing.T) {
	root := busRoot(t)
	d, err := openDir(Config{Dir: root, Bus: DefaultBus}, true)
	must(t, err)
	defer d.Close()
	first, err := Listen(d)
	must(t, err)
	defer first.Close()
	for _, c := range []struct {
		what   string
		remove bool
	}{{"in its place", false}, {"removed", true}, {"replaced by the one that the host made", false}} {
		if c.remove {
			must(t, os.Remove(d.Path(SocketName)))
		}
		socket, err := first.ln.File()
		must(t, err)
		ln, err := ListenerFromFile(socket)
		must(t, err)
		h, m, dir, err := becomeHost(Config{Dir: root, Bus: DefaultBus}, ln, slog.New(slog.DiscardHandler))
		must(t, err)
		if kept := h.listening() == ln && ln.inPlace(dir); kept != (c.what == "in its place") {
			t.Errorf("%s: the host listens on it: %v", c.what, kept)
		}
		eventually(t, func() error {
			if !h.listening().inPlace(dir) {
				return errors.New("nobody listens")
			}
			return nil
		})
		client, err := Dial(soon(t), Config{Dir: root, NeverHost: true})
		if err != nil {
			t.Errorf("%s: %v", c.what, err)
		} else {
			client.Close()
		}
		h.close()
		m.Close()
		dir.Close()
	}
}

// When the directory is removed, nobody will ever host there again: whoever asks for
// something is told so.
func TestRemovedDirectoryIsSaid(t *testing.T) {
	for name, never := range map[string]bool{"who may host": false, "who never hosts": true} {
		t.Run(name, func(t *testing.T) {
			root := busRoot(t)
			host, err := Dial(soon(t), Config{Dir: root})
			must(t, err)
			c := dial(t, Config{Dir: root, NeverHost: never})
			waits := make(chan error, 1)
			go func() {
				_, err := c.Subscriber(soon(t), SubscriberRequest{Topic: "t"})
				waits <- err
			}()
			must(t, os.RemoveAll(filepath.Join(root, DefaultBus)))
			host.Close()
			if err := <-waits; !errors.Is(err, ErrNoBus) {
				t.Errorf("who waited: %v, want ErrNoBus", err)
			}
			if _, err := c.Topics(soon(t)); !errors.Is(err, ErrNoBus) {
				t.Errorf("who asks: %v, want ErrNoBus", err)
			}
		})
	}
}

// guestCrowd is a guest with every connection that it can have, and then as many silent
// ones.
var _ = childProgram("guest-crowd", func(args []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), watchdog)
	defer cancel()
	var c *Client
	for known := 0; ; known++ {
		next, err := Dial(ctx, Config{Dir: args[0], Guest: true})
		if errors.Is(err, ErrTooManyClients) {
			fmt.Println("known", known)
			break
		}
		if err != nil {
			return err
		}
		c = next
	}
	for {
		conn, err := dialHost(ctx, c.dir)
		if err != nil {
			return err
		}
		// Silent, until it is refused.
		if raw, _, err := conn.Receive(time.Now().Add(time.Second)); err == nil {
			fmt.Println("refused", errors.Is(decodeError(raw), ErrTooManyClients))
			untilParentEnds()
			return nil
		}
	}
})

func TestGuestsTakeNoPlaceOfTheOwner(t *testing.T) {
	needRoot(t)
	root := busRoot(t)
	must(t, os.Chmod(filepath.Dir(root), 0o755))
	host := dial(t, Config{Dir: root, Host: HostConfig{Group: fmt.Sprint(nobody), MaxClients: 4, MaxUnknown: 4, Handshake: 2 * watchdog}})
	guest := startChild(t, nobody, nobody, "guest-crowd", root)
	expectLines(t, guest, "known 2", "refused true")
	silent := []*Conn{rawConn(t, host), rawConn(t, host), rawConn(t, host)}
	for range 3 {
		dial(t, Config{Dir: root, NeverHost: true})
	}
	if _, err := Dial(soon(t), Config{Dir: root, NeverHost: true}); !errors.Is(err, ErrTooManyClients) {
		t.Errorf("one too many of the owner: %v", err)
	}
	if info, err := host.Host(soon(t)); err != nil || info.Clients != 6 {
		t.Errorf("%+v, %v; want 6 clients", info, err)
	}
	for _, conn := range silent {
		conn.Close()
	}
}

// guestRequests asks for one topic more than a guest may wait for.
var _ = childProgram("guest-requests", func(args []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), watchdog)
	defer cancel()
	c, err := Dial(ctx, Config{Dir: args[0], Guest: true})
	if err != nil {
		return err
	}
	defer c.Close()
	errs := make(chan error)
	for i := range guestRequests + 1 {
		go func() {
			_, err := c.Subscriber(ctx, SubscriberRequest{Topic: fmt.Sprint("t", i), Mode: ring.Lossy})
			errs <- err
		}()
	}
	fmt.Println("refused", errors.Is(<-errs, ErrTooManyRequests))
	return nil
})

func TestRequestsOfGuestsAreFew(t *testing.T) {
	needRoot(t)
	root := busRoot(t)
	must(t, os.Chmod(filepath.Dir(root), 0o755))
	dial(t, Config{Dir: root, Host: HostConfig{Group: fmt.Sprint(nobody)}})
	expectLines(t, startChild(t, nobody, nobody, "guest-requests", root), "refused true")
}
