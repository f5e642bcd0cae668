package control

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shmbus/shmbus/ring"
	"github.com/shmbus/shmbus/shm"
)

// soon is a context that ends before the test's watchdog would.
func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), watchdog)
	t.Cleanup(cancel)
	return ctx
}

// busRoot is a root directory that is not there yet.
func busRoot(t *testing.T) string { return filepath.Join(shortDir(t), "root") }

// dial joins a bus and leaves it at the end of the test.
func dial(t *testing.T, config Config) *Client {
	t.Helper()
	c, err := Dial(soon(t), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func publisher(t *testing.T, c *Client, r PublisherRequest) *Grant {
	t.Helper()
	g, err := c.Publisher(soon(t), r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Release() })
	return g
}

func subscriber(t *testing.T, c *Client, r SubscriberRequest) *Grant {
	t.Helper()
	g, err := c.Subscriber(soon(t), r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Release() })
	return g
}

// eventually polls until f returns nil.
func eventually(t *testing.T, f func() error) {
	t.Helper()
	ctx := soon(t)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal(err)
		}
	}
}

// publish puts a message into a granted ring.
func publish(g *Grant, payload string) error {
	p, err := g.Ring.Producer(g.Slot, g.Gen)
	if err != nil {
		return err
	}
	_, err = p.TryPublish([]byte(payload), 0, shm.Now())
	return err
}

// reader consumes from a granted ring.
type reader struct{ c *ring.Consumer }

func newReader(t *testing.T, g *Grant, mode ring.Mode) reader {
	t.Helper()
	c, err := g.Ring.Consumer(g.Slot, g.Gen, g.Attachment, ring.ConsumerOptions{Mode: mode, Guest: g.Guest})
	if err != nil {
		t.Fatal(err)
	}
	return reader{c}
}

// expect waits for the next message and compares.
func (r reader) expect(t *testing.T, want string) {
	t.Helper()
	eventually(t, func() error {
		rec, err := r.c.Next()
		if err == nil && string(rec.Payload) != want {
			t.Fatalf("got %q, want %q", rec.Payload, want)
		}
		return err
	})
	r.c.Release()
}

