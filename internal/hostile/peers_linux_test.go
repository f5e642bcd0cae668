package hostile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/shmbus/shmbus/bustest"
	"github.com/shmbus/shmbus/control"
	"github.com/shmbus/shmbus/ring"
)

func init() {
	if slices.Contains(os.Args, "leaderless") {
		runtime.LockOSThread() // main runs in the first thread
	}
}

// sockets copies every socket of a process, as a debugger may.
func sockets(t *testing.T, pid int) []int {
	t.Helper()
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pidfd)
	dir := fmt.Sprintf("/proc/%d/fd/", pid)
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var copies []int
	for _, e := range list {
		to, _ := os.Readlink(dir + e.Name())
		var fd int
		if n, _ := fmt.Sscan(e.Name(), &fd); n != 1 || !strings.HasPrefix(to, "socket:") {
			continue
		}
		c, err := unix.PidfdGetfd(pidfd, fd, 0)
		if err != nil {
			t.Fatal(err)
		}
		copies = append(copies, c)
	}
	if len(copies) == 0 {
		t.Fatal("the process has no socket")
	}
	return copies
}

// TestSocketHandedOn: somebody else keeps the connection of a publisher that
// dies. Its pidfd alone does not prove that it will write no more, so its claim
// stays until the connection has ended too, and the publisher is named.
func TestSocketHandedOn(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	subscriber := spawn(t, s.dir, "subscriber", "claimed")
	claimer := spawn(t, s.dir, "publisher", "claimed", "claim")
	claimer.until(t, "claim", func() bool { return slices.Contains(claimer.lines, "claimed") })
	copies := sockets(t, claimer.pid())
	after := spawn(t, s.dir, "publisher-2", "claimed")
	if err := claimer.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	bustest.Until(t, "the claimer to be gone", func() bool {
		claimer.mu.Lock()
		defer claimer.mu.Unlock()
		return claimer.ended != nil
	})
	s.unharmed() // some time passes
	if i := s.topic("claimed"); i.Publishers != 2 {
		t.Errorf("the slot is free before the connection has ended: %+v", i)
	}
	subscriber.mu.Lock()
	at := subscriber.at
	subscriber.mu.Unlock()
	if at != 0 {
		t.Error("the claim was stepped over before the connection has ended")
	}
	for _, fd := range copies {
		unix.Close(fd)
	}
	subscriber.goOn(t)
	after.goOn(t)
	bustest.Until(t, "the slot to be free", func() bool { return s.topic("claimed").Publishers == 1 })
}

// TestPublisherExecs: a publisher becomes another program. Its connection ends
// and its process lives: it is named, keeps its slot and is freed with its
// death.
func TestPublisherExecs(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	p := spawn(t, s.dir, "publisher", "victim-2", "exec")
	bustest.Until(t, "the publisher to be in quarantine", func() bool {
		i := s.topic("victim-2")
		return len(i.Quarantined) == 1 && strings.Contains(i.Quarantined[0], fmt.Sprint("pid ", p.pid()))
	})
	s.unharmed()
	if i := s.topic("victim-2"); i.Publishers != 1 {
		t.Errorf("the slot of a living process is free: %+v", i)
	}
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	bustest.Until(t, "the slot to be free", func() bool {
		i := s.topic("victim-2")
		return i.Publishers == 0 && len(i.Quarantined) == 0
	})
}

// TestLeaderThreadExits: the first thread of a publisher ends, which makes its
// process look like a zombie. It lives, publishes, and is not taken for dead.
func TestLeaderThreadExits(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	subscriber := spawn(t, s.dir, "subscriber", "leaderless")
	p := spawn(t, s.dir, "publisher", "leaderless", "leaderless")
	bustest.Until(t, "the first thread to end", func() bool {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid()))
		return err == nil && strings.Contains(string(b), ") Z ")
	})
	subscriber.goOn(t)
	p.goOn(t)
	if i := s.topic("leaderless"); i.Publishers != 1 || len(i.Quarantined) != 0 {
		t.Errorf("%+v", i)
	}
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	bustest.Until(t, "its slot to be free", func() bool { return s.topic("leaderless").Publishers == 0 })
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root, to be another user or to make a namespace")
	}
}

// unshare is a prefix that starts a program in namespaces of its own.
func unshare(t *testing.T, flags ...string) []string {
	t.Helper()
	needRoot(t)
	line := append([]string{"unshare", "--fork", "--kill-child"}, flags...)
	if out, err := exec.Command(line[0], append(line[1:], "true")...).CombinedOutput(); err != nil {
		t.Skipf("%v: %v, %s", line, err, out)
	}
	return line
}

