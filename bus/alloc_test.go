package bus_test

import (
	"fmt"
	"testing"

	"github.com/shmbus/shmbus/bus"
	"github.com/shmbus/shmbus/bustest"
)

// TestNoAllocation: the calls that move messages allocate nothing.
func TestNoAllocation(t *testing.T) {
	b := bustest.New(t)
	ctx := contextOf(t)
	payload := make([]byte, 64)
	batch := [][]byte{payload, payload, payload}
	for name, mode := range map[string]bus.Mode{"reliable": bus.Reliable, "lossy": bus.Lossy} {
		p := openPublisher(t, b, name, bus.PublisherConfig{})
		s := openSubscriber(t, b, name, bus.SubscriberConfig{Mode: mode})
		shared := p.Shared()
		read := func(n int) {
			for range n {
				if _, err := s.Next(ctx); err != nil {
					t.Fatal(err)
				}
			}
		}
		poll := func(m bus.Message, last bool) error { return nil }
		check := func(what string, err error) {
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
		}
		for what, step := range map[string]func(){
			"Publish, Next":    func() { check("Publish", p.Publish(ctx, payload)); read(1) },
			"TryPublish, Next": func() { check("TryPublish", p.TryPublish(payload)); read(1) },
			"Shared, Next":     func() { check("Shared", shared.Publish(ctx, payload)); read(1) },
			"PublishBatch, Next": func() {
				_, err := p.PublishBatch(ctx, batch)
				check("PublishBatch", err)
				read(3)
			},
			"Claim, Commit, Next": func() {
				c, err := p.Claim(ctx, 64)
				check("Claim", err)
				if n := c.CopyIn(payload); n != len(payload) {
					check("CopyIn", fmt.Errorf("%d bytes, want %d", n, len(payload)))
				}
				check("Commit", c.Commit())
				read(1)
			},
			"Claim, Abort": func() {
				c, err := p.Claim(ctx, 64)
				check("Claim", err)
				check("Abort", c.Abort())
			},
			"Publish, Poll": func() {
				check("Publish", p.Publish(ctx, payload))
				n, err := s.Poll(poll, 10)
				check("Poll", err)
				if n != 1 {
					t.Fatalf("polled %d", n)
				}
			},
		} {
			step() // a lossy subscriber's buffer grows once
			if n := testing.AllocsPerRun(500, step); n != 0 {
				t.Errorf("%s, %s: %v allocations", name, what, n)
			}
		}
	}
}

func BenchmarkPublishNext(b *testing.B) {
	for _, n := range []int{64, 1024} {
		b.Run("size="+map[int]string{64: "64", 1024: "1024"}[n], func(b *testing.B) {
			h := bustest.New(b)
			p, s := pair(b, h, bus.PublisherConfig{}, bus.SubscriberConfig{})
			ctx := b.Context()
			payload := make([]byte, n)
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				if err := p.Publish(ctx, payload); err != nil {
					b.Fatal(err)
				}
				if _, err := s.Next(ctx); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
