package bus_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/shmbus/shmbus/bus"
	"github.com/shmbus/shmbus/bustest"
)

// fill publishes until the ring is full and returns how many fitted.
func fill(t *testing.T, p *bus.Publisher) int {
	t.Helper()
	for n := 0; ; n++ {
		switch err := p.TryPublish(fmt.Appendf(nil, "%d", n)); {
		case errors.Is(err, bus.ErrBackpressure):
			return n
		case err != nil:
			t.Fatal(err)
		}
	}
}

var small = bus.PublisherConfig{Capacity: 4 << 10}

func TestFullBlock(t *testing.T) {
	b := bustest.New(t)
	p, s := pair(t, b, small, bus.SubscriberConfig{})
	n := fill(t, p)
	if n < 50 || n > 64 {
		t.Errorf("%d messages of 64 bytes fit in 4 KiB", n)
	}
	ctx, cancel := context.WithCancel(contextOf(t))
	blocked := result(func() error { return p.Publish(ctx, []byte("cancelled")) })
	cancel()
	if err := await(t, "Publish", blocked); !errors.Is(err, context.Canceled) {
		t.Errorf("Publish with a cancelled context: %v", err)
	}
	blocked = result(func() error { return p.Publish(contextOf(t), []byte("at last")) })
	for i := range n {
		expect(t, s, fmt.Sprint(i))
	}
	if err := await(t, "Publish", blocked); err != nil {
		t.Error(err)
	}
	expect(t, s, "at last")
	if st := p.Stats(); st.Published != uint64(n)+1 || st.Refused == 0 {
		t.Errorf("statistics %+v", st)
	}
}

func TestFullFail(t *testing.T) {
	b := bustest.New(t)
	c := small
	c.WhenFull = bus.Fail
	p, s := pair(t, b, c, bus.SubscriberConfig{})
	n := fill(t, p)
	ctx := contextOf(t)
	if err := p.Publish(ctx, []byte("x")); !errors.Is(err, bus.ErrBackpressure) {
		t.Errorf("Publish into a full ring: %v", err)
	}
	if _, err := p.Claim(ctx, 1); !errors.Is(err, bus.ErrBackpressure) {
		t.Errorf("Claim in a full ring: %v", err)
	}
	for i := range 20 {
		expect(t, s, fmt.Sprint(i))
	}
	if _, err := s.Poll(func(bus.Message, bool) error { return nil }, 0); err != nil {
		t.Fatal(err)
	}
	batch := make([][]byte, 100)
	got, err := p.PublishBatch(ctx, batch)
	if !errors.Is(err, bus.ErrBackpressure) || got >= len(batch) {
		t.Errorf("PublishBatch: %d, %v", got, err)
	}
	for i := 20; i < n; i++ {
		expect(t, s, fmt.Sprint(i))
	}
	for range got {
		expect(t, s, "")
	}
}

func TestFullDropNewest(t *testing.T) {
	b := bustest.New(t)
	c := small
	c.WhenFull = bus.DropNewest
	p, s := pair(t, b, c, bus.SubscriberConfig{})
	n := fill(t, p)
	for range 10 {
		publish(t, p, "dropped")
	}
	batch := make([][]byte, 7)
	for i := range batch {
		batch[i] = make([]byte, 100)
	}
	got, err := p.PublishBatch(contextOf(t), batch)
	if got != 0 || err != nil {
		t.Errorf("PublishBatch into a full ring: %d, %v", got, err)
	}
	if st := p.Stats(); st.Dropped != 17 || st.Published != uint64(n) {
		t.Errorf("statistics %+v, want 17 dropped and %d published", st, n)
	}
	for i := range n {
		expect(t, s, fmt.Sprint(i))
	}
	if n, err := s.Poll(func(bus.Message, bool) error { return nil }, 9); n != 0 || err != nil {
		t.Errorf("behind the last: %d, %v", n, err)
	}
	publish(t, p, "goes on")
	if m := next(t, s); string(m.Payload) != "goes on" || m.Sequence != uint64(n) {
		t.Errorf("behind the drops: %+v", m)
	}
}

