package control

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/shmbus/shmbus/ring"
	"github.com/shmbus/shmbus/shm"
)

// A participant in a process of its own:
//
//	ROOT publish|claim|subscribe|leave|hang-up|none TOPIC NAME
//
// It says "ready HOSTING SLOT" once it is attached. claim: with an open claim.
// leave: a publisher that has closed its connection and lives on; hang-up: a
// subscriber that does so.
var _ = childProgram("participant", func(args []string) error {
	root, role, topic, name := args[0], args[1], args[2], args[3]
	ctx, cancel := context.WithTimeout(context.Background(), watchdog)
	defer cancel()
	c, err := Dial(ctx, Config{Dir: root})
	if err != nil {
		return err
	}
	slot := -1
	switch role {
	case "publish", "claim", "leave":
		g, err := c.Publisher(ctx, PublisherRequest{Topic: topic, Name: name})
		if err != nil {
			return err
		}
		slot = g.Slot
		if role == "claim" {
			p, err := g.Ring.Producer(g.Slot, g.Gen)
			if err != nil {
				return err
			}
			if _, err := p.TryClaim(100, 0, shm.Now()); err != nil {
				return err
			}
		}
	case "subscribe", "hang-up":
		g, err := c.Subscriber(ctx, SubscriberRequest{Topic: topic, Name: name})
		if err != nil {
			return err
		}
		slot = g.Slot
	}
	hosting := c.Hosting()
	if role == "leave" || role == "hang-up" {
		c.cancel() // nobody comes back
		c.keeper.Wait()
		c.link.conn.Close()
	}
	fmt.Println("ready", hosting, slot)
	untilParentEnds()
	return nil
})

func participant(t *testing.T, root, role, topic, name string) (c *child, hosting bool) {
	t.Helper()
	c = startChild(t, os.Getuid(), os.Getgid(), "participant", root, role, topic, name)
	line := c.line()
	var slot int
	if _, err := fmt.Sscanf(line, "ready %t %d", &hosting, &slot); err != nil {
		t.Fatalf("child %s: %q", role, line)
	}
	return c, hosting
}

// stop returns when every thread of the child is stopped.
func (c *child) stop() {
	c.t.Helper()
	if err := c.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		c.t.Fatal(err)
	}
	var status syscall.WaitStatus
	for {
		_, err := syscall.Wait4(c.cmd.Process.Pid, &status, syscall.WUNTRACED, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil || !status.Stopped() {
			c.t.Fatalf("stop: %v, status %#x", err, status)
		}
		return
	}
}

// counts waits until a topic has so many publishers and subscribers.
func counts(t *testing.T, c *Client, topic string, publishers, subscribers int) TopicInfo {
	t.Helper()
	var info TopicInfo
	eventually(t, func() error {
		topics, err := c.Topics(soon(t))
		if err != nil {
			return err
		}
		for _, i := range topics {
			if i.Name == topic && i.Publishers == publishers && i.Subscribers == subscribers {
				info = i
				return nil
			}
		}
		return fmt.Errorf("%+v; want %s with %d publishers, %d subscribers", topics, topic, publishers, subscribers)
	})
	return info
}

func TestKilledPublisherIsRepaired(t *testing.T) {
	root := busRoot(t)
	c := dial(t, Config{Dir: root})
	s := readerOfNew(t, c, "t")
	dead, _ := participant(t, root, "claim", "t", "dead")
	p := publisher(t, c, PublisherRequest{Topic: "t"})
	if err := publish(p, "behind the claim"); err != nil {
		t.Fatal(err)
	}
	counts(t, c, "t", 3, 1)
	dead.kill() // a zombie is dead enough
	s.expect(t, "behind the claim")
	counts(t, c, "t", 2, 1)
	publisher(t, c, PublisherRequest{Topic: "t", Name: "dead"}) // the name is free
}

// readerOfNew attaches a reliable subscriber to a topic that it makes.
func readerOfNew(t *testing.T, c *Client, topic string) reader {
	t.Helper()
	publisher(t, c, PublisherRequest{Topic: topic, Name: "maker"})
	return newReader(t, subscriber(t, c, SubscriberRequest{Topic: topic}), ring.Reliable)
}

func TestKilledSubscriberHoldsNobodyUp(t *testing.T) {
	root := busRoot(t)
	c := dial(t, Config{Dir: root})
	p := publisher(t, c, PublisherRequest{Topic: "t", Capacity: ring.MinCapacity})
	dead, _ := participant(t, root, "subscribe", "t", "dead")
	var err error
	for err == nil {
		err = publish(p, "fills the ring")
	}
	if !errors.Is(err, ring.ErrFull) {
		t.Fatal(err)
	}
	dead.kill()
	eventually(t, func() error { return publish(p, "again") })
	counts(t, c, "t", 1, 0)
}

