package ring

import (
	"testing"
)

// TestNoAllocations: nothing on the way of a message allocates.
func TestNoAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for _, fenced := range []bool{false, true} {
		r := newHeapRoom(t, Options{Capacity: 64 << 10, Fenced: fenced})
		p, reliable, lossy := r.local(0), r.localConsumer(0, SubscriberSpec{}), r.localConsumer(1, SubscriberSpec{Mode: Lossy})
		payload, ctx := make([]byte, 100), t.Context()
		batch := [][]byte{payload, payload, payload}
		ok := func(err error) {
			if err != nil {
				t.Fatal(err)
			}
		}
		drain := func() {
			for _, c := range []*Consumer{reliable, lossy} {
				for _, err := c.Next(); err != ErrEmpty; _, err = c.Next() {
					ok(err)
				}
			}
		}
		seen := 0
		take := func(m Record, last bool) error {
			seen += len(m.Payload)
			return nil
		}
		for name, run := range map[string]func(){
			"TryPublish":   func() { _, err := p.TryPublish(payload, 1, 2); ok(err) },
			"Publish":      func() { _, err := p.Publish(ctx, payload, 1, 2); ok(err) },
			"PublishBatch": func() { _, err := p.PublishBatch(ctx, batch, 1, 2, true); ok(err) },
			"Claim and Commit": func() {
				c, err := p.Claim(ctx, 100, 1, 2)
				ok(err)
				copy(c.Bytes(), payload)
				ok(c.Commit())
			},
			"TryClaim and Abort": func() {
				c, err := p.TryClaim(100, 1, 2)
				ok(err)
				ok(c.Abort())
			},
			"Poll": func() {
				_, err := p.TryPublish(payload, 1, 2)
				ok(err)
				_, err = reliable.Poll(take, 10)
				ok(err)
				_, err = lossy.Poll(take, 10)
				ok(err)
			},
			"Flush and Release": func() { p.Flush(); reliable.Release(); lossy.Release() },
			"Stat":              func() { _ = r.ring.Stat(); _ = r.ring.Counts() },
		} {
			drain() // also makes the lossy one's buffer
			if n := testing.AllocsPerRun(200, func() { run(); drain() }); n != 0 {
				t.Errorf("fenced %t: %s: %v allocations", fenced, name, n)
			}
		}
	}
}
