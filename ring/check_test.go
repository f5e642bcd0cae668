package ring

import (
	"errors"
	"testing"

	"github.com/shmbus/shmbus/shm"
)

// TestCheckFinds: what a stray or hostile write leaves is found, and nothing
// is found in a ring that is sound.
func TestCheckFinds(t *testing.T) {
	const foreign = 5<<8 | 3 // generation 5 in slot 2, which is not granted
	for name, spoil := range map[string]func(r *Ring){
		"magic":            func(r *Ring) { r.log.magic.Store(0) },
		"capacity":         func(r *Ring) { shm.Overlay[shm.Word64](r.logBytes, 0x10).Store(8192) },
		"cursor magic":     func(r *Ring) { r.cursors.magic.Store(1) },
		"mutex of nobody":  func(r *Ring) { r.log.mutex.Store(foreign) },
		"mutex of no slot": func(r *Ring) { r.log.mutex.Store(200) },
		"mutex bits":       func(r *Ring) { r.log.mutex.Store(1 << 30) },
		"bias of nobody":   func(r *Ring) { r.log.bias.Store(biasOwned | foreign) },
		"bias bits":        func(r *Ring) { r.log.bias.Store(1 << 40) },
		"tail":             func(r *Ring) { r.log.tail.Store(r.log.tail.Load() + 1) },
		"tail far on":      func(r *Ring) { r.log.tail.Store(1 << 50) },
		"claimed back":     func(r *Ring) { r.log.claimed.Store(0) },
		"claimed far on":   func(r *Ring) { r.log.claimed.Store(1 << 50) },
		"pending":          func(r *Ring) { r.log.pending.Store(1 << 50) },
		"hole":             func(r *Ring) { r.at(0).commit.Store(0) },
		"state":            func(r *Ring) { r.at(0).commit.Store(uint64(packCommit(9, 0, 8))) },
		"length":           func(r *Ring) { r.at(0).commit.Store(uint64(packCommit(stateCommitted, 0, MinCapacity))) },
		"tag":              func(r *Ring) { r.at(0).commit.Store(uint64(packCommit(stateCommitted, 32, 8))) },
		"sequence":         func(r *Ring) { r.at(64).sequence.Store(99) },
		"beyond the end":   func(r *Ring) { r.at(r.Stat().Position).commit.Store(uint64(packCommit(stateCommitted, 0, 8))) },
		"condemned":        func(r *Ring) { r.log.mutex.Store(condemned) },
	} {
		t.Run(name, func(t *testing.T) {
			room := newHeapRoom(t, Options{Fenced: true})
			p := room.local(0)
			room.localConsumer(0, SubscriberSpec{})
			for i := range 10 {
				if _, err := p.TryPublish(numbered(i, 8), 0, 0); err != nil {
					t.Fatal(err)
				}
			}
			if err := room.ring.Check(1000); err != nil {
				t.Fatalf("a sound ring: %v", err)
			}
			spoil(room.ring)
			if err := room.ring.Check(1000); !errors.Is(err, ErrCorrupt) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestCheckFindsHoleInFullRing: a reader that finds zeroes waits for a record,
// the publisher waits for the reader, and only a check can tell them.
func TestCheckFindsHoleInFullRing(t *testing.T) {
	room := newHeapRoom(t, Options{Capacity: 64 << 10, Fenced: true})
	p := room.local(0)
	c := room.localConsumer(0, SubscriberSpec{})
	const before = 3 // so that the cursor is in the middle of what is claimed at once
	for i := range before {
		mustPublish(t, p, int64(i))
	}
	drain(t, c, before)
	for err := error(nil); err == nil; {
		if _, err = p.TryPublish(make([]byte, 8), 0, 0); err != nil && err != ErrFull {
			t.Fatal(err)
		}
	}
	if ahead := room.ring.log.claimed.Load() - c.position; ahead <= 64<<10 {
		t.Fatalf("%d bytes are claimed from the cursor on; the test needs more than the ring", ahead)
	}
	if err := room.ring.Check(1000); err != nil {
		t.Fatalf("a sound ring: %v", err)
	}
	room.ring.at(c.position).commit.Store(0)
	if err := room.ring.Check(1000); !errors.Is(err, ErrCorrupt) {
		t.Errorf("got %v", err)
	}
}

// TestCondemned: in a ring that is given up nobody waits for ever, and what is
// whole is still read.
func TestCondemned(t *testing.T) {
	for _, wait := range []WaitStrategy{Adaptive, Spin, Park} {
		room := newHeapRoom(t, Options{Fenced: true})
		p, c := room.local(0), room.localConsumer(0, SubscriberSpec{})
		c.options.Wait = wait
		if _, err := p.TryPublish([]byte("whole"), 0, 0); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := soon(t.Context())
		defer cancel()
		got := make(chan error, 1)
		reading := make(chan struct{})
		go func() {
			for n := 0; ; n++ {
				if n == 1 {
					close(reading)
				}
				_, err := c.Next()
				if err == ErrEmpty {
					err = c.Wait(ctx, nil)
				}
				if err != nil {
					got <- err
					return
				}
			}
		}()
		<-reading
		room.host.Condemn()
		if err := <-got; !errors.Is(err, ErrCorrupt) || c.Stats().Delivered != 1 {
			t.Errorf("%v: the consumer got %v after %d messages", wait, err, c.Stats().Delivered)
		}
		if _, err := p.Publish(ctx, []byte("more"), 0, 0); !errors.Is(err, errCondemned) {
			t.Errorf("publish: %v, want that the host has condemned the ring", err)
		}
	}
}