// TestLivingSubscriberWithoutConnectionHoldsNobodyUp: it cannot write the log,
// so that its process lives is no reason to wait for it.
func TestLivingSubscriberWithoutConnectionHoldsNobodyUp(t *testing.T) {
	root := busRoot(t)
	c := dial(t, Config{Dir: root})
	p := publisher(t, c, PublisherRequest{Topic: "t", Capacity: ring.MinCapacity})
	participant(t, root, "hang-up", "t", "left")
	eventually(t, func() error {
		for range ring.MinCapacity / 32 {
			if err := publish(p, "more than the ring holds"); err != nil {
				return err
			}
		}
		return nil
	})
}

func TestLivingPublisherWithoutConnectionIsQuarantined(t *testing.T) {
	root := busRoot(t)
	c := dial(t, Config{Dir: root})
	left, _ := participant(t, root, "leave", "t", "left")
	eventually(t, func() error {
		i := counts(t, c, "t", 1, 0)
		if len(i.Quarantined) != 1 || !strings.Contains(i.Quarantined[0], `"left"`) {
			return fmt.Errorf("quarantined: %q", i.Quarantined)
		}
		return nil
	})
	if _, err := c.Publisher(soon(t), PublisherRequest{Topic: "t", Name: "left"}); !errors.Is(err, ErrNameInUse) {
		t.Errorf("its name: got %v, want ErrNameInUse", err)
	}
	left.kill()
	eventually(t, func() error {
		if topics, err := c.Topics(soon(t)); err != nil || len(topics) != 0 {
			return fmt.Errorf("%v, %v", topics, err)
		}
		return nil
	})
}

// TestKilledHostIsReplaced: the others go on, one of them hosts, and joining works.
func TestKilledHostIsReplaced(t *testing.T) {
	root := busRoot(t)
	host, hosting := participant(t, root, "claim", "t", "host")
	if !hosting {
		t.Fatal("the first one does not host")
	}
	a, b := dial(t, Config{Dir: root}), dial(t, Config{Dir: root})
	p := publisher(t, a, PublisherRequest{Topic: "t", Name: "p"})
	r := newReader(t, subscriber(t, b, SubscriberRequest{Topic: "t", Name: "s"}), ring.Reliable)
	if err := publish(p, "before"); err != nil {
		t.Fatal(err)
	}
	host.kill()
	if err := publish(p, "meanwhile"); err != nil {
		t.Fatal(err)
	}
	// The dead host's own claim is aborted by the next one.
	r.expect(t, "before")
	r.expect(t, "meanwhile")
	eventually(t, func() error {
		if a.Hosting() == b.Hosting() {
			return fmt.Errorf("hosting: %v and %v", a.Hosting(), b.Hosting())
		}
		return nil
	})
	counts(t, a, "t", 1, 1)
	c := dial(t, Config{Dir: root})
	if _, err := c.Publisher(soon(t), PublisherRequest{Topic: "t", Name: "p"}); !errors.Is(err, ErrNameInUse) {
		t.Errorf("a survivor's name: got %v, want ErrNameInUse", err)
	}
	q := publisher(t, c, PublisherRequest{Topic: "t", Name: "host"})
	if q.CreatedTopic {
		t.Error("the topic was made anew")
	}
	if err := publish(q, "after"); err != nil {
		t.Fatal(err)
	}
	r.expect(t, "after")
}

