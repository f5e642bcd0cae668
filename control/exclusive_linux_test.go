package control

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/shmbus/shmbus/ring"
	"github.com/shmbus/shmbus/shm"
)

// exclusivePublisher is the one publisher of topic t: "one", an open claim, and then
// each line it is given.
var _ = childProgram("exclusive", func(args []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), watchdog)
	defer cancel()
	c, err := Dial(ctx, Config{Dir: args[0], NeverHost: true})
	if err != nil {
		return err
	}
	g, err := c.Publisher(ctx, PublisherRequest{Topic: "t", Exclusive: true})
	if err != nil {
		return err
	}
	p, err := g.Ring.Producer(g.Slot, g.Gen)
	if err == nil {
		_, err = p.TryPublish([]byte("one"), 0, shm.Now())
	}
	if err == nil {
		_, err = p.TryClaim(100, 0, shm.Now())
	}
	if err != nil {
		return err
	}
	fmt.Println("ready")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		if _, err := p.TryPublish(lines.Bytes(), 0, shm.Now()); err != nil {
			return err
		}
		fmt.Println("published")
	}
	return nil
})

func exclusiveChild(t *testing.T, root string) *child {
	t.Helper()
	c := startChild(t, os.Getuid(), os.Getgid(), "exclusive", root)
	if l := c.line(); l != "ready" {
		t.Fatal(l)
	}
	return c
}

// writableMappings counts the shared writable mappings of memfds of this name in a
// process.
func writableMappings(t *testing.T, pid int, name string) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(regexp.MustCompile(`(?m)^\S+ rw-s .*/memfd:`+name+` `).FindAllString(string(b), -1))
}