// TestTimeNamespace: where the clock is another, what is waited for comes all
// the same, and what was published is delivered.
func TestTimeNamespace(t *testing.T) {
	t.Parallel()
	prefix := unshare(t, "--time", "--monotonic", "100000")
	s := newScene(t)
	for _, mode := range []string{"", "lossy"} {
		start(t, s.dir, prefix, nil, "subscriber", "victim", mode).goOn(t)
	}
	start(t, s.dir, prefix, nil, "subscriber", "early")
	p := start(t, s.dir, prefix, nil, "publisher", "early")
	p.goOn(t)
	spawn(t, s.dir, "subscriber", "early").goOn(t)
	s.finish()
}

// TestPIDNamespaces: participants in two PID namespaces and the host's own, as
// containers are that share the directory of a bus. Deaths are noticed through
// the namespaces, the host's too.
func TestPIDNamespaces(t *testing.T) {
	t.Parallel()
	prefix := unshare(t, "--pid", "--mount-proc")
	s := newScene(t)
	first := start(t, s.dir, prefix, nil, "subscriber", "across")
	second := start(t, s.dir, prefix, nil, "publisher", "across")
	first.goOn(t)
	third := start(t, s.dir, prefix, nil, "publisher-2", "across")
	third.goOn(t)
	if err := second.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	bustest.Until(t, "the dead publisher's slot to be free", func() bool { return s.topic("across").Publishers == 1 })
	first.goOn(t)
	if err := s.host.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	first.goOn(t)
	third.goOn(t)
	bustest.Until(t, "somebody else to host", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		h, err := s.observer.Host(ctx)
		return err == nil && h.PID != s.host.pid()
	})
	newcomer := spawn(t, s.dir, "subscriber", "across")
	newcomer.goOn(t)
	s.finish()
}

// guestProgram joins as another user, reads, and tries to get at the memory in
// every way.
func guestProgram(ctx context.Context, c *bustest.Child) error {
	b := c.Config()
	client, err := control.Dial(ctx, control.Config{Dir: b.Dir, Bus: b.Name, NeverHost: true, Guest: true})
	if err != nil {
		c.Say("failed %s %v", kindOf(err), err)
		<-ctx.Done()
	}
	g, err := client.Subscriber(ctx, control.SubscriberRequest{Topic: c.Args[0], Mode: ring.Lossy})
	if err != nil {
		return err
	}
	c.Say("ready")
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	tried := 0
	for _, e := range list {
		path := "/proc/self/fd/" + e.Name()
		to, _ := os.Readlink(path)
		if !strings.HasPrefix(to, "/memfd:shmbus") || strings.HasPrefix(to, "/memfd:shmbus-guests") {
			continue
		}
		var fd int
		if _, err := fmt.Sscan(e.Name(), &fd); err != nil {
			return err
		}
		results := upgrades(fd)
		_, results["reopen for writing"] = os.OpenFile(path, os.O_RDWR, 0)
		results["chmod"] = unix.Fchmod(fd, 0o666)
		for what, err := range results {
			tried++
			if !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EBADF) && !errors.Is(err, unix.EINVAL) {
				c.Say("failed wrong %s, %s: %v", to, what, err)
			}
		}
	}
	consumer, err := g.Ring.Consumer(g.Slot, g.Gen, g.Attachment, ring.ConsumerOptions{Mode: ring.Lossy, Guest: true})
	if err != nil {
		return err
	}
	c.Say("tried %d", tried)
	for n := 0; ; {
		m, err := consumer.Next()
		if err == ring.ErrEmpty {
			err = consumer.Wait(ctx, nil)
		} else if err == nil {
			if _, _, err = numberOf(m.Payload); n%1024 == 0 {
				c.Say("at %d", n)
			}
			n++
		}
		if err != nil {
			c.Say("failed %s %v", kindOf(err), err)
			<-ctx.Done()
		}
	}
}

// TestAnotherUser: a guest reads and can write nowhere; one who is no guest
// does not get in at all.
func TestAnotherUser(t *testing.T) {
	t.Parallel()
	needRoot(t)
	dir := bustest.Dir(t)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s := &scene{t: t, dir: dir + "/root"}
	s.host = spawn(t, s.dir, "host", "4711")
	s.victims, s.bystanders = s.cast("victim"), s.cast("bystander")
	s.observer = s.dial(control.Config{Observer: true})
	credential := func(gid uint32) *syscall.SysProcAttr {
		return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: gid}}
	}
	guest := start(t, s.dir, nil, credential(4711), "guest", "victim")
	guest.until(t, "try", func() bool { return len(guest.lines) > 1 })
	guest.goOn(t)
	if guest.lines[1] == "tried 0" {
		t.Error("the guest found nothing to try")
	}
	stranger := start(t, s.dir, nil, credential(65534), "guest", "victim")
	if how := stranger.outcome(t); how == "" {
		t.Error("a stranger got in")
	}
	s.finish()
}
