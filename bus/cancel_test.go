package bus_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/shmbus/shmbus/bus"
	"github.com/shmbus/shmbus/bustest"
)

func TestCancel(t *testing.T) {
	b := bustest.New(t)
	p, s := pair(t, b, small, bus.SubscriberConfig{})
	for name, call := range map[string]func(context.Context) error{
		"Next":            func(ctx context.Context) error { _, err := s.Next(ctx); return err },
		"WaitSubscribers": func(ctx context.Context) error { return p.WaitSubscribers(ctx, 99) },
		"Subscriber": func(ctx context.Context) error {
			_, err := b.Subscriber(ctx, "never", bus.SubscriberConfig{})
			return err
		},
	} {
		ctx, cancel := context.WithCancel(contextOf(t))
		done := result(func() error { return call(ctx) })
		cancel()
		if err := await(t, name, done); !errors.Is(err, context.Canceled) {
			t.Errorf("%s cancelled: %v", name, err)
		}
		ctx, cancel = context.WithTimeout(contextOf(t), time.Millisecond)
		if err := call(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s past its deadline: %v", name, err)
		}
		cancel()
	}
	publish(t, p, "unhurt")
	expect(t, s, "unhurt")
}

// TestCancelBusy: who never runs out of messages, or of space, stops too.
func TestCancelBusy(t *testing.T) {
	b := bustest.New(t)
	p, s := pair(t, b, bus.PublisherConfig{}, bus.SubscriberConfig{})
	for range 500 {
		publish(t, p, "x")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for n := 0; ; n++ {
		if err := p.Publish(ctx, nil); errors.Is(err, context.Canceled) {
			break
		}
		if n > 64 {
			t.Fatal("Publish does not look at its context")
		}
	}
	for n := 0; ; n++ {
		if _, err := s.Next(ctx); errors.Is(err, context.Canceled) {
			break
		}
		if n > 64 {
			t.Fatal("Next does not look at its context")
		}
	}
}

// TestWaitForTopic: subscribers may come before the topic.
func TestWaitForTopic(t *testing.T) {
	b := bustest.New(t)
	subs := make(chan *bus.Subscriber)
	for range 3 {
		go func() {
			s, err := b.Subscriber(contextOf(t), "topic", bus.SubscriberConfig{})
			if err != nil {
				t.Error(err)
			}
			subs <- s
		}()
	}
	p := openPublisher(t, b, "topic", bus.PublisherConfig{})
	if err := p.WaitSubscribers(contextOf(t), 3); err != nil {
		t.Fatal(err)
	}
	publish(t, p, "first")
	for range 3 {
		s := <-subs
		if m := next(t, s); m.Sequence != 0 || string(m.Payload) != "first" {
			t.Errorf("the first message is %+v", m)
		}
	}
}
