package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/shmbus/shmbus/ring"
	"github.com/shmbus/shmbus/shm"
)

// refused asks for a publisher slot that must be refused.
func refused(t *testing.T, c *Client, r PublisherRequest, want error, texts ...string) {
	t.Helper()
	g, err := c.Publisher(soon(t), r)
	if err == nil {
		g.Release()
	}
	if !errors.Is(err, want) {
		t.Errorf("%+v: got %v, want %v", r, err, want)
		return
	}
	for _, s := range texts {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("%+v: %q does not name %s", r, err, s)
		}
	}
}

func TestOptionsMustAgree(t *testing.T) {
	config := Config{Dir: busRoot(t)}
	a, b := dial(t, config), dial(t, config)
	publisher(t, a, PublisherRequest{Topic: "t", Name: "p", Capacity: 8192, Schema: 3, Publishers: 2, Subscribers: 1})
	publisher(t, b, PublisherRequest{Topic: "t", Name: "q"}) // zero: the topic's
	refused(t, b, PublisherRequest{Topic: "t", Capacity: 16384}, ErrOptions, "8192", "16384")
	refused(t, b, PublisherRequest{Topic: "t", Publishers: 3}, ErrOptions, "publishers 2", "3")
	refused(t, b, PublisherRequest{Topic: "t", Subscribers: 3}, ErrOptions, "subscribers 1", "3")
	refused(t, b, PublisherRequest{Topic: "t", Schema: 4}, ErrSchema, "3", "4")
	refused(t, b, PublisherRequest{Topic: "t", Name: "p"}, ErrNameInUse, `"p"`)
	refused(t, b, PublisherRequest{Topic: "t", Name: "third"}, ErrNoSlot, "2")
	refused(t, b, PublisherRequest{Topic: "u", Capacity: 5000}, ring.ErrBadOptions, "5000")
	refused(t, b, PublisherRequest{Topic: "u/v"}, ErrBadName)
	refused(t, b, PublisherRequest{Topic: "u", Name: "a b"}, ErrBadName)
	if _, err := b.Subscriber(soon(t), SubscriberRequest{Topic: "t", Schema: 4}); !errors.Is(err, ErrSchema) {
		t.Errorf("subscriber of schema 4: %v", err)
	}
	if _, err := b.Subscriber(soon(t), SubscriberRequest{Topic: "t", Start: ring.Start{Kind: ring.StartSequence, Sequence: 9}}); !errors.Is(err, ring.ErrBadStart) {
		t.Errorf("start at 9: %v", err)
	}
	subscriber(t, b, SubscriberRequest{Topic: "t", Name: "p"}) // a name of the other role
	if _, err := b.Subscriber(soon(t), SubscriberRequest{Topic: "t"}); !errors.Is(err, ErrNoSlot) {
		t.Errorf("second subscriber: %v", err)
	}
	if topics, err := a.Topics(soon(t)); err != nil || len(topics) != 1 {
		t.Errorf("%v, %v", topics, err)
	}
}

func TestMemoryIsRefusedBeforeItIsTaken(t *testing.T) {
	c := dial(t, Config{Dir: busRoot(t), Host: HostConfig{MaxMemory: 3 << 20}})
	refused(t, c, PublisherRequest{Topic: "t"}, ErrNoMemory, "3145728", "host's maximum")
	p := publisher(t, c, PublisherRequest{Topic: "t", Capacity: 2 << 20})
	refused(t, c, PublisherRequest{Topic: "u", Capacity: 2 << 20}, ErrNoMemory)
	p.Release()
	publisher(t, c, PublisherRequest{Topic: "u", Capacity: 2 << 20})
	info, err := c.Host(soon(t))
	if err != nil || info.Memory < 2<<20 || info.Memory > info.MaxMemory || info.MaxMemory != 3<<20 {
		t.Errorf("%+v, %v", info, err)
	}
}

func TestMemoryOfTheMachineIsTheLimit(t *testing.T) {
	available, _, err := AvailableMemory()
	if err != nil {
		t.Skip(err)
	}
	c := dial(t, Config{Dir: busRoot(t), Host: HostConfig{MaxMemory: 1 << 60}})
	h := c.host
	// Far more, since others may give theirs back meanwhile.
	if err := h.reserve("t", available+1<<40); !errors.Is(err, ErrNoMemory) || !strings.Contains(err.Error(), "limit: ") {
		t.Errorf("got %v", err)
	}
}

