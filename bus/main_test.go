package bus_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/shmbus/shmbus/bus"
	"github.com/shmbus/shmbus/bustest"
)

func TestMain(m *testing.M) {
	bustest.Register("publisher", publisherProgram)
	bustest.Register("subscriber", subscriberProgram)
	bustest.Register("holder", holderProgram)
	bustest.Main(m)
}

// publisherProgram publishes Args[1] numbered messages as publisher Args[2] of
// topic Args[0], once there are Args[3] subscribers.
func publisherProgram(ctx context.Context, c *bustest.Child) error {
	topic, id := c.Args[0], number(c.Args[2])
	b, err := c.Open(ctx)
	if err != nil {
		return err
	}
	defer b.Close()
	p, err := b.Publisher(ctx, topic, bus.PublisherConfig{Capacity: 64 << 10})
	if err != nil {
		return err
	}
	if err := p.WaitSubscribers(ctx, number(c.Args[3])); err != nil {
		return err
	}
	c.Say("started")
	for i := range number(c.Args[1]) {
		if err := p.Publish(ctx, numbered(id, i)); err != nil {
			return err
		}
	}
	return p.Close()
}

// subscriberProgram reads topic Args[0] until it is drained and says the count
// and the digest of all it got, in order. Args[1] publishers' numbers must
// each be in order.
func subscriberProgram(ctx context.Context, c *bustest.Child) error {
	b, err := c.Open(ctx)
	if err != nil {
		return err
	}
	defer b.Close()
	s, err := b.Subscriber(ctx, c.Args[0], bus.SubscriberConfig{UntilDrained: true})
	if err != nil {
		return err
	}
	o := newOrder(number(c.Args[1]))
	for {
		m, err := s.Next(ctx)
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if err := o.add(&m); err != nil {
			return err
		}
	}
	c.Say("%d %x", o.count, o.digest.Sum(nil))
	return s.Close()
}

// holderProgram attaches to topic Args[1] in the role Args[0] and waits to be
// killed.
func holderProgram(ctx context.Context, c *bustest.Child) error {
	b, err := c.Open(ctx)
	if err != nil {
		return err
	}
	switch c.Args[0] {
	case "host":
	case "publisher", "claimer":
		p, err := b.Publisher(ctx, c.Args[1], bus.PublisherConfig{})
		if err != nil {
			return err
		}
		if c.Args[0] == "claimer" {
			if _, err := p.Claim(ctx, 100); err != nil {
				return err
			}
		}
		defer p.Close()
	case "subscriber":
		s, err := b.Subscriber(ctx, c.Args[1], bus.SubscriberConfig{})
		if err != nil {
			return err
		}
		defer s.Close()
	}
	c.Say("holding, host %t", b.Hosting())
	<-ctx.Done()
	return nil
}

// order checks and digests what one subscriber gets from several publishers.
type order struct {
	next   []int
	count  int
	digest interface {
		io.Writer
		Sum([]byte) []byte
	}
}

func newOrder(publishers int) *order {
	return &order{next: make([]int, publishers), digest: sha256.New()}
}

func (o *order) add(m *bus.Message) error {
	id, i := int(binary.LittleEndian.Uint32(m.Payload)), int(binary.LittleEndian.Uint32(m.Payload[4:]))
	if id >= len(o.next) || i < o.next[id] {
		return fmt.Errorf("message %d: publisher %d's number %d, expected at least %d", m.Sequence, id, i, o.next[id])
	}
	o.next[id] = i + 1
	o.count++
	_, _ = o.digest.Write(m.Payload)
	return nil
}

// numbered makes a message that says whose it is, of 8 to 39 bytes.
func numbered(id, i int) []byte {
	b := make([]byte, 8+(i*7)%32)
	binary.LittleEndian.PutUint32(b, uint32(id))
	binary.LittleEndian.PutUint32(b[4:], uint32(i))
	return b
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n
}

func openPublisher(t testing.TB, b *bustest.Bus, topic string, c bus.PublisherConfig) *bus.Publisher {
	t.Helper()
	p, err := b.Publisher(contextOf(t), topic, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { runtime.KeepAlive(p) }) // a handle that is collected in mid-test leaves the topic
	return p
}

func openSubscriber(t testing.TB, b *bustest.Bus, topic string, c bus.SubscriberConfig) *bus.Subscriber {
	t.Helper()
	s, err := b.Subscriber(contextOf(t), topic, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { runtime.KeepAlive(s) }) // as above
	return s
}

// pair opens both ends of a topic.
func pair(t testing.TB, b *bustest.Bus, pc bus.PublisherConfig, sc bus.SubscriberConfig) (*bus.Publisher, *bus.Subscriber) {
	t.Helper()
	return pairOf(t, b, "topic", pc, sc)
}

func pairOf(t testing.TB, b *bustest.Bus, topic string, pc bus.PublisherConfig, sc bus.SubscriberConfig) (*bus.Publisher, *bus.Subscriber) {
	t.Helper()
	p := openPublisher(t, b, topic, pc)
	return p, openSubscriber(t, b, topic, sc)
}

// contexts are one for each test: helpers are called in loops.
var contexts sync.Map

func contextOf(t testing.TB) context.Context {
	if ctx, ok := contexts.Load(t); ok {
		return ctx.(context.Context)
	}
	ctx := bustest.Context(t)
	contexts.Store(t, ctx)
	t.Cleanup(func() { contexts.Delete(t) })
	return ctx
}

func publish(t testing.TB, p *bus.Publisher, payload string) {
	t.Helper()
	if err := p.Publish(contextOf(t), []byte(payload)); err != nil {
		t.Fatal(err)
	}
}

func next(t testing.TB, s *bus.Subscriber) bus.Message {
	t.Helper()
	m, err := s.Next(contextOf(t))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// expect reads one message and compares its payload.
func expect(t testing.TB, s *bus.Subscriber, want string) {
	t.Helper()
	if m := next(t, s); string(m.Payload) != want {
		t.Fatalf("message %d is %.60q, want %.60q", m.Sequence, m.Payload, want)
	}
}

// result runs f in a goroutine of its own and returns where its error comes.
func result(f func() error) chan error {
	c := make(chan error, 1)
	go func() { c <- f() }()
	return c
}

func await(t testing.TB, what string, c chan error) error {
	t.Helper()
	select {
	case err := <-c:
		return err
	case <-time.After(bustest.Watchdog):
		buf := make([]byte, 1<<16)
		t.Fatalf("%s does not return\n%s", what, buf[:runtime.Stack(buf, true)])
		return nil
	}
}
