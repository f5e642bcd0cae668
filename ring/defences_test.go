package ring

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shmbus/shmbus/shm"
)

// What follows takes one defence each by itself: without it nothing may go
// wrong for a long time. internal/mutants removes them, and more.

// TestSleepersAreNotForgotten: who was woken for the mutex keeps the mark of
// those who sleep on, or nobody wakes the next one.
func TestSleepersAreNotForgotten(t *testing.T) {
	room := newHeapRoom(t, Options{})
	a, b := room.local(0), room.local(1)
	ctx, cancel := soon(t.Context())
	defer cancel()
	if err := a.lock(ctx); err != nil {
		t.Fatal(err)
	}
	locked := make(chan error, 1)
	go func() { locked <- b.lock(ctx) }()
	m := &room.ring.log.mutex
	until(func() bool { return m.Load()&lockWaiters != 0 })
	a.unlock()
	if err := <-locked; err != nil {
		t.Fatal(err)
	}
	if w := m.Load(); w != b.identity|lockWaiters {
		t.Errorf("the mutex is %#x, want %#x: others may sleep", w, b.identity|lockWaiters)
	}
	b.unlock()
}

// TestNoBiasWhileOthersWait: the bias is no way past those who wait in line.
func TestNoBiasWhileOthersWait(t *testing.T) {
	room := newHeapRoom(t, Options{})
	p := room.local(0)
	for _, waiting := range []bool{true, false} {
		if err := p.enterSlow(t.Context()); err != nil {
			t.Fatal(err)
		}
		if waiting {
			room.ring.log.mutex.Or(lockWaiters)
		}
		room.ring.log.lastEntrant.Store(p.identity)
		p.alone = rebiasAfter
		p.leave()
		if b := room.ring.log.bias.Load(); (b == p.owned) == waiting {
			t.Errorf("others wait %t: the bias is %#x", waiting, b)
		}
	}
}

// TestMutualExclusion: two publishers, each of which takes the bias whenever it
// may and enters by it, and whoever wants in revokes it.
func TestMutualExclusion(t *testing.T) {
	entries := 2_000_000
	if raceEnabled || runtime.NumCPU() < 2 {
		entries = 20_000
	}
	for _, fenced := range []bool{false, true} {
		if !fenced && !shm.HaveMembarrier() {
			continue
		}
		room := newHeapRoom(t, Options{Fenced: fenced})
		var inside atomic.Int32
		var biased [2]int
		var done sync.WaitGroup
		for i, p := range []*Producer{room.local(0), room.local(1)} {
			done.Go(func() {
				for range entries {
					if err := p.enter(context.Background()); err != nil {
						t.Error(err)
						return
					}
					if p.biased {
						biased[i]++
					}
					if !inside.CompareAndSwap(0, 1) {
						t.Error("two are inside")
					}
					for range 20 {
						if inside.Load() != 1 {
							t.Error("two were inside")
						}
					}
					inside.Store(0)
					p.uncontended, p.alone = true, rebiasAfter // as if it had been alone for long
					room.ring.log.lastEntrant.Store(p.identity)
					p.leave()
					if t.Failed() {
						return
					}
				}
			})
		}
		done.Wait()
		if !t.Failed() && !raceEnabled && (biased[0] == 0 || biased[1] == 0) {
			t.Errorf("entries by the bias: %d and %d", biased[0], biased[1])
		}
	}
}

// TestRepairEndsTheBias: nobody may enter by the bias of the dead.
func TestRepairEndsTheBias(t *testing.T) {
	for _, state := range []uint64{biasOwned, biasRevoking} {
		room := newHeapRoom(t, Options{})
		p := room.local(0)
		room.ring.log.bias.Store(state | uint64(p.identity))
		if err := room.host.RemovePublisher(0, p.generation); err != nil {
			t.Fatal(err)
		}
		if b := room.ring.log.bias.Load(); b != 0 {
			t.Errorf("the bias is %#x after the death of its owner", b)
		}
	}
}

// TestEveryOrphanIsAborted: all the claims of the dead, and none of the living.
func TestEveryOrphanIsAborted(t *testing.T) {
	room := newHeapRoom(t, Options{})
	dead, alive := room.local(0), room.local(1)
	c := room.localConsumer(0, SubscriberSpec{})
	var theirs []Claim
	for range 5 {
		for _, p := range []*Producer{dead, alive} {
			claim, err := p.TryClaim(10, 0, 0)
			if err != nil {
				t.Fatal(err)
			}
			if p == alive {
				theirs = append(theirs, claim)
			}
		}
	}
	if err := room.host.RemovePublisher(0, dead.generation); err != nil {
		t.Fatal(err)
	}
	for i := range theirs {
		if err := theirs[i].Commit(); err != nil {
			t.Errorf("claim %d of the living: %v", i, err)
		}
		if m, err := c.Next(); err != nil || m.Publisher != 1 {
			t.Errorf("message %d: by %d, %v", i, m.Publisher, err)
		}
	}
	if _, err := c.Next(); !errors.Is(err, ErrEmpty) || c.Stats().Aborted != 5 {
		t.Errorf("behind the last one: %v, %d were aborted", err, c.Stats().Aborted)
	}
}

