package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shmbus/shmbus/ring"
)

// serve runs Serve until the returned function is called.
func serve(t *testing.T, config Config) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan string, 1), make(chan error, 1)
	go func() { done <- Serve(ctx, config, func(addr string) { ready <- addr }) }()
	select {
	case <-ready:
	case err := <-done:
		t.Fatal(err)
	case <-soon(t).Done():
		t.Fatal("watchdog: not ready")
	}
	stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		done <- nil
	}
	t.Cleanup(stop)
	return stop
}

func TestServerKeepsTopicsUntilTheyAreRemoved(t *testing.T) {
	config := Config{Dir: busRoot(t), Host: HostConfig{Keep: true}}
	stop := serve(t, config)
	if err := Serve(soon(t), config, nil); !errors.Is(err, ErrHostRunning) || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Errorf("a second server: %v, want ErrHostRunning with our pid", err)
	}
	c := dial(t, Config{Dir: config.Dir})
	if c.Hosting() {
		t.Error("the client hosts")
	}
	p := publisher(t, c, PublisherRequest{Topic: "t", Capacity: 8192})
	if err := publish(p, "kept"); err != nil {
		t.Fatal(err)
	}
	p.Release()
	counts(t, c, "t", 0, 0)
	s := subscriber(t, c, SubscriberRequest{Topic: "t", NoWait: true, Start: ring.Start{Kind: ring.StartEarliest}})
	newReader(t, s, ring.Reliable).expect(t, "kept")
	if err := c.Remove(soon(t), "t"); !errors.Is(err, ErrTopicInUse) {
		t.Errorf("in use: %v", err)
	}
	s.Release()
	if err := c.Remove(soon(t), "t"); err != nil {
		t.Error(err)
	}
	if err := c.Remove(soon(t), "t"); !errors.Is(err, ErrNoTopic) {
		t.Errorf("a second time: %v", err)
	}
	p = publisher(t, c, PublisherRequest{Topic: "t"})
	if !p.CreatedTopic {
		t.Error("not made anew")
	}
	stop()
	eventually(t, func() error {
		if !c.Hosting() {
			return errors.New("the client does not host")
		}
		return nil
	})
	counts(t, c, "t", 1, 0)
}

// Serve under a service manager: it hands over a socket and hears READY=1.
var _ = childProgram("activated-bus", func(args []string) error {
	// The manager sets the pid between fork and exec.
	os.Setenv("LISTEN_PID", fmt.Sprint(os.Getpid()))
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		untilParentEnds()
		cancel()
	}()
	return Serve(ctx, Config{Dir: args[0], Bus: "bus", Host: HostConfig{Keep: true}}, func(addr string) {
		fmt.Println("ready", addr, os.Getenv("LISTEN_FDS") == "")
	})
})

func TestServiceManagerHandsOverTheSocket(t *testing.T) {
	d := reopen(t, shortDir(t)+"/root", DirOptions{Create: true})
	root := filepath.Dir(d.String())
	l, err := Listen(d)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	socket, err := l.ln.File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	notify := filepath.Join(shortDir(t), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: notify, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	// A client that comes first waits in the backlog.
	early := make(chan error, 1)
	go func() {
		ctx := soon(t)
		c, err := Dial(ctx, Config{Dir: root, Bus: "bus", NeverHost: true})
		for errors.Is(err, ErrHostStalled) && ctx.Err() == nil { // the service takes long to start
			c, err = Dial(ctx, Config{Dir: root, Bus: "bus", NeverHost: true})
		}
		if err == nil {
			err = c.Close()
		}
		early <- err
	}()
	cmd := exec.Command("/proc/self/exe", root)
	cmd.Env = append(os.Environ(), childVariable+"=activated-bus", "LISTEN_FDS=1", "LISTEN_FDNAMES=control", "NOTIFY_SOCKET="+notify)
	cmd.ExtraFiles = []*os.File{socket}
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	for _, want := range []string{"READY=1", "STOPPING=1"} {
		b := make([]byte, 100)
		manager.SetReadDeadline(time.Now().Add(watchdog))
		n, err := manager.Read(b)
		if err != nil || string(b[:n]) != want {
			t.Fatalf("the manager got %q, %v; want %q", b[:n], err, want)
		}
		if want == "READY=1" {
			if err := <-early; err != nil {
				t.Errorf("the early client: %v", err)
			}
			stdin.Close()
		}
	}
	if err := cmd.Wait(); err != nil || !strings.HasPrefix(out.String(), "ready ") || !strings.HasSuffix(out.String(), " true\n") {
		t.Errorf("%q, %v", out.String(), err)
	}
	if conn, err := net.Dial("unixpacket", filepath.Join(d.String(), SocketName)); err != nil {
		t.Errorf("the manager's socket is gone: %v", err)
	} else {
		conn.Close()
	}
}