func TestMessagesPassBetweenClients(t *testing.T) {
	config := Config{Dir: busRoot(t)}
	a, b := dial(t, config), dial(t, config)
	if !a.Hosting() || b.Hosting() {
		t.Fatalf("hosting: first %v, second %v; want the first only", a.Hosting(), b.Hosting())
	}
	p := publisher(t, b, PublisherRequest{Topic: "news", Name: "p", Schema: 7})
	if !p.CreatedTopic {
		t.Error("the first publisher did not make the topic")
	}
	s := subscriber(t, a, SubscriberRequest{Topic: "news", Name: "s", Schema: 7})
	r := newReader(t, s, ring.Reliable)
	for i := range 10 {
		if err := publish(p, fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
		r.expect(t, fmt.Sprint(i))
	}
	topics, err := a.Topics(soon(t))
	if err != nil || len(topics) != 1 {
		t.Fatal(topics, err)
	}
	if i := topics[0]; i.Name != "news" || i.Publishers != 1 || i.Subscribers != 1 || i.Capacity != DefaultCapacity || i.Schema != 7 || i.LogBytes < DefaultCapacity {
		t.Errorf("%+v", i)
	}
	info, err := b.Host(soon(t))
	if err != nil || info.PID != os.Getpid() || info.Clients != 2 || info.Topics != 1 || info.Member != a.memberID() {
		t.Errorf("%+v, %v", info, err)
	}
	if err := b.Remove(soon(t), "news"); !errors.Is(err, ErrTopicInUse) || !strings.Contains(err.Error(), `"s"`) {
		t.Errorf("remove: got %v, want ErrTopicInUse naming s", err)
	}
	s.Release()
	p.Release()
	if topics, err = a.Topics(soon(t)); err != nil || len(topics) != 0 {
		t.Errorf("a topic nobody is attached to lives on: %v, %v", topics, err)
	}
}

func TestWaitingSubscribersMissNothing(t *testing.T) {
	config := Config{Dir: busRoot(t)}
	host, a, b := dial(t, config), dial(t, config), dial(t, config)
	const each = 5
	grants := make(chan *Grant, 2*each)
	for _, c := range []*Client{a, b} {
		for range each {
			go func() {
				g, err := c.Subscriber(soon(t), SubscriberRequest{Topic: "later"})
				if err != nil {
					t.Error(err)
				}
				grants <- g
			}()
		}
	}
	eventually(t, func() error {
		host.host.mu.Lock()
		defer host.host.mu.Unlock()
		if n := len(host.host.waiters["later"]); n != 2*each {
			return fmt.Errorf("%d wait", n)
		}
		return nil
	})
	p := publisher(t, host, PublisherRequest{Topic: "later"})
	if err := publish(p, "first"); err != nil {
		t.Fatal(err)
	}
	for range 2 * each {
		g := <-grants
		if g == nil {
			t.FailNow()
		}
		if g.Attachment.Sequence != 0 {
			t.Errorf("attached at sequence %d, want 0", g.Attachment.Sequence)
		}
		newReader(t, g, ring.Reliable).expect(t, "first")
		g.Release()
	}
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	config := Config{Dir: busRoot(t)}
	c := dial(t, config)
	ctx, cancel := context.WithCancel(soon(t))
	done := make(chan error, 1)
	go func() {
		_, err := c.Subscriber(ctx, SubscriberRequest{Topic: "never"})
		done <- err
	}()
	waiting := func(want int) func() error {
		return func() error {
			c.host.mu.Lock()
			defer c.host.mu.Unlock()
			if n := len(c.host.waiters["never"]); n != want {
				return fmt.Errorf("%d wait, want %d", n, want)
			}
			return nil
		}
	}
	eventually(t, waiting(1))
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	eventually(t, func() error {
		c.awaitDisowned(soon(t)) // the cancel may not have got through in its time
		return waiting(0)()
	})
	if _, err := c.Subscriber(soon(t), SubscriberRequest{Topic: "never", NoWait: true}); !errors.Is(err, ErrNoTopic) {
		t.Errorf("no wait: got %v", err)
	}
}

// TestLostCancel: a subscription that was given up without the host's hearing of
// it does not keep its name from the next try.
func TestLostCancel(t *testing.T) {
	host := dial(t, Config{Dir: busRoot(t)})
	c := dial(t, Config{Dir: host.config.Dir, NeverHost: true})
	request := SubscriberRequest{Topic: "later", Name: "s"}
	inLine := func() (first uint64, n int) {
		host.host.mu.Lock()
		defer host.host.mu.Unlock()
		if line := host.host.waiters["later"]; len(line) > 0 {
			return line[len(line)-1].request.ID, len(line)
		}
		return 0, 0
	}
	ctx, cancel := context.WithCancel(soon(t))
	gaveUp := make(chan error, 1)
	go func() {
		_, err := c.Subscriber(ctx, request)
		gaveUp <- err
	}()
	var first uint64
	eventually(t, func() error {
		var n int
		if first, n = inLine(); n != 1 {
			return fmt.Errorf("%d in line", n)
		}
		return nil
	})
	c.mu.Lock()
	conn := c.link.conn
	c.mu.Unlock()
	conn.sending <- struct{}{} // nothing gets through
	cancel()
	if err := <-gaveUp; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	<-conn.sending
	granted := make(chan error, 1)
	go func() {
		_, err := c.Subscriber(soon(t), request)
		granted <- err
	}()
	eventually(t, func() error {
		if id, n := inLine(); n == 0 || id == first {
			return fmt.Errorf("%d in line, the last with id %d", n, id)
		}
		return nil
	})
	publisher(t, host, PublisherRequest{Topic: "later"})
	if err := <-granted; err != nil {
		t.Error(err)
	}
}