func TestTopicsAreLimited(t *testing.T) {
	c := dial(t, Config{Dir: busRoot(t), Host: HostConfig{MaxTopics: 1}})
	publisher(t, c, PublisherRequest{Topic: "t"})
	refused(t, c, PublisherRequest{Topic: "u"}, ErrTooManyTopics, "1")
}

func TestFirstPublishersAgreeOnOneTopic(t *testing.T) {
	config := Config{Dir: busRoot(t)}
	c := dial(t, config)
	const n = 12
	grants := make(chan *Grant, n)
	for range n {
		go func() {
			g, err := c.Publisher(soon(t), PublisherRequest{Topic: "t"})
			if err != nil {
				t.Error(err)
			}
			grants <- g
		}()
	}
	created := 0
	for range n {
		if g := <-grants; g != nil {
			defer g.Release()
			if g.CreatedTopic {
				created++
			}
		}
	}
	if created != 1 {
		t.Errorf("made %d times", created)
	}
}

// A ring whose lock somebody stopped holds: attaching waits and names him; all
// else goes on.
func TestStalledRingBlocksOnlyItself(t *testing.T) {
	c := dial(t, Config{Dir: busRoot(t)})
	p := publisher(t, c, PublisherRequest{Topic: "t", Name: "frozen"})
	c.host.mu.Lock()
	log := c.host.topics["t"].regions.log.bytes()
	c.host.mu.Unlock()
	mutex := shm.Overlay[shm.Word32](log, 0x300)
	mutex.Store(p.Gen<<8 | uint32(p.Slot+1)) // as if it were stopped inside
	ctx, cancel := context.WithCancel(soon(t))
	done := make(chan error, 1)
	go func() {
		_, err := c.Subscriber(ctx, SubscriberRequest{Topic: "t"})
		done <- err
	}()
	eventually(t, func() error {
		i := counts(t, c, "t", 1, 0)
		if !strings.Contains(i.Stalled, "frozen") || i.Waiting != 1 {
			return fmt.Errorf("%+v", i)
		}
		return nil
	})
	q := publisher(t, c, PublisherRequest{Topic: "u"})
	s := subscriber(t, c, SubscriberRequest{Topic: "u"})
	if err := publish(q, "elsewhere"); err != nil {
		t.Fatal(err)
	}
	newReader(t, s, ring.Reliable).expect(t, "elsewhere")
	eventually(t, func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, call := range c.calls {
			if w := call.waiting.Load(); w != nil && w.Reason == waitStalled {
				return nil
			}
		}
		return errors.New("the client was not told")
	})
	cancel()
	if err := <-done; !errors.Is(err, ErrStalled) || !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "frozen") {
		t.Errorf("got %v, want ErrStalled naming frozen", err)
	}
	go func() {
		g, err := c.Subscriber(soon(t), SubscriberRequest{Topic: "t"})
		if err == nil {
			err = g.Release()
		}
		done <- err
	}()
	mutex.Store(0)
	shm.FutexWake(mutex, 1<<30)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestObserversReadAndNothingElse(t *testing.T) {
	config := Config{Dir: busRoot(t)}
	if _, err := Dial(soon(t), Config{Dir: config.Dir, Observer: true}); !errors.Is(err, ErrNoBus) {
		t.Errorf("no bus: %v", err)
	}
	c := dial(t, config)
	p := publisher(t, c, PublisherRequest{Topic: "b", Name: "p"})
	publisher(t, c, PublisherRequest{Topic: "a"})
	if err := publish(p, "x"); err != nil {
		t.Fatal(err)
	}
	o := dial(t, Config{Dir: config.Dir, Observer: true})
	all, err := o.Observe(soon(t))
	if err != nil || len(all) != 2 || all[0].Topic != "a" || all[1].Topic != "b" {
		t.Fatal(all, err)
	}
	if s := all[1].Ring.Stat(); s.Sequence != 1 {
		t.Errorf("%+v", s)
	}
	if list := all[1].Ring.Publishers(); len(list) != 1 || list[0].Name != "p" {
		t.Errorf("%+v", list)
	}
	for _, r := range all[1].attachment.regions {
		if _, err := r.Map(true); err == nil {
			t.Error("an observer's region maps writable")
		}
	}
	if _, err := o.ObserveTopic(soon(t), "c"); !errors.Is(err, ErrNoTopic) {
		t.Errorf("no topic: %v", err)
	}
	if _, err := o.Publisher(soon(t), PublisherRequest{Topic: "b"}); !errors.Is(err, ErrPermission) {
		t.Errorf("publish: %v", err)
	}
	for _, mode := range []ring.Mode{ring.Reliable, ring.Lossy} {
		if _, err := o.Subscriber(soon(t), SubscriberRequest{Topic: "b", Mode: mode}); !errors.Is(err, ErrPermission) {
			t.Errorf("subscribe, %v: %v", mode, err)
		}
	}
	again, err := o.ObserveTopic(soon(t), "b")
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range append(all, again) {
		o.Close()
		o.Close()
	}
	if n := len(o.attachments); n != 0 {
		t.Errorf("%d mappings are left", n)
	}
	c.Close()
	if _, err := Dial(soon(t), Config{Dir: config.Dir, Observer: true}); !errors.Is(err, ErrNoHost) {
		t.Errorf("no host: %v", err)
	}
}

