package ring

import (
	"context"
	"testing"
	"time"
)

// TestContextsThatPanic: who recovers from the panic of a context, or from
// having given none, holds nothing: others publish.
func TestContextsThatPanic(t *testing.T) {
	payload := make([]byte, 100)
	for name, call := range map[string]func(ctx context.Context, p *Producer) error{
		"Publish": func(ctx context.Context, p *Producer) error { _, err := p.Publish(ctx, payload, 0, 0); return err },
		"PublishBatch": func(ctx context.Context, p *Producer) error {
			_, err := p.PublishBatch(ctx, [][]byte{payload}, 0, 0, true)
			return err
		},
		"Claim": func(ctx context.Context, p *Producer) error { _, err := p.Claim(ctx, 100, 0, 0); return err },
	} {
		for want, ctx := range map[string]context.Context{
			"ring: nil Context":   nil,
			"this context panics": hookContext{t.Context(), func() error { panic("this context panics") }},
		} {
			room := newHeapRoom(t, Options{})
			owner, p, other := room.local(0), room.local(1), room.local(2)
			takeBias(t, owner)
			if !owner.enterBiased() {
				t.Fatal("the owner of the bias does not get in")
			}
			func() { // waits for the owner until it looks at its context
				defer func() {
					if v := recover(); v != want {
						t.Errorf("%s: panic %v, want %q", name, v, want)
					}
				}()
				t.Errorf("%s: returned %v, want a panic", name, call(ctx, p))
			}()
			owner.leave()
			if m := room.ring.log.mutex.Load(); m != 0 {
				t.Errorf("%s, %s: the mutex is %#x, want 0", name, want, m)
			}
			if _, err := other.TryPublish(payload, 0, 0); err != nil {
				t.Errorf("%s, %s: another: %v", name, want, err)
			}
		}
	}
}

// TestPatienceEndsWithTheDeadline: who waits for the lock sleeps no longer than
// its context lasts, and does not spin when that is about to end.
func TestPatienceEndsWithTheDeadline(t *testing.T) {
	e := newHeapRoom(t, Options{}).local(0)
	if d := e.patience(t.Context()); d != maxFutexWait {
		t.Errorf("without a deadline: %v, want %v", d, maxFutexWait)
	}
	for _, left := range []time.Duration{-time.Hour, 0, maxFutexWait / 5, time.Hour} {
		ctx, cancel := context.WithTimeout(context.Background(), left)
		if d := e.patience(ctx); d < minPatience || d > max(left, minPatience) || d > maxFutexWait {
			t.Errorf("%v before the deadline: %v, want %v at least, and %v at most", left, d, minPatience, min(max(left, minPatience), maxFutexWait))
		}
		cancel()
	}
}