func TestHostLeavesCleanly(t *testing.T) {
	config := Config{Dir: busRoot(t)}
	first := dial(t, config)
	clients := []*Client{dial(t, config), dial(t, config), dial(t, config)}
	p := publisher(t, clients[0], PublisherRequest{Topic: "t"})
	r := newReader(t, subscriber(t, clients[1], SubscriberRequest{Topic: "t"}), ring.Reliable)
	own := publisher(t, first, PublisherRequest{Topic: "t", Name: "own"})
	if err := publish(own, "0"); err != nil {
		t.Fatal(err)
	}
	r.expect(t, "0")
	for i, c := range append([]*Client{first}, clients[2]) {
		c.Close()
		if err := publish(p, fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
		r.expect(t, fmt.Sprint(i))
		counts(t, clients[0], "t", 1, 1)
		late := dial(t, config)
		g := publisher(t, late, PublisherRequest{Topic: "t", Name: "own"})
		g.Release()
		late.Close()
		counts(t, clients[0], "t", 1, 1)
	}
}

func TestHostAndPublisherDieTogether(t *testing.T) {
	root := busRoot(t)
	host, _ := participant(t, root, "none", "", "")
	a := dial(t, Config{Dir: root, NeverHost: true})
	r := readerOfNew(t, a, "t")
	dead, _ := participant(t, root, "claim", "t", "dead")
	p := publisher(t, a, PublisherRequest{Topic: "t"})
	if err := publish(p, "behind the claim"); err != nil {
		t.Fatal(err)
	}
	// Stopped first, so that neither sees the other die.
	host.stop()
	dead.stop()
	host.kill()
	dead.kill()
	b := dial(t, Config{Dir: root})
	r.expect(t, "behind the claim")
	if !b.Hosting() {
		t.Error("the only one that may does not host")
	}
	counts(t, a, "t", 2, 1)
}

// A member that lives but does not come back keeps its slots, until it dies.
func TestAbsentMemberIsJudgedByItsLock(t *testing.T) {
	root := busRoot(t)
	host, _ := participant(t, root, "none", "", "")
	a := dial(t, Config{Dir: root})
	p := publisher(t, a, PublisherRequest{Topic: "t"})
	absent, _ := participant(t, root, "publish", "t", "absent")
	absent.stop()
	host.kill()
	eventually(t, func() error {
		if i := counts(t, a, "t", 2, 0); len(i.Quarantined) != 1 {
			return fmt.Errorf("%+v", i)
		}
		return nil
	})
	if err := publish(p, "goes on"); err != nil {
		t.Error(err)
	}
	absent.kill()
	counts(t, a, "t", 1, 0)
}

func TestWaitingSubscriberSurvivesTheHost(t *testing.T) {
	root := busRoot(t)
	host, _ := participant(t, root, "none", "", "")
	a := dial(t, Config{Dir: root})
	got := make(chan *Grant, 1)
	go func() {
		g, err := a.Subscriber(soon(t), SubscriberRequest{Topic: "later", Name: "s"})
		if err != nil {
			t.Error(err)
		}
		got <- g
	}()
	eventually(t, func() error {
		a.mu.Lock()
		defer a.mu.Unlock()
		for _, call := range a.calls {
			if call.waiting.Load() != nil {
				return nil
			}
		}
		return errors.New("the host has not said that it waits")
	})
	host.kill()
	p := publisher(t, dial(t, Config{Dir: root}), PublisherRequest{Topic: "later"})
	if err := publish(p, "first"); err != nil {
		t.Fatal(err)
	}
	g := <-got
	if g == nil {
		t.FailNow()
	}
	defer g.Release()
	newReader(t, g, ring.Reliable).expect(t, "first")
}

func TestStoppedHostIsNamed(t *testing.T) {
	root := busRoot(t)
	host, _ := participant(t, root, "none", "", "")
	a := dial(t, Config{Dir: root})
	host.stop()
	var err error
	eventually(t, func() error {
		ctx, cancel := context.WithTimeout(soon(t), time.Second)
		defer cancel()
		if _, err = Dial(ctx, Config{Dir: root}); errors.Is(err, ErrHostStalled) || !errors.Is(err, context.DeadlineExceeded) {
			return nil
		}
		return fmt.Errorf("its time was over before it had asked: %w", err)
	})
	if want := fmt.Sprintf("pid %d", host.cmd.Process.Pid); !errors.Is(err, ErrHostStalled) || !strings.Contains(err.Error(), want) {
		t.Errorf("join: got %v, want ErrHostStalled with %s", err, want)
	}
	// One that is here hears it too, after a while, and goes on with the host.
	_, err = a.Host(soon(t))
	if !errors.Is(err, ErrHostStalled) {
		t.Errorf("request: got %v, want ErrHostStalled", err)
	}
	if err := host.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Host(soon(t)); err != nil {
		t.Error(err)
	}
}

func TestOneOfManyHosts(t *testing.T) {
	config := Config{Dir: busRoot(t)}
	const n = 16
	clients := make(chan *Client, n)
	for range n {
		go func() {
			c, err := Dial(soon(t), config)
			if err != nil {
				t.Error(err)
			}
			clients <- c
		}()
	}
	hosts := 0
	for range n {
		c := <-clients
		if c == nil {
			continue
		}
		defer c.Close()
		if c.Hosting() {
			hosts++
		}
	}
	if hosts != 1 {
		t.Errorf("%d hosts", hosts)
	}
}

// The slot of somebody who is away is nobody else's to take, whatever
// descriptors he has.
func TestForeignSlotIsNotGiven(t *testing.T) {
	root := busRoot(t)
	c := dial(t, Config{Dir: root})
	participant(t, root, "leave", "t", "left")
	eventually(t, func() error {
		if i := counts(t, c, "t", 1, 0); len(i.Quarantined) != 1 {
			return fmt.Errorf("%+v", i)
		}
		return nil
	})
	c.host.mu.Lock()
	topic := c.host.topics["t"]
	id := topic.publishers[0].id()
	topic.refs++ // its files stay open for as long as we use them
	c.host.mu.Unlock()
	defer c.host.unref(topic)
	if e := badOffer(t, c, id, topic.regions.log.rw.File(), topic.regions.cursors.rw.File()); e.Code != "orphaned" {
		t.Errorf("got %+v, want orphaned", e)
	}
	if i := counts(t, c, "t", 1, 0); len(i.Quarantined) != 1 {
		t.Errorf("%+v", i)
	}
}