func TestListingIsPaged(t *testing.T) {
	c := dial(t, Config{Dir: busRoot(t)})
	const n = 700
	g := publisher(t, c, PublisherRequest{Topic: "a-topic"})
	defer g.Release()
	h := c.host
	h.mu.Lock()
	made := h.topics["a-topic"]
	for i := range n - 1 { // they share a ring, at which the host looks now and then
		topic := newTopic(fmt.Sprintf("a-topic-with-a-name-that-is-rather-long-%04d", i))
		topic.live, topic.refs, topic.ring, topic.host = true, 1, made.ring, made.host
		h.topics[topic.name] = topic
	}
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		maps.DeleteFunc(h.topics, func(_ string, topic *topic) bool { return topic != made })
		h.mu.Unlock()
	}()
	first := h.page(NewHeader(typeTopics, 1), "")
	if b, err := json.Marshal(first); err != nil || len(b) > MaxMessage || !first.More {
		t.Errorf("first page: %d bytes, more %v, %v", len(b), first.More, err)
	}
	topics, err := c.Topics(soon(t))
	if err != nil || len(topics) != n {
		t.Fatal(len(topics), err)
	}
	for i := range n - 1 {
		if topics[i].Name >= topics[i+1].Name {
			t.Fatalf("%s before %s", topics[i].Name, topics[i+1].Name)
		}
	}
}

// A guest in a process of its own: says what it may and may not do.
var _ = childProgram("guest-client", func(args []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), watchdog)
	defer cancel()
	c, err := Dial(ctx, Config{Dir: args[0], Guest: true})
	if err != nil {
		return err
	}
	_, err = c.Publisher(ctx, PublisherRequest{Topic: "t"})
	fmt.Println("publish", errors.Is(err, ErrGuest))
	_, err = c.Subscriber(ctx, SubscriberRequest{Topic: "t"})
	fmt.Println("reliable", errors.Is(err, ErrGuest))
	fmt.Println("remove", errors.Is(c.Remove(ctx, "t"), ErrGuest))
	g, err := c.Subscriber(ctx, SubscriberRequest{Topic: "t", Name: "guest", Mode: ring.Lossy})
	if err != nil {
		return err
	}
	for i, r := range g.attachment.regions {
		_, err := r.Map(true)
		_, up := r.Reopen(true)
		fmt.Println(regionNames[i], err == nil || up == nil)
	}
	r, err := g.Ring.Consumer(g.Slot, g.Gen, g.Attachment, ring.ConsumerOptions{Mode: ring.Lossy, Guest: true})
	if err != nil {
		return err
	}
	fmt.Println("attached", g.Guest, g.Slot)
	for tick := time.NewTicker(time.Millisecond); ; <-tick.C {
		rec, err := r.Next()
		if errors.Is(err, ring.ErrEmpty) && ctx.Err() == nil {
			continue
		}
		if err != nil {
			return err
		}
		fmt.Println("message", string(rec.Payload))
		if string(rec.Payload) == "end" {
			break
		}
	}
	if err := errors.Join(g.Release(), c.Close()); err != nil {
		return err
	}
	fmt.Println("left")
	untilParentEnds()
	return nil
})

