package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/shmbus/shmbus/internal/failpoint"
)

var _ = childProgram("dial", func(args []string) error {
	d, err := OpenBusDir(args[0], "bus", DirOptions{})
	if err != nil {
		return err
	}
	c, err := dialHost(context.Background(), d)
	if err != nil {
		return err
	}
	fmt.Println("connected")
	untilParentEnds()
	return c.Close()
})

// connectedChild is a child process and the host's end of its connection.
func connectedChild(t *testing.T) (*child, *Conn) {
	t.Helper()
	d := testBusDir(t)
	l, err := Listen(d)
	must(t, err)
	t.Cleanup(func() { l.Close() })
	p := startChild(t, os.Getuid(), 0, "dial", d.String()[:len(d.String())-len("/bus")])
	if got := p.line(); got != "connected" {
		t.Fatal(got)
	}
	c, err := l.Accept()
	must(t, err)
	t.Cleanup(func() { c.Close() })
	return p, c
}

func TestPeer(t *testing.T) {
	proc, c := connectedChild(t)
	p, err := Credentials(c)
	must(t, err)
	defer p.Close()
	if p.UID != uint32(os.Getuid()) || p.GID != uint32(os.Getgid()) || int(p.PID) != proc.cmd.Process.Pid {
		t.Errorf("got uid %d, gid %d, pid %d of process %d", p.UID, p.GID, p.PID, proc.cmd.Process.Pid)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := p.WaitExit(ctx); !errors.Is(err, context.Canceled) || p.Exited() {
		t.Errorf("while it runs: %v, exited %v", err, p.Exited())
	}
	proc.kill()
	// It stays a zombie: nobody waits for it before this.
	within(t, "WaitExit", func() {
		if err := p.WaitExit(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if !p.Exited() {
		t.Error("Exited is false for a zombie")
	}
	within(t, "the connection", func() {
		if _, _, err := c.Receive(noDeadline); !errors.Is(err, io.EOF) {
			t.Errorf("Receive: %v, want EOF", err)
		}
	})
	proc.cmd.Wait()
	if !p.Exited() {
		t.Error("Exited is false after reaping")
	}
	must(t, p.Close())
	must(t, p.Close())
}

func TestPeerCloseEndsWaiting(t *testing.T) {
	_, c := connectedChild(t)
	fds := openDescriptors(t)
	p, err := Credentials(c)
	must(t, err)
	waiting := make(chan error)
	for range 3 {
		go func() { waiting <- p.WaitExit(context.Background()) }()
	}
	p.Done()
	must(t, p.Close())
	for range 3 {
		within(t, "WaitExit", func() {
			if err := <-waiting; !errors.Is(err, ErrClosed) {
				t.Errorf("WaitExit: %v, want ErrClosed", err)
			}
		})
	}
	select {
	case <-p.Done():
		t.Error("Done after Close of a living peer")
	default:
	}
	if now := openDescriptors(t); now > fds {
		t.Errorf("%d descriptors open, %d before", now, fds)
	}
	unwatched, err := Credentials(c)
	must(t, err)
	must(t, unwatched.Close())
}

// The way of kernels before 6.5.
func TestPeerByPID(t *testing.T) {
	proc, c := connectedChild(t)
	open := func(pid int32) (fd int, err error) {
		must(t, c.raw.Control(func(s uintptr) { fd, err = openPID(int(s), pid) }))
		return fd, err
	}
	pid := int32(proc.cmd.Process.Pid)
	fd, err := open(pid)
	must(t, err)
	if readable(uintptr(fd)) {
		t.Error("the pidfd says that a living process has ended")
	}
	fds := openDescriptors(t)
	if _, err := open(0); !errors.Is(err, ErrPidNamespace) {
		t.Errorf("pid 0: %v, want ErrPidNamespace", err)
	}
	proc.kill()
	within(t, "the pidfd", func() {
		unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1)
	})
	// A zombie, so its pid still opens, but it has hung up and cannot be told from a successor.
	if _, err := open(pid); !errors.Is(err, errHungUp) {
		t.Errorf("after its death: %v, want errHungUp", err)
	}
	proc.cmd.Wait()
	if _, err := open(pid); !errors.Is(peerError(err, pid), io.EOF) {
		t.Errorf("after reaping: %v, want EOF", peerError(err, pid))
	}
	if now := openDescriptors(t); now > fds {
		t.Errorf("%d descriptors open, %d before", now, fds)
	}
	must(t, unix.Close(fd))
}

func TestPeerWithoutSOPEERPIDFD(t *testing.T) {
	if !failpoint.Compiled {
		t.Skip("needs -tags failpoint")
	}
	const variable = "SHMBUS_FAILPOINTS"
	if os.Getenv(variable) != "" {
		t.Skip("is the child")
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestPeer$|^TestPeerCloseEndsWaiting$")
	cmd.Env = append(os.Environ(), variable+"=control.peerpidfd=on")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestPeerThatCannotBeWatched: where the runtime does not watch the pidfd (here: it
// blocks; a user may be out of epoll watches) the exit is found all the same.
func TestPeerThatCannotBeWatched(t *testing.T) {
	proc, c := connectedChild(t)
	p, err := Credentials(c)
	must(t, err)
	defer p.Close()
	fd, err := unix.PidfdOpen(proc.cmd.Process.Pid, 0)
	must(t, err)
	p.PIDFD.Close()
	p.PIDFD = os.NewFile(uintptr(fd), "a pidfd that blocks")
	exit := make(chan error, 1)
	go func() { exit <- p.WaitExit(context.Background()) }()
	<-p.gone
	proc.kill()
	within(t, "waiting for the exit", func() { must(t, <-exit) })
}
