package control

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/shmbus/shmbus/internal/failpoint"
	"github.com/shmbus/shmbus/ring"
	"github.com/shmbus/shmbus/shm"
)

// stalling is a publisher that stands still inside the lock: stopped by itself ("stop"),
// or only saying that it is inside, for others to freeze it ("inside"). When it goes on
// it leaves and publishes. "failpoint" just publishes: the failpoint does the rest.
var _ = childProgram("stalling", func(args []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), watchdog)
	defer cancel()
	c, err := Dial(ctx, Config{Dir: args[0], NeverHost: true})
	if err != nil {
		return err
	}
	g, err := c.Publisher(ctx, PublisherRequest{Topic: "t", Name: "sleepy"})
	if err != nil {
		return err
	}
	p, err := g.Ring.Producer(g.Slot, g.Gen)
	if err != nil {
		return err
	}
	if _, err := p.TryPublish([]byte("before"), 0, shm.Now()); err != nil && args[1] != "failpoint" {
		return err
	}
	if args[1] != "failpoint" {
		mutex := shm.Overlay[shm.Word32](g.attachment.mappings[0].Bytes(), 0x300)
		mutex.Store(g.Gen<<8 | uint32(g.Slot+1)) // as its own entry would
		fmt.Println("inside")
		if args[1] == "stop" {
			unix.Kill(os.Getpid(), unix.SIGSTOP)
		} else {
			var b [1]byte
			os.Stdin.Read(b[:])
		}
		mutex.Store(0)
	}
	_, err = p.TryPublish([]byte("after"), 0, shm.Now())
	for errors.Is(err, ring.ErrStalled) && ctx.Err() == nil { // a host that was let in first takes its time
		_, err = p.TryPublish([]byte("after"), 0, shm.Now())
	}
	if err != nil {
		return err
	}
	fmt.Println("published")
	untilParentEnds()
	return nil
})

func stallingChild(t *testing.T, c *Client, root, how string) *child {
	t.Helper()
	p := startChild(t, os.Getuid(), os.Getgid(), "stalling", root, how)
	if how != "failpoint" {
		if l := p.line(); l != "inside" {
			t.Fatal(l)
		}
	}
	return p
}

// named waits until listings name the child as standing still.
func named(t *testing.T, c *Client, p *child, how string) TopicInfo {
	t.Helper()
	var info TopicInfo
	eventually(t, func() error {
		topics, err := c.Topics(soon(t))
		if err != nil || len(topics) != 1 {
			return fmt.Errorf("%+v, %v", topics, err)
		}
		info = topics[0]
		for _, s := range []string{`publisher "sleepy" (slot 0)`, "pid " + strconv.Itoa(p.cmd.Process.Pid), how} {
			if !strings.Contains(info.Stalled, s) {
				return fmt.Errorf("%+v does not say %q", info, s)
			}
		}
		return nil
	})
	if info.StalledSince.IsZero() || time.Since(info.StalledSince) < stallProof {
		t.Errorf("since %v", info.StalledSince)
	}
	return info
}

// stalledJoin wants a join to end with its context, naming who is in the way.
func stalledJoin(t *testing.T, c *Client, p *child) {
	t.Helper()
	ctx, cancel := context.WithCancel(soon(t))
	done := make(chan error, 1)
	go func() {
		_, err := c.Subscriber(ctx, SubscriberRequest{Topic: "t"})
		done <- err
	}()
	eventually(t, func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, call := range c.calls {
			if w := call.waiting.Load(); w != nil && w.Reason == waitStalled {
				return nil
			}
		}
		return errors.New("the join does not know why it waits")
	})
	cancel()
	if err := <-done; !errors.Is(err, ErrStalled) || !strings.Contains(err.Error(), "sleepy") || !strings.Contains(err.Error(), "pid "+strconv.Itoa(p.cmd.Process.Pid)) {
		t.Errorf("a join behind it: %v", err)
	}
}

// TestStoppedInsideIsNamedAndNeverRobbed: without the option nobody takes the lock, however
// long it lasts; when the process goes on, so does everything else.
func TestStoppedInsideIsNamedAndNeverRobbed(t *testing.T) {
	for _, how := range []string{"stop", "failpoint"} {
		t.Run(how, func(t *testing.T) {
			if how == "failpoint" {
				if !failpoint.Compiled {
					t.Skip("needs -tags failpoint")
				}
				t.Setenv("SHMBUS_FAILPOINTS", "ring.commit=stop@2")
			}
			root := busRoot(t)
			c := dial(t, Config{Dir: root, Host: HostConfig{StallAfter: time.Millisecond}})
			p := stallingChild(t, c, root, how)
			named(t, c, p, "stopped (SIGCONT continues it)")
			stalledJoin(t, c, p)
			c.host.mu.Lock()
			r, log := c.host.topics["t"].ring, c.host.topics["t"].regions.log.bytes()
			c.host.mu.Unlock()
			if in, ok := r.Inside(); !ok || in.Slot != 0 || shm.Overlay[shm.Word32](log, 0x300).Load() == 0 {
				t.Errorf("it was robbed: %+v, %t", in, ok)
			}
			if i := counts(t, c, "t", 1, 0); len(i.Quarantined) > 0 {
				t.Errorf("%+v", i)
			}
			if err := p.cmd.Process.Signal(unix.SIGCONT); err != nil {
				t.Fatal(err)
			}
			if l := p.line(); l != "published" {
				t.Fatal(l)
			}
			eventually(t, func() error {
				if i := counts(t, c, "t", 1, 0); i.Stalled != "" || !i.StalledSince.IsZero() {
					return fmt.Errorf("%+v", i)
				}
				return nil
			})
			s := newReader(t, subscriber(t, c, SubscriberRequest{Topic: "t", Start: ring.Start{Kind: ring.StartEarliest}}), ring.Reliable)
			s.expect(t, "before")
			s.expect(t, "after")
		})
	}
}

