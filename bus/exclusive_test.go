package bus_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/shmbus/shmbus/bus"
	"github.com/shmbus/shmbus/bustest"
)

// TestExclusive: one publisher for life, through claims, batches and a full
// ring; behind its last message the topic has ended.
func TestExclusive(t *testing.T) {
	b := bustest.New(t)
	p := openPublisher(t, b, "topic", bus.PublisherConfig{Capacity: 4 << 10, Exclusive: true, WhenFull: bus.Fail})
	s := openSubscriber(t, b, "topic", bus.SubscriberConfig{})
	drains := openSubscriber(t, b, "topic", bus.SubscriberConfig{UntilDrained: true})
	for _, c := range []bus.PublisherConfig{{}, {Exclusive: true}} {
		if _, err := b.Publisher(contextOf(t), "topic", c); !errors.Is(err, bus.ErrExclusive) {
			t.Errorf("a second publisher: %v", err)
		}
	}
	claim, err := p.Claim(contextOf(t), 2)
	if err != nil {
		t.Fatal(err)
	}
	copy(claim.Bytes(), "m0")
	if err := claim.Commit(); err != nil {
		t.Fatal(err)
	}
	n := 1
	for round := range 3 {
		for {
			err := p.Publish(contextOf(t), []byte(fmt.Sprint("m", n)))
			if errors.Is(err, bus.ErrBackpressure) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		if round == 2 {
			break
		}
		for _, x := range []*bus.Subscriber{s, drains} {
			for seq := x.Stats().Sequence; seq < uint64(n); seq++ {
				expect(t, x, fmt.Sprint("m", seq))
			}
			if k, err := x.Poll(func(bus.Message, bool) error { return nil }, 1); k != 0 || err != nil {
				t.Fatalf("before the end: %d, %v", k, err)
			}
		}
	}
	ended := result(func() error {
		for {
			if _, err := s.Next(contextOf(t)); err != nil {
				return err
			}
		}
	})
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if err := await(t, "Next behind the end", ended); err != bus.ErrPublisherGone {
		t.Errorf("at the end: %v", err)
	}
	if got := s.Stats().Sequence; got != uint64(n) {
		t.Errorf("the end came at %d, %d were published", got, n)
	}
	for {
		if _, err := drains.Next(contextOf(t)); err != nil {
			if err != io.EOF {
				t.Errorf("with UntilDrained: %v", err)
			}
			break
		}
	}
	if _, err := s.Poll(func(bus.Message, bool) error { return nil }, 1); err != bus.ErrPublisherGone {
		t.Errorf("Poll at the end: %v", err)
	}
}
