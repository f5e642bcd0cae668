package ring

import (
	"bytes"
	"context"
	"math/rand/v2"
	"testing"

	"github.com/shmbus/shmbus/shm"
)

// TestShortRoad: the road of short messages leaves behind, byte for byte, what
// the long ones leave. Two rings are given the same, one by each, and read now
// and then.
func TestShortRoad(t *testing.T) {
	if !haveShortRoad {
		t.Log("there is none here: the road written in Go is compared with itself")
	}
	ctx := context.Background()
	for _, o := range []Options{{Capacity: 8 << 10}, {Capacity: 64 << 10}, {Capacity: 8 << 10, Fenced: true}} {
		random := rand.New(rand.NewPCG(1, o.Capacity))
		a, b := newHeapRoom(t, o), newHeapRoom(t, o)
		p, q := a.local(1), b.local(1)
		q.short = shortRoad{} // nothing is short
		c, d := a.localConsumer(0, SubscriberSpec{}), b.localConsumer(0, SubscriberSpec{})
		takeBias(t, p)
		takeBias(t, q)
		for round := range shortRounds() {
			batch := make([][]byte, 1+random.IntN(8))
			for i := range batch {
				batch[i] = make([]byte, random.IntN(shortMost+shortMost/4))
				for j := range batch[i] {
					batch[i][j] = byte(random.Uint32())
				}
			}
			kind, now := random.Uint32(), int64(random.Uint64()>>1)
			one := random.IntN(2) == 0
			for _, to := range []*Producer{p, q} {
				var err error
				if one {
					_, err = to.Publish(ctx, batch[0], kind, now)
				} else {
					_, err = to.PublishBatch(ctx, batch, kind, now, true)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if p.tail != q.tail || p.sequence != q.sequence || p.soft != q.soft {
				t.Fatalf("round %d: at %d, %d; want %d, %d", round, p.tail, p.sequence, q.tail, q.sequence)
			}
			if round%2 == 0 {
				compareReading(t, c, d)
				compareRings(t, a.ring, b.ring)
			}
		}
	}
}

// shortRounds are fewer where there is no short road to compare.
func shortRounds() int {
	if haveShortRoad {
		return 10_000
	}
	return 500
}

// compareReading reads everything from both.
func compareReading(t *testing.T, c, d *Consumer) {
	t.Helper()
	for {
		m, err := c.Next()
		n, want := d.Next()
		if err != want {
			t.Fatalf("%v, want %v", err, want)
		}
		if err != nil {
			return
		}
		if !bytes.Equal(m.Payload, n.Payload) || m.Sequence != n.Sequence || m.Time != n.Time || m.Kind != n.Kind || m.Publisher != n.Publisher {
			t.Fatalf("%+v, want %+v", m, n)
		}
	}
}

// compareRings compares all words of two rings, but those of the cursor region
// that say who reads how: latencies are not the same twice.
func compareRings(t *testing.T, a, b *Ring) {
	t.Helper()
	const from = 0x100 // before it is what the host gave each ring
	if i := difference(a.logBytes[from:], b.logBytes[from:]); i >= 0 {
		t.Fatalf("the log regions differ at %#x: %#x, want %#x", from+i, a.logBytes[from+i], b.logBytes[from+i])
	}
	if x, y := a.publisher(1).stats.published.Load(), b.publisher(1).stats.published.Load(); x != y || x == 0 {
		t.Fatalf("published %d, want %d", x, y)
	}
}

func difference(a, b []byte) int {
	if bytes.Equal(a, b) {
		return -1
	}
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return len(a)
}

// TestShortRoadRefuses: what is odd takes the long way, and nothing is left of
// the attempt.
func TestShortRoadRefuses(t *testing.T) {
	if !haveShortRoad {
		t.Skip("there is none here")
	}
	room := newHeapRoom(t, Options{Capacity: 1 << 20})
	p, q := room.local(0), room.local(1)
	if room.ring.options.Fenced {
		t.Skip("it has no fences")
	}
	published := func(payload []byte) bool { return publishShort(p, payload, 0, 0) != shortRefused }
	refused := func(why string, payload []byte) {
		t.Helper()
		before := bytes.Clone(room.ring.logBytes)
		if published(payload) {
			t.Errorf("%s: taken", why)
		}
		if i := difference(room.ring.logBytes, before); i >= 0 {
			t.Errorf("%s: changed the log at %#x", why, i)
		}
	}
	refused("not biased to anybody", make([]byte, 64))
	takeBias(t, p)
	mustPublish(t, p, 0) // now nothing is due for 1/64 of the ring
	for n := shortLeast; n <= shortMost; n++ {
		if before(p.soft, p.tail+2*extentOf(shortMost)) {
			mustPublish(t, p, 0)
		}
		if !published(make([]byte, n)) {
			p.soft = p.tail // the block has ended
			mustPublish(t, p, 0)
			if !published(make([]byte, n)) {
				t.Fatalf("%d bytes are not taken", n)
			}
		}
	}
	refused("too short", make([]byte, shortLeast-1))
	refused("nothing", nil)
	refused("too long", make([]byte, shortMost+1))
	soft := p.soft
	p.soft = p.tail + extentOf(64) + recordHeader - recordAlign
	refused("something is due", make([]byte, 64))
	p.soft = soft
	counts := p.short.counts
	p.short.counts = false
	if publishShort(p, make([]byte, 64), 0, StampNow) != shortRefused {
		t.Error("stamped by a counter that the ring does not use")
	}
	p.short.counts = counts
	takeBias(t, q)
	refused("biased to another", make([]byte, 64))
}

// TestStampNow: the ring's clock is read between the call and its return.
func TestStampNow(t *testing.T) {
	for _, counter := range []bool{false, true} {
		room := newHeapRoom(t, Options{Capacity: 1 << 20, Counter: counter && shm.TSCUsable()})
		p, c := room.local(0), room.localConsumer(0, SubscriberSpec{})
		takeBias(t, p)
		clock := room.ring.Clock()
		for n := range 300 {
			before := clock.Now()
			if _, err := p.Publish(context.Background(), make([]byte, n), 0, StampNow); err != nil {
				t.Fatal(err)
			}
			m, err := c.Next()
			if after := clock.Now(); err != nil || m.Time < before || m.Time > after {
				t.Fatalf("counter %t, %d bytes: stamp %d, want %d to %d: %v", counter, n, m.Time, before, after, err)
			}
		}
	}
}
