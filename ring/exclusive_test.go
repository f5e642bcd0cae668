package ring

import (
	"encoding/binary"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
)

func newExclusiveRoom(t *testing.T, capacity uint64) *room {
	return newHeapRoom(t, Options{Capacity: capacity, Exclusive: true, Publishers: 1, Subscribers: sitePublishers})
}

// read takes messages that are numbers, and wants them to follow n.
func readNumbers(t *testing.T, c *Consumer, n *uint64) int {
	t.Helper()
	count, err := c.Poll(func(m Record, _ bool) error {
		if got := binary.LittleEndian.Uint64(m.Payload); got != *n || m.Sequence != *n {
			t.Fatalf("message %d of sequence %d, want %d", got, m.Sequence, *n)
		}
		*n++
		return nil
	}, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return count
}

func TestExclusiveHoldsForReliable(t *testing.T) {
	for _, start := range []uint64{0, 1<<64 - 1536} {
		r := newHeapRoom(t, Options{Exclusive: true, Publishers: 1, Subscribers: 4, Start: start})
		first := r.localConsumer(0, SubscriberSpec{})
		p := r.local(0)
		var b [8]byte
		n, want := uint64(0), uint64(0)
		for range 5 {
			for {
				binary.LittleEndian.PutUint64(b[:], n)
				if _, err := p.TryPublish(b[:], 0, 0); err == ErrFull {
					break
				} else if err != nil {
					t.Fatal(err)
				}
				n++
			}
			if got := readNumbers(t, first, &want); got == 0 || want != n {
				t.Fatalf("%d read, up to %d of %d", got, want, n)
			}
		}
		if s := r.ring.Stat(); s.BiasSlot != 0 || s.LockSlot != -1 || p.r.log.mutex.Load() != 0 {
			t.Errorf("the lock was used: %+v", s)
		}
		if p.block.stats.revocations.Load()+p.block.stats.contended.Load()+r.host.e.block.stats.revocations.Load() != 0 {
			t.Error("somebody entered by the mutex")
		}
	}
}

// A subscriber that the publisher detaches, and one that the host does, find
// it out; the slot can be granted again.
func TestExclusiveDetach(t *testing.T) {
	r := newExclusiveRoom(t, MinCapacity)
	p := r.local(0)
	slow := r.localConsumer(0, SubscriberSpec{MaxLag: 3})
	other := r.localConsumer(1, SubscriberSpec{})
	payload := make([]byte, 8)
	for i := range uint64(400) {
		binary.LittleEndian.PutUint64(payload, i)
		if _, err := p.TryPublish(payload, 0, 0); err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
		n := i
		readNumbers(t, other, &n)
	}
	if _, err := slow.Next(); err != ErrDetached {
		t.Errorf("behind its limit: %v", err)
	}
	r.host.Detach(1, other.generation)
	if _, err := other.Next(); err != ErrDetached {
		t.Errorf("detached by the host: %v", err)
	}
	r.host.RemoveSubscriber(0, slow.generation, false)
	r.host.RemoveSubscriber(1, other.generation, false)
	if n := r.ring.Counts(); n.Subscribers != 0 || n.SubscribersEver != 2 || n.Publishers != 1 {
		t.Errorf("counts %+v", n)
	}
	again := r.localConsumer(0, SubscriberSpec{})
	n := uint64(400)
	binary.LittleEndian.PutUint64(payload, n)
	if _, err := p.TryPublish(payload, 0, 0); err != nil {
		t.Fatal(err)
	}
	if readNumbers(t, again, &n) != 1 {
		t.Error("the next subscriber of the slot gets nothing")
	}
}

// The publisher dies with claims open: nobody may write there, and readers step
// over them, deliver what was committed behind, and see the end.
func TestExclusiveDeathWithClaims(t *testing.T) {
	for _, mode := range []Mode{Reliable, Lossy} {
		r := newExclusiveRoom(t, MinCapacity)
		p := r.local(0)
		c := r.localConsumer(0, SubscriberSpec{Mode: mode})
		if _, err := p.TryClaim(100, 0, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := p.TryPublish([]byte("behind"), 0, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := p.TryClaim(50, 0, 0); err != nil {
			t.Fatal(err)
		}
		p.block.active.Store(p.generation) // died inside
		if _, err := c.Next(); err != ErrEmpty || c.Drained() {
			t.Fatalf("%v mode, before the death: %v, drained %t", mode, err, c.Drained())
		}
		for range 2 { // two hosts judge
			if err := r.host.RemovePublisher(0, p.generation); err != nil {
				t.Fatal(err)
			}
		}
		m, err := c.Next()
		if err != nil || string(m.Payload) != "behind" || m.Sequence != 1 {
			t.Fatalf("%v mode: got %q, %v", mode, m.Payload, err)
		}
		if _, err := c.Next(); err != ErrEmpty || !c.Drained() || c.Stats().Aborted != 2 {
			t.Errorf("%v mode, at the end: %v, drained %t, %d aborted", mode, err, c.Drained(), c.Stats().Aborted)
		}
		if s := r.ring.Stat(); s.LockSlot != -1 || len(r.ring.Publishers()) != 0 || !r.ring.Ended() {
			t.Errorf("%v mode: %+v, %+v", mode, s, r.ring.Publishers())
		}
		if err := c.Wait(t.Context(), nil); err != nil {
			t.Errorf("waiting for an end that is there: %v", err)
		}
	}
}

// A stranger in the bias word is corruption, not a wait for a mutex that the
// ring does not have.
func TestExclusiveHasNoSlowWay(t *testing.T) {
	r := newExclusiveRoom(t, MinCapacity)
	p := r.local(0)
	r.ring.log.bias.Store(0)
	if _, err := p.TryPublish([]byte("x"), 0, 0); !errors.Is(err, ErrCorrupt) {
		t.Errorf("got %v", err)
	}
}

// Subscribers come and go, without a lock, while the publisher runs at full
// speed: each reliable one sees every message from its start on, in order.
func TestExclusiveAttachUnderLoad(t *testing.T) {
	for _, fenced := range []bool{false, true} {
		r := newHeapRoom(t, Options{Capacity: MinCapacity, Exclusive: true, Publishers: 1, Subscribers: 4, Fenced: fenced})
		p := r.local(0)
		var stop atomic.Bool
		done := make(chan error, 1)
		go func() {
			var b [8]byte
			for n := uint64(0); !stop.Load(); { // sync(test.stop): pairs with the end of the test
				binary.LittleEndian.PutUint64(b[:], n)
				switch _, err := p.TryPublish(b[:], 0, 0); {
				case err == nil:
					n++
				case err != ErrFull:
					done <- err
					return
				default:
					runtime.Gosched()
				}
			}
			done <- nil
		}()
		rounds := 300
		if raceEnabled {
			rounds = 60
		}
		for i := range rounds {
			kinds := []Start{{Kind: StartLatest}, {Kind: StartEarliest}, {Kind: StartSequence, Sequence: 1}}
			c := r.localConsumer(i%4, SubscriberSpec{Start: kinds[i%3]})
			n, got := c.Position().Sequence, 0
			for got < 200 {
				if some := readNumbers(t, c, &n); some == 0 {
					runtime.Gosched()
				} else {
					got += some
				}
			}
			r.host.RemoveSubscriber(i%4, c.generation, false)
		}
		stop.Store(true) // sync(test.stop): pairs with the publisher's look
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
}
