package bus_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/shmbus/shmbus/bus"
	"github.com/shmbus/shmbus/bustest"
)

// calls are all that take a context, of a publisher and a subscriber.
var calls = map[string]func(context.Context, *bus.Publisher, *bus.Subscriber) error{
	"Publish": func(ctx context.Context, p *bus.Publisher, _ *bus.Subscriber) error { return p.Publish(ctx, nil) },
	"Publish, long": func(ctx context.Context, p *bus.Publisher, _ *bus.Subscriber) error {
		return p.Publish(ctx, make([]byte, 500))
	},
	"WaitSubscribers": func(ctx context.Context, p *bus.Publisher, _ *bus.Subscriber) error {
		return p.WaitSubscribers(ctx, 99)
	},
	"PublishBatch": func(ctx context.Context, p *bus.Publisher, _ *bus.Subscriber) error {
		_, err := p.PublishBatch(ctx, [][]byte{nil})
		return err
	},
	"Claim": func(ctx context.Context, p *bus.Publisher, _ *bus.Subscriber) error {
		_, err := p.Claim(ctx, 1)
		return err
	},
	"Next": func(ctx context.Context, _ *bus.Publisher, s *bus.Subscriber) error {
		_, err := s.Next(ctx)
		return err
	},
	"Wait": func(ctx context.Context, _ *bus.Publisher, s *bus.Subscriber) error { return s.Wait(ctx) },
	"shared Publish": func(ctx context.Context, p *bus.Publisher, _ *bus.Subscriber) error {
		return p.Shared().Publish(ctx, nil)
	},
	"shared PublishBatch": func(ctx context.Context, p *bus.Publisher, _ *bus.Subscriber) error {
		_, err := p.Shared().PublishBatch(ctx, [][]byte{nil})
		return err
	},
}

type panicContext struct{ context.Context }

func (panicContext) Err() error { panic("this context panics") }

// TestContextsThatPanic: no context at all, and one that panics, panic in the
// caller's face and leave nothing behind: the handle is not taken for in use,
// the turn is passed on, and Close does not wait.
func TestContextsThatPanic(t *testing.T) {
	for name, call := range calls {
		for want, ctx := range map[string]context.Context{
			"bus: nil Context":    nil,
			"this context panics": panicContext{context.Background()},
		} {
			if ctx != nil && name == "shared PublishBatch" {
				continue // it is given a context derived from this one, which does not panic
			}
			t.Run(name+"/"+want, func(t *testing.T) {
				b := bustest.New(t)
				p, s := pair(t, b, bus.PublisherConfig{}, bus.SubscriberConfig{})
				for range 2 {
					if text := panicOf(func() { _ = call(ctx, p, s) }); !strings.Contains(text, want) {
						t.Errorf("panic %q, want one that says %q", text, want)
					}
					if ctx != nil {
						break // it is looked at now and then only
					}
				}
				if p.Inside() || s.Inside() { // for ever, and so the test: Close waits for it
					fmt.Fprintf(os.Stderr, "%s: a call is taken for inside: publisher %t, subscriber %t\n", t.Name(), p.Inside(), s.Inside())
					os.Exit(1)
				}
				publish(t, p, "still usable")
				expect(t, s, "still usable")
				if err := await(t, "Close", result(b.Close)); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// TestSharedLooksAtItsContext each time, before it publishes anything.
func TestSharedLooksAtItsContext(t *testing.T) {
	for _, full := range []bus.WhenFull{bus.Block, bus.Fail, bus.DropNewest} {
		b := bustest.New(t)
		p := openPublisher(t, b, "topic", bus.PublisherConfig{WhenFull: full})
		shared := p.Shared()
		if err := shared.Publish(contextOf(t), nil); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(contextOf(t))
		cancel()
		for range 3 {
			if err := shared.Publish(ctx, nil); !errors.Is(err, context.Canceled) {
				t.Errorf("WhenFull %d: Publish with a context that has ended: %v", full, err)
			}
		}
		if n := shared.Stats().Published; n != 1 {
			t.Errorf("WhenFull %d: %d messages published, want 1", full, n)
		}
	}
}

// TestSharedTurnEndsWithContext: who waits for its turn waits until its context
// ends, though whoever has the turn does not make way.
func TestSharedTurnEndsWithContext(t *testing.T) {
	b := bustest.New(t)
	p := openPublisher(t, b, "topic", bus.PublisherConfig{})
	shared := p.Shared()
	release := shared.HoldTurn()
	ctx, cancel := context.WithCancel(contextOf(t))
	done := result(func() error { return shared.Publish(ctx, nil) })
	bustest.Until(t, "Publish to wait for its turn", func() bool { return shared.Urgent() == 1 })
	cancel()
	if err := await(t, "Publish", done); !errors.Is(err, context.Canceled) {
		t.Fatalf("Publish without a turn: %v", err)
	}
	if n := shared.Urgent(); n != 0 {
		t.Errorf("%d calls wait for a turn, want 0", n)
	}
	release()
	if err := shared.Publish(contextOf(t), nil); err != nil {
		t.Error(err)
	}
}