// TestOnStallKill: with the option it is killed, and its death repaired like any other;
// what it had committed stays.
func TestOnStallKill(t *testing.T) {
	root := busRoot(t)
	c := dial(t, Config{Dir: root, Host: HostConfig{Keep: true, OnStall: OnStallKill, StallAfter: 10 * time.Millisecond}})
	idle := startChild(t, os.Getuid(), os.Getgid(), "participant", root, "publish", "u", "outside")
	if l := idle.line(); !strings.HasPrefix(l, "ready") {
		t.Fatal(l)
	}
	if err := idle.cmd.Process.Signal(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	p := stallingChild(t, c, root, "stop")
	s := newReader(t, subscriber(t, c, SubscriberRequest{Topic: "t", Start: ring.Start{Kind: ring.StartEarliest}}), ring.Reliable)
	s.expect(t, "before")
	eventually(t, func() error {
		if i := counts(t, c, "t", 0, 1); i.Stalled != "" {
			return fmt.Errorf("%+v", i)
		}
		return nil
	})
	if err := p.cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("the stalled publisher: %v", err)
	}
	next := publisher(t, c, PublisherRequest{Topic: "t", Name: "sleepy"})
	if err := publish(next, "after"); err != nil {
		t.Fatal(err)
	}
	s.expect(t, "after")
	if state := stoppedState("/", idle.cmd.Process.Pid); state == "" {
		t.Error("one that is stopped outside the lock was killed or continued")
	}
}

// freezer makes a control group of its own and returns how to freeze a process in it.
func freezer(t *testing.T) (freeze func(pid int), version string) {
	t.Helper()
	for _, k := range []struct{ mount, file, on, off, version string }{
		{"/sys/fs/cgroup", "cgroup.freeze", "1", "0", "v2"}, {"/sys/fs/cgroup/unified", "cgroup.freeze", "1", "0", "v2"},
		{"/sys/fs/cgroup/freezer", "freezer.state", "FROZEN", "THAWED", "v1"},
	} {
		dir := filepath.Join(k.mount, fmt.Sprintf("shmbus-test-%d", os.Getpid()))
		if os.Mkdir(dir, 0o755) != nil {
			continue
		}
		if _, err := os.Stat(filepath.Join(dir, k.file)); err != nil {
			os.Remove(dir)
			continue
		}
		t.Cleanup(func() {
			eventually(t, func() error { return os.Remove(dir) })
		})
		return func(pid int) {
			t.Helper()
			if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, k.file), []byte(k.on), 0); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.WriteFile(filepath.Join(dir, k.file), []byte(k.off), 0) })
		}, k.version
	}
	t.Skip("no control group can be made here")
	return nil, ""
}

// TestFrozenInside: a frozen control group stops like SIGSTOP, and is named; in v2 a frozen
// process can be killed.
func TestFrozenInside(t *testing.T) {
	freeze, version := freezer(t)
	root := busRoot(t)
	// So long that it is named well before it is killed.
	c := dial(t, Config{Dir: root, Host: HostConfig{Keep: true, OnStall: OnStallKill, StallAfter: 5 * time.Second}})
	p := stallingChild(t, c, root, "inside")
	freeze(p.cmd.Process.Pid)
	named(t, c, p, "frozen with control group /shmbus-test-")
	if version != "v2" {
		t.Skip("a process frozen by v1 dies when it thaws")
	}
	eventually(t, func() error {
		if i := counts(t, c, "t", 0, 0); i.Stalled != "" {
			return fmt.Errorf("%+v", i)
		}
		return nil
	})
	p.cmd.Wait()
}

// TestStoppedState reads what kernels write.
func TestStoppedState(t *testing.T) {
	v2 := "35 31 0:32 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
	v1 := "36 31 0:33 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer\n"
	for _, x := range []struct{ name, stat, cgroup, mounts, file, text, want string }{
		{"running", "7 (a) R 1", "0::/", "", "", "", ""},
		{"gone", "", "", "", "", "", ""},
		{"named like a state", "7 (x) T (y) S 1", "", "", "", "", ""},
		{"signal", "7 (a b) T 1", "", "", "", "", "stopped (SIGCONT"},
		{"debugger", "7 (a) t 1", "", "", "", "", "debugger"},
		{"v2", "7 (a) S 1", "0::/a/b\n", v2, "sys/fs/cgroup/a/b/cgroup.events", "populated 1\nfrozen 1\n", "control group /a/b"},
		{"v2 thawed", "7 (a) S 1", "0::/a/b\n", v2, "sys/fs/cgroup/a/b/cgroup.events", "populated 1\nfrozen 0\n", ""},
		{"v1", "7 (a) D 1", "6:freezer:/c\n", v1, "sys/fs/cgroup/freezer/c/freezer.state", "FROZEN\n", "control group /c"},
		{"v1 freezing", "7 (a) D 1", "6:freezer:/c\n", v1, "sys/fs/cgroup/freezer/c/freezer.state", "FREEZING\n", ""},
	} {
		t.Run(x.name, func(t *testing.T) {
			root := t.TempDir()
			for name, text := range map[string]string{"proc/7/stat": x.stat, "proc/7/cgroup": x.cgroup, "proc/self/mountinfo": x.mounts, x.file: x.text} {
				if text == "" {
					continue
				}
				if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755), os.WriteFile(filepath.Join(root, name), []byte(text), 0o644)); err != nil {
					t.Fatal(err)
				}
			}
			if got := stoppedState(root, 7); x.want == "" && got != "" || !strings.Contains(got, x.want) {
				t.Errorf("got %q, want %q", got, x.want)
			}
		})
	}
}