func TestGuestsAreLossySubscribersOnly(t *testing.T) {
	needRoot(t)
	dir := shortDir(t)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	root := dir + "/root"
	config := Config{Dir: root, Host: HostConfig{Group: "4711"}}
	// The next host waits for itself, however long that takes.
	host, other := dial(t, config), dial(t, Config{Dir: root, Host: HostConfig{Settle: 10 * time.Second}})
	p := publisher(t, other, PublisherRequest{Topic: "t"})
	if info, err := other.Host(soon(t)); err != nil || info.Group != "4711" {
		t.Errorf("%+v, %v", info, err)
	}
	guest := startChild(t, nobody, 4711, "guest-client", root)
	expectLines(t, guest, "publish true", "reliable true", "remove true", "log false", "cursors false", "guests true", "attached true 0")
	i := counts(t, other, "t", 1, 1)
	if i.CursorBytes < 2*4096 {
		t.Errorf("%+v", i)
	}
	if s, err := other.Subscriber(soon(t), SubscriberRequest{Topic: "t", Name: "guest"}); err != nil {
		t.Errorf("a subscriber of the guest's name: %v", err)
	} else {
		must(t, s.Release())
	}
	if err := publish(p, "1"); err != nil {
		t.Fatal(err)
	}
	expectLines(t, guest, "message 1")
	// The guest is attached to the next host too.
	host.Close()
	counts(t, other, "t", 1, 1)
	eventually(t, func() error {
		other.mu.Lock()
		h := other.host
		other.mu.Unlock()
		h.mu.Lock()
		defer h.mu.Unlock()
		if d := h.topics["t"].guests[0]; d == nil || d.state != holderLive {
			return fmt.Errorf("the guest is %+v", d)
		}
		return nil
	})
	if err := publish(p, "end"); err != nil {
		t.Fatal(err)
	}
	expectLines(t, guest, "message end", "left")
	counts(t, other, "t", 1, 0)
	if got := startChild(t, nobody, 4712, "guest-client", root).line(); !strings.HasPrefix(got, "error") {
		t.Errorf("somebody of another group: %s", got)
	}
}

func expectLines(t *testing.T, c *child, want ...string) {
	t.Helper()
	for _, w := range want {
		if got := c.line(); got != w {
			t.Fatalf("the child says %q, want %q", got, w)
		}
	}
}

// TestClosedClientsLeaveNothing: descriptors, goroutines and mappings are as
// before.
func TestClosedClientsLeaveNothing(t *testing.T) {
	config := Config{Dir: busRoot(t)}
	round := func() {
		a, err := Dial(soon(t), config)
		if err != nil {
			t.Fatal(err)
		}
		b, err := Dial(soon(t), config)
		if err != nil {
			t.Fatal(err)
		}
		p, err := a.Publisher(soon(t), PublisherRequest{Topic: "t"})
		if err != nil {
			t.Fatal(err)
		}
		s, err := b.Subscriber(soon(t), SubscriberRequest{Topic: "t"})
		if err != nil {
			t.Fatal(err)
		}
		o, err := b.ObserveTopic(soon(t), "t")
		if err != nil {
			t.Fatal(err)
		}
		a.Close() // b hosts now
		counts(t, b, "t", 0, 1)
		if n := p.Ring.Stat().Sequence; n != 0 { // still mapped
			t.Errorf("sequence %d", n)
		}
		o.Close()
		s.Release()
		p.Release()
		b.Close()
	}
	round()
	descriptors, goroutines, mapped := openDescriptors(t), runtime.NumGoroutine(), mappings(t)
	for range 10 {
		round()
	}
	if n := openDescriptors(t); n > descriptors {
		t.Errorf("%d descriptors, %d before", n, descriptors)
	}
	// A goroutine that nothing waits for any more is still counted until the
	// runtime has run its last instructions; one that stays is shown with its
	// stack.
	eventually(t, func() error {
		if n := runtime.NumGoroutine(); n > goroutines {
			b := make([]byte, 1<<20)
			return fmt.Errorf("%d goroutines, %d before\n%s", n, goroutines, b[:runtime.Stack(b, true)])
		}
		return nil
	})
	if n := mappings(t); n > mapped {
		t.Errorf("%d mappings, %d before", n, mapped)
	}
}

func mappings(t *testing.T) int {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(maps), "memfd:shmbus")
}