// TestDoorbellsChange: whoever wakes changes the word first, or one that is
// about to sleep on it sleeps.
func TestDoorbellsChange(t *testing.T) {
	room := newHeapRoom(t, Options{})
	p := room.local(0)
	log, cursors := room.ring.log, room.ring.cursors
	for name, c := range map[string]struct {
		act   func()
		words []*shm.Word32
	}{
		"host": {room.host.Wake, []*shm.Word32{&log.doorbell, &log.pendingDoorbell, &cursors.spaceDoorbell}},
		"publish": {func() {
			cursors.sleeps.Add(1)
			if _, err := p.TryPublish(nil, 0, 0); err != nil {
				t.Fatal(err)
			}
		}, []*shm.Word32{&log.doorbell}},
		"commit": {func() {
			claim, err := p.TryClaim(1, 0, 0)
			if err != nil {
				t.Fatal(err)
			}
			cursors.sleeps.Add(1)
			log.spaceSleeps.Add(1)
			if err := claim.Commit(); err != nil {
				t.Fatal(err)
			}
		}, []*shm.Word32{&log.doorbell, &log.pendingDoorbell}},
		"abort": {func() {
			claim, err := p.TryClaim(1, 0, 0)
			if err != nil {
				t.Fatal(err)
			}
			cursors.sleeps.Add(1)
			log.spaceSleeps.Add(1)
			if err := claim.Abort(); err != nil {
				t.Fatal(err)
			}
		}, []*shm.Word32{&log.doorbell, &log.pendingDoorbell}},
	} {
		var before []uint32
		for _, w := range c.words {
			before = append(before, w.Load())
		}
		c.act()
		for i, w := range c.words {
			if w.Load() == before[i] {
				t.Errorf("%s: doorbell %d is as it was", name, i)
			}
		}
	}
}

// TestCursorIsPublishedWhenEmpty: whoever has read everything says so before it
// waits, or a full ring sleeps for ever.
func TestCursorIsPublishedWhenEmpty(t *testing.T) {
	room := newHeapRoom(t, Options{})
	p, c := room.local(0), room.localConsumer(0, SubscriberSpec{})
	if _, err := p.TryPublish(nil, 0, 0); err != nil {
		t.Fatal(err)
	}
	room.ring.log.spaceSleeps.Add(1)
	bell := room.ring.cursors.spaceDoorbell.Load()
	if _, err := c.Next(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Next(); err != ErrEmpty {
		t.Fatal(err)
	}
	if at := c.block.cursor.Load(); at != c.position {
		t.Errorf("the cursor is %d, the consumer at %d", at, c.position)
	}
	if room.ring.cursors.spaceDoorbell.Load() == bell {
		t.Error("who waits for space was not woken")
	}
}

// TestPadZeroesFirst: behind a PAD that others can see lies a header that says
// that nothing is there yet.
func TestPadZeroesFirst(t *testing.T) {
	room := newHeapRoom(t, Options{})
	p := room.local(0)
	if _, err := p.TryPublish(nil, 0, 0); err != nil {
		t.Fatal(err)
	}
	if err := p.enterSlow(t.Context()); err != nil {
		t.Fatal(err)
	}
	next := room.ring.at(0)
	next.commit.Store(uint64(packCommit(stateCommitted, 0, 8))) // of the lap before
	p.pad(MinCapacity)
	if w := next.commit.Load(); w != 0 {
		t.Errorf("behind the PAD is %#x", w)
	}
	p.leave()
}

// TestNewGateIsSeen: a publisher that knows how far it may go learns of a
// subscriber that begins further back.
func TestNewGateIsSeen(t *testing.T) {
	room := newHeapRoom(t, Options{})
	p := room.local(0)
	for i := range 200 {
		if _, err := p.TryPublish(numbered(i, 100), 0, 0); err != nil {
			t.Fatal(err)
		}
	}
	p.limit = p.tail + 1<<30 // as far as it may ever have gone
	c := room.localConsumer(0, SubscriberSpec{Start: Start{Kind: StartEarliest}})
	for i := range 200 {
		if _, err := p.TryPublish(numbered(i, 100), 0, 0); err != nil {
			break
		}
	}
	for n := 0; ; n++ {
		if _, err := c.Next(); errors.Is(err, ErrEmpty) && n > 0 {
			return
		} else if err != nil {
			t.Fatalf("message %d: %v", n, err)
		}
	}
}

// TestStalledCallsGiveUp: whoever waits for one that is stopped inside is told
// when his context ends.
func TestStalledCallsGiveUp(t *testing.T) {
	room := newHeapRoom(t, Options{})
	a, b := room.local(0), room.local(1)
	if err := a.lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, publish := range map[string]func(context.Context) error{
		"Publish":    func(ctx context.Context) error { _, err := b.Publish(ctx, nil, 0, 0); return err },
		"TryPublish": func(context.Context) error { _, err := b.TryPublish(nil, 0, 0); return err },
	} {
		ctx, cancel := context.WithCancel(t.Context()) // no deadline that it could wait for
		result := make(chan error, 1)
		go func() { result <- publish(ctx) }()
		until(func() bool { return len(result) != 0 || b.block.waiting.Load() != 0 })
		cancel()
		select {
		case err := <-result:
			var stalled *StalledError
			if !errors.As(err, &stalled) || stalled.Slot != 0 {
				t.Errorf("%s: %v, want ErrStalled that names slot 0", name, err)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%s does not give up", name)
		}
	}
	a.unlock()
}
