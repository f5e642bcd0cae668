package ring

import (
	"sync"
	"testing"

	"github.com/shmbus/shmbus/shm"
)

// newGuestRoom has a guest region, which guests can write as they like.
func newGuestRoom(t *testing.T) *room {
	o := Options{Capacity: MinCapacity, Publishers: 4, Subscribers: 4, ID: 0x5eed, Fenced: !shm.HaveMembarrier()}
	g, err := o.Geometry()
	if err != nil {
		t.Fatal(err)
	}
	return layOut(t, shm.AlignedBytes(int(g.LogSize())), shm.AlignedBytes(int(g.CursorSize())), shm.AlignedBytes(int(g.CursorSize())), o)
}

// TestGuestCannotKeepItsSlot: whatever a guest writes over its generation, the
// slot is free when the host takes it back, of this host and of the next.
func TestGuestCannotKeepItsSlot(t *testing.T) {
	for _, adopted := range []bool{false, true} {
		r := newGuestRoom(t)
		gen := r.generation()
		if _, err := r.host.AddSubscriber(t.Context(), SubscriberSpec{Slot: 0, Gen: gen, Mode: Lossy, Guest: true}); err != nil {
			t.Fatal(err)
		}
		r.ring.subscriber(0, true).generation.Store(77)
		host := r.host
		if adopted {
			host = r.ring.Host(r.ring.HostGeneration())
		}
		host.RemoveSubscriber(0, gen, true)
		if n := r.ring.Counts().Subscribers; n != 0 {
			t.Errorf("adopted %t: %d subscribers left", adopted, n)
		}
		if _, err := host.AddSubscriber(t.Context(), SubscriberSpec{Slot: 0, Gen: r.generation(), Mode: Lossy, Guest: true}); err != nil {
			t.Errorf("adopted %t: %v", adopted, err)
		}
	}
}

// TestGuestsCannotKeepOthersOut: a ring opens whatever guests wrote over the
// header of their region.
func TestGuestsCannotKeepOthersOut(t *testing.T) {
	r := newGuestRoom(t)
	clear(r.ring.guestBytes)
	if _, err := Open(r.ring.logBytes, r.ring.cursorBytes, r.ring.guestBytes); err != nil {
		t.Error(err)
	}
}

// TestNamesThatWereNeverGiven: what stands where a name should be is shown only
// if it could be one.
func TestNamesThatWereNeverGiven(t *testing.T) {
	r := newGuestRoom(t)
	if _, err := r.host.AddSubscriber(t.Context(), SubscriberSpec{Slot: 0, Gen: r.generation(), Name: "a-guest.7", Mode: Lossy, Guest: true}); err != nil {
		t.Fatal(err)
	}
	if got := r.ring.Subscribers()[0].Name; got != "a-guest.7" {
		t.Errorf("%q", got)
	}
	for _, bad := range []string{"\x1b]0;owned\a", "line\nline", "caf\xc3\xa9", "\x00"} {
		b := r.ring.subscriber(0, true)
		b.nameLen = uint32(copy(b.name[:], bad))
		if got := r.ring.Subscribers()[0].Name; got != "" {
			t.Errorf("%q is shown as %q", bad, got)
		}
	}
}

// TestScribbledGenerationDoesNotGate: a subscriber that wrote over its block's
// generation holds nobody back once it has left, whatever it did before.
func TestScribbledGenerationDoesNotGate(t *testing.T) {
	for _, leave := range []func(h *Host, gen uint32){
		func(h *Host, gen uint32) { h.RemoveSubscriber(0, gen, false) },
		func(h *Host, gen uint32) { h.Detach(0, gen) },
	} {
		for _, exclusive := range []bool{false, true} {
			o := Options{Capacity: MinCapacity}
			if exclusive {
				o.Exclusive, o.Publishers, o.Subscribers = true, 1, 4
			}
			r := newHeapRoom(t, o)
			p := r.local(0)
			gen := r.generation()
			if _, err := r.host.AddSubscriber(t.Context(), SubscriberSpec{Slot: 0, Gen: gen}); err != nil {
				t.Fatal(err)
			}
			r.ring.subscriber(0, false).generation.Store(gen + 1)
			leave(r.host, gen)
			for i := range 2 * MinCapacity / 100 {
				if _, err := p.TryPublish(make([]byte, 100), 0, 0); err != nil {
					t.Fatalf("exclusive %t: message %d: %v", exclusive, i, err)
				}
			}
		}
	}
}

// TestScribbledGenerationEndsExclusive: the ring ends when its publisher has
// gone, though that wrote over its block's generation.
func TestScribbledGenerationEndsExclusive(t *testing.T) {
	r := newHeapRoom(t, Options{Exclusive: true, Publishers: 1, Subscribers: 4})
	p := r.local(0)
	r.ring.publisher(0).generation.Store(p.generation + 1)
	if err := r.host.RemovePublisher(0, p.generation); err != nil {
		t.Fatal(err)
	}
	if !r.ring.Ended() {
		t.Error("it goes on")
	}
}

// TestRemoveTwiceAtOnce: of two who take a slot back at once, the second does
// nothing to whoever has got it in between.
func TestRemoveTwiceAtOnce(t *testing.T) {
	r := newHeapRoom(t, Options{})
	add := func(gen uint32) {
		if _, err := r.host.AddSubscriber(t.Context(), SubscriberSpec{Slot: 0, Gen: gen}); err != nil {
			t.Error(err)
		}
	}
	add(1)
	for gen := uint32(1); gen < 5000 && !t.Failed(); gen++ {
		var both sync.WaitGroup
		start := make(chan struct{})
		both.Go(func() {
			<-start
			r.host.RemoveSubscriber(0, gen, false)
		})
		both.Go(func() {
			<-start
			r.host.RemoveSubscriber(0, gen, false)
			add(gen + 1)
		})
		close(start)
		both.Wait()
		if r.ring.log.gates[0].Load()&1 == 0 || r.ring.log.subscriberSlots[0].Load()&1 == 0 || r.ring.gateOf(0) != gen+1 {
			t.Errorf("generation %d: gates %#x, slots %#x, gates by %d", gen+1, r.ring.log.gates[0].Load(), r.ring.log.subscriberSlots[0].Load(), r.ring.gateOf(0))
		}
	}
}

// TestDetachesWhatItRead: the publisher of an exclusive ring detaches the
// laggard that it found, not whoever has its slot by then.
func TestDetachesWhatItRead(t *testing.T) {
	r := newHeapRoom(t, Options{Capacity: MinCapacity, Exclusive: true, Publishers: 1, Subscribers: 4})
	p := r.local(0)
	gen := r.generation()
	if _, err := r.host.AddSubscriber(t.Context(), SubscriberSpec{Slot: 0, Gen: gen, MaxLag: 1}); err != nil {
		t.Fatal(err)
	}
	_, slot, mark := p.gatingCursor(false)
	r.host.RemoveSubscriber(0, gen, false)
	c := r.localConsumer(0, SubscriberSpec{MaxLag: 1})
	p.detach(slot, mark)
	if _, err := p.TryPublish([]byte("for the next"), 0, 0); err != nil {
		t.Fatal(err)
	}
	if rec, err := c.Next(); err != nil || string(rec.Payload) != "for the next" {
		t.Errorf("%q, %v", rec.Payload, err)
	}
}