func TestMaxLag(t *testing.T) {
	b := bustest.New(t)
	p, s := pair(t, b, small, bus.SubscriberConfig{MaxLag: 10, Name: "slow"})
	keen := openSubscriber(t, b, "topic", bus.SubscriberConfig{Name: "keen"})
	publish(t, p, "0")
	view := next(t, s)
	for i := range 500 {
		publish(t, p, fmt.Sprint(i))
		next(t, keen)
	}
	_ = view
	for range 3 {
		if _, err := s.Next(contextOf(t)); !errors.Is(err, bus.ErrDetached) {
			t.Fatalf("Next of a laggard: %v, want ErrDetached", err)
		}
	}
	if _, err := s.Poll(func(bus.Message, bool) error { return nil }, 9); !errors.Is(err, bus.ErrDetached) {
		t.Errorf("Poll of a laggard: %v, want ErrDetached", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestClaims(t *testing.T) {
	b := bustest.New(t)
	p, s := pair(t, b, bus.PublisherConfig{}, bus.SubscriberConfig{})
	ctx := contextOf(t)
	claims := make([]bus.Claim, 5)
	for i := range claims {
		c, err := p.Claim(ctx, 1)
		if err != nil {
			t.Fatal(err)
		}
		if len(c.Bytes()) != 1 || c.Sequence() != uint64(i) {
			t.Fatalf("claim %d: %d bytes, sequence %d", i, len(c.Bytes()), c.Sequence())
		}
		claims[i] = c
	}
	publish(t, p, "behind")
	for _, i := range []int{4, 2, 0} {
		claims[i].Bytes()[0] = byte('0' + i)
		if err := claims[i].Commit(); err != nil {
			t.Fatal(err)
		}
		if err := claims[i].Commit(); !errors.Is(err, bus.ErrClosed) {
			t.Errorf("a second Commit: %v, want ErrClosed", err)
		}
	}
	expect(t, s, "0")
	if n, err := s.Poll(func(m bus.Message, _ bool) error { return fmt.Errorf("got %q", m.Payload) }, 9); n != 0 || err != nil {
		t.Errorf("an open claim was passed: %d, %v", n, err)
	}
	for _, i := range []int{3, 1} {
		if err := claims[i].Abort(); err != nil {
			t.Fatal(err)
		}
	}
	expect(t, s, "2")
	expect(t, s, "4")
	expect(t, s, "behind")
	if st := s.Stats(); st.Delivered != 4 || st.Aborted != 2 || st.Sequence != 6 {
		t.Errorf("statistics %+v", st)
	}
	if st := p.Stats(); st.Published != 4 || st.Aborted != 2 {
		t.Errorf("statistics %+v", st)
	}
}

func TestJoinErrors(t *testing.T) {
	b := bustest.New(t)
	ctx := contextOf(t)
	p := openPublisher(t, b, "topic", bus.PublisherConfig{Name: "first", Capacity: 64 << 10, Schema: 3})
	s := openSubscriber(t, b, "topic", bus.SubscriberConfig{Name: "first", Schema: 3})
	for _, c := range []struct {
		name string
		join func() error
		want error
	}{
		{"capacity differs", func() error {
			_, err := b.Publisher(ctx, "topic", bus.PublisherConfig{Capacity: 8 << 10})
			return err
		}, bus.ErrOptions},
		{"capacity is odd", func() error {
			_, err := b.Publisher(ctx, "other", bus.PublisherConfig{Capacity: 5000})
			return err
		}, bus.ErrOptions},
		{"policy unknown", func() error {
			_, err := b.Publisher(ctx, "topic", bus.PublisherConfig{WhenFull: 9})
			return err
		}, bus.ErrOptions},
		{"publisher's schema", func() error {
			_, err := b.Publisher(ctx, "topic", bus.PublisherConfig{Schema: 4})
			return err
		}, bus.ErrSchema},
		{"subscriber's schema", func() error {
			_, err := b.Subscriber(ctx, "topic", bus.SubscriberConfig{Schema: 4})
			return err
		}, bus.ErrSchema},
		{"publisher's name", func() error {
			_, err := b.Publisher(ctx, "topic", bus.PublisherConfig{Name: "first"})
			return err
		}, bus.ErrNameInUse},
		{"subscriber's name", func() error {
			_, err := b.Subscriber(ctx, "topic", bus.SubscriberConfig{Name: "first"})
			return err
		}, bus.ErrNameInUse},
		{"topic's name", func() error { _, err := b.Publisher(ctx, "../x", bus.PublisherConfig{}); return err }, bus.ErrBadName},
		{"no topic", func() error {
			_, err := b.Subscriber(ctx, "none", bus.SubscriberConfig{NoWait: true})
			return err
		}, bus.ErrNoTopic},
		{"no bus", func() error {
			_, err := bus.Open(ctx, bus.Config{Dir: b.Dir, Name: "none", NeverHost: true})
			return err
		}, bus.ErrNoBus},
	} {
		if err := c.join(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	if err := errors.Join(p.Close(), s.Close()); err != nil {
		t.Error(err)
	}
}
