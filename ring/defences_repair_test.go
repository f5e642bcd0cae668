package ring

import (
	"errors"
	"testing"
	"time"

	"github.com/shmbus/shmbus/shm"
)

// TestRepairFreesTheLock: whatever the dead held, sleepers or not.
func TestRepairFreesTheLock(t *testing.T) {
	for _, waiters := range []uint32{0, lockWaiters} {
		room := newHeapRoom(t, Options{})
		p := room.local(0)
		p.block.active.Store(p.generation)
		room.ring.log.mutex.Store(p.identity | waiters)
		if err := room.host.RemovePublisher(0, p.generation); err != nil {
			t.Fatal(err)
		}
		if a, m := p.block.active.Load(), room.ring.log.mutex.Load(); a != 0 || m != 0 {
			t.Errorf("sleepers %#x: behind the dead active is %d and the mutex %#x", waiters, a, m)
		}
	}
}

// TestNewHostFreesTheLock of the host before.
func TestNewHostFreesTheLock(t *testing.T) {
	room := newHeapRoom(t, Options{})
	if err := room.host.e.lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	next := room.ring.Host(room.ring.HostGeneration())
	if _, err := next.TakeOver(); err != nil {
		t.Fatal(err)
	}
	if m := room.ring.log.mutex.Load(); m != 0 {
		t.Errorf("the mutex is %#x", m)
	}
}

// TestRepairWakes: also of one that held nothing: it may have been woken in
// place of another, or have died before its wake.
func TestRepairWakes(t *testing.T) {
	room := newHeapRoom(t, Options{})
	p := room.local(0)
	log, cursors := room.ring.log, room.ring.cursors
	bells := []*shm.Word32{&log.doorbell, &log.pendingDoorbell, &cursors.spaceDoorbell}
	before := [3]uint32{bells[0].Load(), bells[1].Load(), bells[2].Load()}
	if err := room.host.RemovePublisher(0, p.generation); err != nil {
		t.Fatal(err)
	}
	for i, b := range bells {
		if b.Load() == before[i] {
			t.Errorf("doorbell %d is as it was", i)
		}
	}
}

// TestSlotStaysWithItsClaims: claims carry the slot alone, so as long as some
// may be left nobody else gets it.
func TestSlotStaysWithItsClaims(t *testing.T) {
	room := newHeapRoom(t, Options{})
	dead := room.local(0)
	claim, err := dead.TryClaim(10, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	claim.rec.commit.Store(^uint64(0))
	if err := room.host.RemovePublisher(0, dead.generation); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("repair: %v, want %v", err, ErrCorrupt)
	}
	if room.ring.log.publisherSlots.Load()&1 == 0 {
		t.Error("the slot is free, though its claims could not be aborted")
	}
}

// TestRepairKeepsUp: publishers go on while a repair walks. Where it stands may
// be overwritten, by a record of the next lap or a zeroed header; then it goes
// on where claims may begin now.
func TestRepairKeepsUp(t *testing.T) {
	room := newHeapRoom(t, Options{})
	dead, alive := room.local(0), room.local(1)
	from := room.ring.log.pending.Load()
	for before(room.ring.log.pending.Load(), MinCapacity) {
		if _, err := alive.TryPublish(make([]byte, 40), 0, 0); err != nil {
			t.Fatal(err)
		}
		// A claim, so that pending is walked record by record.
		claim, err := alive.TryClaim(8, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := claim.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	orphan, err := dead.TryClaim(10, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{"another record", "a zeroed header"} {
		if what == "a zeroed header" {
			room.ring.at(from).commit.Store(0)
			orphan.rec.commit.Store(uint64(orphan.busy))
		}
		if n, err := room.ring.abortBetween(0, from, room.ring.log.busyEnd.Load()); n != 1 || err != nil {
			t.Errorf("%s where the walk stood: %d claims aborted, %v; want 1", what, n, err)
		}
	}
}

// TestCondemnedByTheDead: the host marks a ring as given up, and dies before it
// wakes anybody. Who sleeps looks again by itself.
func TestCondemnedByTheDead(t *testing.T) {
	room := newHeapRoom(t, Options{})
	c := room.localConsumer(0, SubscriberSpec{})
	ctx, cancel := soon(t.Context())
	defer cancel()
	told := make(chan error, 1)
	go func() {
		for {
			if err := c.Wait(ctx, nil); err != nil {
				told <- err
				return
			}
		}
	}()
	until(func() bool { return c.block.stats.parks.Load() == 1 }) // its last look is behind it
	room.ring.log.mutex.Store(condemned)
	select {
	case err := <-told:
		if !errors.Is(err, ErrCorrupt) {
			t.Errorf("got %v, want %v", err, ErrCorrupt)
		}
	case <-time.After(hangLimit):
		t.Fatal("it sleeps on")
	}
}