// openRegions opens for writing, by /proc, every memfd of this name that a process has.
func openRegions(t *testing.T, pid int, name string) []*os.File {
	t.Helper()
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	var files []*os.File
	for _, l := range links {
		if to, err := os.Readlink(l); err != nil || !strings.HasPrefix(to, "/memfd:"+name+" ") {
			continue
		}
		f, err := os.OpenFile(l, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		files = append(files, f)
	}
	return files
}

// TestExclusiveLogIsReadOnlyForAll: host, publisher and subscriber are three
// processes; through none of them, and as root where the tests are, does anybody
// get at the log for writing. The host itself has no writable mapping left.
func TestExclusiveLogIsReadOnlyForAll(t *testing.T) {
	root := busRoot(t)
	host, _ := participant(t, root, "idle", "-", "-")
	sub := dial(t, Config{Dir: root, NeverHost: true})
	p := exclusiveChild(t, root)
	s := subscriber(t, sub, SubscriberRequest{Topic: "t", Start: ring.Start{Kind: ring.StartEarliest}})
	if n := writableMappings(t, p.cmd.Process.Pid, "shmbus:t"); n != 1 {
		t.Errorf("the publisher has %d writable mappings of the log, want 1", n)
	}
	if n := writableMappings(t, host.cmd.Process.Pid, "shmbus:t"); n != 0 {
		t.Errorf("the host has %d writable mappings of the log", n)
	}
	found := 0
	for _, pid := range []int{host.cmd.Process.Pid, p.cmd.Process.Pid, os.Getpid()} {
		for _, f := range openRegions(t, pid, "shmbus:t") {
			found++
			fd := int(f.Fd())
			if _, err := unix.Mmap(fd, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); !errors.Is(err, unix.EPERM) {
				t.Errorf("pid %d: a writable mapping: %v", pid, err)
			}
			b, err := unix.Mmap(fd, 0, 4096, unix.PROT_READ, unix.MAP_SHARED)
			if err != nil {
				t.Fatal(err)
			}
			if err := unix.Mprotect(b, unix.PROT_READ|unix.PROT_WRITE); !errors.Is(err, unix.EACCES) {
				t.Errorf("pid %d: mprotect: %v", pid, err)
			}
			unix.Munmap(b)
			if _, err := f.WriteAt([]byte("x"), 0); !errors.Is(err, unix.EPERM) {
				t.Errorf("pid %d: write: %v", pid, err)
			}
		}
	}
	if found < 4 { // the host has two
		t.Errorf("only %d descriptors of the log were found", found)
	}
	newReader(t, s, ring.Reliable).expect(t, "one")
}

// TestExclusiveOutlivesItsHost: hosts die; who is attached notices nothing, others
// attach at the next host, which can no more write the log than the last one; and
// when the publisher dies, everybody gets what it had committed, and the end.
func TestExclusiveOutlivesItsHost(t *testing.T) {
	root := busRoot(t)
	host, _ := participant(t, root, "idle", "-", "-")
	c := dial(t, Config{Dir: root})
	p := exclusiveChild(t, root)
	old := newReader(t, subscriber(t, c, SubscriberRequest{Topic: "t", Start: ring.Start{Kind: ring.StartEarliest}}), ring.Reliable)
	host.killAndReap()
	eventually(t, func() error {
		if !c.Hosting() {
			return errors.New("not the host yet")
		}
		return nil
	})
	if _, err := c.Publisher(soon(t), PublisherRequest{Topic: "t"}); !errors.Is(err, ErrExclusive) {
		t.Errorf("a second publisher: %v", err)
	}
	late := newReader(t, subscriber(t, c, SubscriberRequest{Topic: "t", Start: ring.Start{Kind: ring.StartEarliest}}), ring.Reliable)
	lossy := newReader(t, subscriber(t, c, SubscriberRequest{Topic: "t", Mode: ring.Lossy, Start: ring.Start{Kind: ring.StartEarliest}}), ring.Lossy)
	if i := counts(t, c, "t", 1, 3); !i.Exclusive || i.Ended {
		t.Errorf("%+v", i)
	}
	fmt.Fprintln(p.stdin, "two") // behind a claim that stays open
	if l := p.line(); l != "published" {
		t.Fatal(l)
	}
	p.killAndReap()
	eventually(t, func() error {
		if i := counts(t, c, "t", 0, 3); !i.Ended {
			return fmt.Errorf("%+v", i)
		}
		return nil
	})
	for _, r := range []reader{old, late, lossy} {
		r.expect(t, "one")
		r.expect(t, "two")
		if _, err := r.c.Next(); err != ring.ErrEmpty {
			t.Errorf("behind the last message: %v", err)
		}
		if !r.c.Drained() {
			t.Error("not drained")
		}
	}
	if _, err := c.Publisher(soon(t), PublisherRequest{Topic: "t", Exclusive: true}); !errors.Is(err, ErrExclusive) || !strings.Contains(err.Error(), "has gone") {
		t.Errorf("a publisher after the one: %v", err)
	}
	if n := writableMappings(t, os.Getpid(), "shmbus:t"); n != 0 {
		t.Errorf("the second host has %d writable mappings of the log", n)
	}
}

// TestExclusiveWaitersMissNothing: who waits for the topic is attached before the
// publisher hears that it is live; a publisher that goes before that leaves nothing.
func TestExclusiveWaitersMissNothing(t *testing.T) {
	c := dial(t, Config{Dir: busRoot(t)})
	granted := make(chan *Grant, 1)
	go func() {
		g, err := c.Subscriber(soon(t), SubscriberRequest{Topic: "t"})
		if err != nil {
			t.Error(err)
		}
		granted <- g
	}()
	eventually(t, func() error {
		c.host.mu.Lock()
		defer c.host.mu.Unlock()
		if len(c.host.waiters["t"]) != 1 {
			return errors.New("nobody waits yet")
		}
		return nil
	})
	refused(t, c, PublisherRequest{Topic: "t", Exclusive: true, Publishers: 2}, ring.ErrBadOptions, "want 1")
	// One that never maps it.
	a, err := c.request(soon(t), func(id uint64) any {
		return publishRequest{Header: NewHeader(typePublish, id), Topic: "t", Exclusive: true}
	})
	if err != nil {
		t.Fatal(err)
	}
	var m grantMessage
	if err := a.decode(&m); err != nil {
		t.Fatal(err)
	}
	CloseFiles(a.files)
	c.doneAccepting(a)
	if _, err := c.request(soon(t), func(id uint64) any { return releaseRequest{NewHeader(typeRelease, id), m.slotID} }); err != nil {
		t.Fatal(err)
	}
	p := publisher(t, c, PublisherRequest{Topic: "t", Exclusive: true})
	if err := publish(p, "first"); err != nil {
		t.Fatal(err)
	}
	s := <-granted
	newReader(t, s, ring.Reliable).expect(t, "first")
	refused(t, c, PublisherRequest{Topic: "t"}, ErrExclusive, "one publisher")
	publisher(t, c, PublisherRequest{Topic: "u"})
	refused(t, c, PublisherRequest{Topic: "u", Exclusive: true}, ErrOptions, "not exclusive")
	if _, err := c.request(soon(t), func(id uint64) any { return mappedRequest{NewHeader(typeMapped, id), m.slotID} }); !errors.Is(err, ErrOrphaned) {
		t.Errorf("mapped for a slot of nobody: %v", err)
	}
}
