package bus_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/shmbus/shmbus/bus"
	"github.com/shmbus/shmbus/bustest"
)

func TestShared(t *testing.T) {
	const goroutines, each = 8, 500
	b := bustest.New(t)
	p, s := pair(t, b, small, bus.SubscriberConfig{UntilDrained: true})
	shared := p.Shared()
	var work sync.WaitGroup
	for id := range goroutines {
		work.Go(func() {
			ctx := contextOf(t)
			for i := 0; i < each; i++ {
				var err error
				switch i % 4 {
				case 0:
					var c bus.Claim
					if c, err = shared.Claim(ctx, len(numbered(id, i))); err == nil {
						copy(c.Bytes(), numbered(id, i))
						err = c.Commit()
					}
				case 1:
					_, err = shared.PublishBatch(ctx, [][]byte{numbered(id, i)})
				case 2:
					if err = shared.TryPublish(numbered(id, i)); !errors.Is(err, bus.ErrBackpressure) && !errors.Is(err, bus.ErrStalled) {
						break
					}
					fallthrough
				default:
					err = shared.Publish(ctx, numbered(id, i))
				}
				if err != nil {
					t.Errorf("goroutine %d: %v", id, err)
					return
				}
			}
		})
	}
	closed := result(func() error { work.Wait(); return shared.Close() })
	o := newOrder(goroutines)
	for m, err := range s.Messages(contextOf(t)) {
		if err == nil {
			err = o.add(&m)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if o.count != goroutines*each {
		t.Errorf("%d messages, want %d", o.count, goroutines*each)
	}
	if err := await(t, "Close", closed); err != nil {
		t.Error(err)
	}
}

// TestSharedMakesWay: a Commit must not wait for a Publish that waits for the
// space that only this Commit can free; and others' contexts are honoured
// while somebody waits for space.
func TestSharedMakesWay(t *testing.T) {
	b := bustest.New(t)
	p, s := pair(t, b, small, bus.SubscriberConfig{})
	shared := p.Shared()
	ctx := contextOf(t)
	first, err := shared.Claim(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for ; shared.TryPublish(fmt.Append(nil, n)) == nil; n++ {
	}
	blocked := result(func() error { return shared.Publish(ctx, make([]byte, 100)) })
	own, cancel := context.WithCancel(ctx)
	second := result(func() error { return shared.Publish(own, make([]byte, 100)) })
	cancel()
	if err := await(t, "a cancelled Publish", second); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled Publish: %v", err)
	}
	if err := await(t, "TryPublish", result(func() error { return shared.TryPublish(make([]byte, 100)) })); !errors.Is(err, bus.ErrBackpressure) {
		t.Errorf("TryPublish while another waits: %v", err)
	}
	first.Bytes()[0] = 'c'
	if err := await(t, "Commit", result(first.Commit)); err != nil {
		t.Error(err)
	}
	expect(t, s, "c")
	for i := range n {
		expect(t, s, fmt.Sprint(i))
	}
	expect(t, s, string(make([]byte, 100)))
	if err := await(t, "Publish", blocked); err != nil {
		t.Error(err)
	}
}
