package ring

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/shmbus/shmbus/shm"
)

// A publisher may stop for ever between any two of its stores. These tests
// make one do so by driving the steps of a publish or a claim by hand, and then
// do what a host does. What was committed must be there, exactly once; nothing
// else; and the others go on.

// wreck is a ring with a publisher that is about to die.
type wreck struct {
	*room
	victim, survivor *Producer
	reliable, lossy  *Consumer
	want             [][]byte // committed so far and not read yet
	number           int
}

// must fails the test: without it the scene is not the one that was meant.
func (w *wreck) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatalf("%v; %+v", err, w.ring.Stat())
	}
}

func (w *wreck) payload(n int) []byte {
	w.number++
	return numbered(w.number, n)
}

func (w *wreck) enter() { w.must(w.victim.enter(w.t.Context())) }

// commit writes and commits a record; inside.
func (w *wreck) commit(n int) {
	b := w.payload(n)
	rec, word, err := w.victim.write(b, 0, 0)
	w.must(err)
	rec.commit.Store(uint64(word))
	w.want = append(w.want, b)
}

func (w *wreck) publish(p *Producer, n int) {
	w.t.Helper()
	b := w.payload(n)
	_, err := p.TryPublish(b, 0, 0)
	w.must(err)
	w.want = append(w.want, b)
}

// bias makes p the biased owner, without the 64 entries it takes.
func (w *wreck) bias(p *Producer) {
	w.t.Helper()
	w.publish(p, 8)
	p.alone = rebiasAfter
	w.publish(p, 8)
	w.read()
	if w.ring.log.bias.Load() != p.owned {
		w.t.Fatalf("the ring is not biased to slot %d: %+v", p.slot, w.ring.Stat())
	}
}

// read reads all that is there and compares it with what was committed.
func (w *wreck) read() {
	w.t.Helper()
	for _, c := range []*Consumer{w.reliable, w.lossy} {
		for i, want := range w.want {
			m, err := c.Next()
			if err != nil || !bytes.Equal(m.Payload, want) || m.Lost != 0 {
				w.t.Fatalf("%v, message %d of %d: %d bytes, lost %d, %v; %+v", c.options.Mode, i, len(w.want), len(m.Payload), m.Lost, err, w.ring.Stat())
			}
		}
		if m, err := c.Next(); err != ErrEmpty {
			w.t.Fatalf("%v: one more than was committed: %d bytes, %v", c.options.Mode, len(m.Payload), err)
		}
	}
	w.want = nil
}

// hosts are the ways in which repair goes.
var hosts = []struct {
	name   string
	repair func(w *wreck) error
}{
	{"once", func(w *wreck) error { return w.remove(w.host) }},
	{"twice", func(w *wreck) error { return errors.Join(w.remove(w.host), w.remove(w.host)) }},
	{"host dies behind the lock", func(w *wreck) error {
		w.ring.freeLock(w.victim.slot, w.victim.generation)
		return w.successor()
	}},
	{"host dies before the claims", func(w *wreck) error {
		w.victim.block.active.CompareAndSwap(w.victim.generation, 0)
		return w.successor()
	}},
	{"host dies behind the claims", func(w *wreck) error {
		w.ring.freeLock(w.victim.slot, w.victim.generation)
		_, err := w.ring.abortOrphans(w.victim.slot)
		return errors.Join(err, w.successor())
	}},
}

func (w *wreck) remove(h *Host) error {
	return h.RemovePublisher(w.victim.slot, w.victim.generation)
}

// successor is another host, which knows nothing but what it finds.
func (w *wreck) successor() error {
	h := w.ring.Host(0)
	if _, err := h.TakeOver(); err != nil {
		return err
	}
	w.host = h
	return w.remove(h)
}

func TestDeathAtEveryPoint(t *testing.T) {
	for _, biased := range []string{"nobody", "victim", "survivor"} {
		for _, death := range deaths {
			t.Run(fmt.Sprintf("biased=%s/%s", biased, death.name), func(t *testing.T) {
				for n, host := range hosts {
					for position := range 3 {
						die(t, biased, death.die, host.repair, uint64(n)<<32-2048, position)
					}
				}
			})
		}
	}
}

func die(t *testing.T, biased string, death func(*wreck), repair func(*wreck) error, start uint64, position int) {
	t.Helper()
	w := &wreck{room: newHeapRoom(t, Options{Start: start})}
	w.victim, w.survivor = w.local(0), w.local(1)
	w.reliable, w.lossy = w.localConsumer(0, SubscriberSpec{}), w.localConsumer(1, SubscriberSpec{Mode: Lossy})
	w.lap(position)
	switch {
	case w.options.Fenced && biased != "nobody":
		w.bias(w.victim)
	case biased == "victim":
		w.bias(w.victim)
	case biased == "survivor":
		w.bias(w.survivor)
	}
	w.publish(w.victim, 64)
	if biased == "survivor" {
		w.bias(w.survivor)
	}
	death(w)

	// A contender that came before the repair gets through.
	contender := w.local(2)
	through := make(chan error, 1)
	b := w.payload(77)
	go func() { _, err := contender.Publish(t.Context(), b, 0, 0); through <- err }()
	if err := repair(w); err != nil {
		t.Fatalf("repair: %v", err)
	}
	w.must(<-through)
	w.want = append(w.want, b)
	w.whole()
	w.read()

	// The slot serves the next generation; the dead one's claims are nobody's.
	again := w.local(0)
	for i := range 40 {
		w.publish([]*Producer{w.survivor, again, contender}[i%3], 100+i)
		w.read()
	}
	w.accounts()
}

// lap fills the ring once, so that old records lie everywhere, and goes on to
// somewhere in it: also to where a large record needs a PAD.
func (w *wreck) lap(position int) {
	for end := w.options.Start + 3*w.options.Capacity/2; before(w.survivor.tail, end); w.read() {
		w.publish(w.survivor, 100)
	}
	for position > 0 && w.survivor.tail%w.options.Capacity < w.options.Capacity-uint64(position)*480 {
		w.publish(w.survivor, 0)
		w.read()
	}
}

// whole checks that nothing of the dead one is left in the lock.
func (w *wreck) whole() {
	w.t.Helper()
	if a := w.victim.block.active.Load(); a == w.victim.generation {
		w.t.Errorf("active is still %d", a)
	}
	if b := w.ring.log.bias.Load(); uint32(b&identityBits) == w.victim.identity {
		w.t.Errorf("bias is still %#x", b)
	}
	if m := w.ring.log.mutex.Load(); m != 0 {
		w.t.Errorf("mutex is %#x", m)
	}
	if w.ring.log.publisherSlots.Load()>>w.victim.slot&1 != 0 {
		w.t.Error("the slot is still granted")
	}
}

// accounts checks that every sequence was delivered or is known to be aborted.
func (w *wreck) accounts() {
	w.t.Helper()
	given := w.ring.Stat().Sequence
	for _, c := range []*Consumer{w.reliable, w.lossy} {
		if s := c.Stats(); s.Delivered+s.Aborted != given || s.Lost() != 0 {
			w.t.Errorf("%v: %d delivered + %d aborted, %d lost, of %d given", c.options.Mode, s.Delivered, s.Aborted, s.Lost(), given)
		}
	}
}

// TestDeadRevoker: the one who revokes dies while the owner is inside; the
// next one must wait for the owner all the same.
func TestDeadRevoker(t *testing.T) {
	for _, barrierDone := range []bool{false, true} {
		w := &wreck{room: newHeapRoom(t, Options{})}
		w.victim, w.survivor = w.local(0), w.local(1)
		w.reliable, w.lossy = w.localConsumer(0, SubscriberSpec{}), w.localConsumer(1, SubscriberSpec{Mode: Lossy})
		w.bias(w.survivor)
		if !w.survivor.enterBiased() {
			t.Fatal("the owner does not get in")
		}
		w.must(w.victim.lock(t.Context()))
		w.ring.log.bias.Store(biasRevoking | uint64(w.survivor.identity))
		if barrierDone {
			w.ring.barrier()
		}
		w.must(w.remove(w.host))
		contender := w.local(2)
		ctx, cancel := expired(t.Context())
		_, err := contender.Publish(ctx, w.payload(20), 0, 0)
		cancel()
		if !errors.Is(err, ErrStalled) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("beside an owner who is inside: %v, want %v", err, ErrStalled)
		}
		var stalled *StalledError
		if !errors.As(err, &stalled) || stalled.Slot != 1 || stalled.Name != "local-1" {
			t.Errorf("the error names %+v, want slot 1", stalled)
		}
		if st := w.ring.Stat(); st.LockSlot != 1 || !st.Revoking {
			t.Errorf("stat names another: %+v", st)
		}
		// The owner finishes what it was at, and is outside for good.
		b := w.payload(30)
		rec, word, err := w.survivor.write(b, 0, 0)
		w.must(err)
		rec.commit.Store(uint64(word))
		w.survivor.leave()
		w.want = append(w.want, b)
		if w.survivor.enterBiased() {
			t.Error("the owner got in again past revoking")
		}
		w.publish(contender, 40)
		w.publish(w.survivor, 50)
		w.read()
		w.accounts()
	}
}

// TestLateRepair: a host that repeats a repair after the slot was granted
// again takes nothing from the new one.
func TestLateRepair(t *testing.T) {
	w := &wreck{room: newHeapRoom(t, Options{})}
	w.victim, w.survivor = w.local(0), w.local(1)
	w.reliable, w.lossy = w.localConsumer(0, SubscriberSpec{}), w.localConsumer(1, SubscriberSpec{Mode: Lossy})
	w.bias(w.victim)
	orphan, err := w.victim.TryClaim(20, 0, 0)
	w.must(err)
	w.must(w.remove(w.host))
	copied := orphan
	if err := orphan.Commit(); !errors.Is(err, ErrOrphaned) {
		t.Errorf("a claim the host aborted: Commit: %v, want %v", err, ErrOrphaned)
	}
	if err := copied.Abort(); !errors.Is(err, ErrOrphaned) {
		t.Errorf("a claim the host aborted: Abort: %v, want %v", err, ErrOrphaned)
	}
	if n, err := orphan.CopyIn([]byte("x")), orphan.Commit(); n != 0 || err != ErrClosed {
		t.Errorf("once more: %d bytes copied, Commit: %v; want 0, %v", n, err, ErrClosed)
	}
	next := w.local(0)
	w.bias(next)
	claim, err := next.TryClaim(30, 0, 0)
	w.must(err)
	if !next.enterBiased() {
		t.Fatal("the new one does not get in")
	}
	w.must(w.remove(w.host)) // of the old generation
	w.ring.freeLock(0, w.victim.generation)
	if next.block.active.Load() != next.generation || w.ring.log.bias.Load() != next.owned || w.ring.log.publisherSlots.Load()&1 == 0 {
		t.Errorf("a late repair took what is the new one's: %+v", w.ring.Stat())
	}
	next.leave()
	w.must(next.lock(w.t.Context()))
	w.ring.freeLock(0, w.victim.generation)
	if m := w.ring.log.mutex.Load(); m != next.identity {
		t.Errorf("a late repair took the mutex from the new one: %#x", m)
	}
	next.unlock()
	b := w.payload(30)
	copy(claim.Bytes(), b)
	w.must(claim.Commit())
	w.want = append(w.want, b)
	w.read()
	if _, err := w.ring.Producer(0, w.victim.generation); !errors.Is(err, ErrNoSlot) {
		t.Errorf("a producer of the old generation: %v", err)
	}
}

// TestHostDiesInside: the host itself dies inside the ring, or half way
// through an attach; its successor frees the lock and clears what it finds.
func TestHostDiesInside(t *testing.T) {
	half := []func(w *wreck, s SubscriberSpec){
		func(*wreck, SubscriberSpec) {},
		func(w *wreck, s SubscriberSpec) {
			b := w.ring.subscriber(s.Slot, false)
			b.cursor.Store(w.host.e.tail)
			b.generation.Store(s.Gen)
			w.ring.log.subscriberSlots[0].Or(1 << s.Slot)
		},
		func(w *wreck, s SubscriberSpec) {
			b := w.ring.subscriber(s.Slot, false)
			b.cursor.Store(w.host.e.tail)
			b.generation.Store(s.Gen)
			w.ring.log.subscriberSlots[0].Or(1 << s.Slot)
			w.ring.log.gateGenerations[s.Slot].Store(s.Gen)
			w.ring.log.gates[0].Or(1 << s.Slot)
		},
		func(w *wreck, s SubscriberSpec) {
			b := w.ring.subscriber(s.Slot, false)
			b.cursor.Store(w.host.e.tail)
			b.generation.Store(s.Gen)
			w.ring.log.subscriberSlots[0].Or(1 << s.Slot)
			w.host.gate(s)
		},
	}
	for n, attach := range half {
		w := &wreck{room: newHeapRoom(t, Options{})}
		w.survivor = w.local(1)
		w.reliable, w.lossy = w.localConsumer(0, SubscriberSpec{}), w.localConsumer(1, SubscriberSpec{Mode: Lossy})
		w.bias(w.survivor)
		w.publish(w.survivor, 100)
		w.must(w.host.e.enterSlow(t.Context()))
		s := SubscriberSpec{Slot: 4, Gen: 4000}
		attach(w, s)
		through := make(chan error, 1)
		b := w.payload(50)
		go func() { _, err := w.survivor.Publish(t.Context(), b, 0, 0); through <- err }()

		h := w.ring.Host(0)
		old := w.ring.HostGeneration()
		gen, err := h.TakeOver()
		w.must(err)
		if gen == old || w.ring.HostGeneration() != gen {
			t.Errorf("half %d: generation %d after %d, the ring says %d", n, gen, old, w.ring.HostGeneration())
		}
		for _, sub := range w.ring.Subscribers() {
			if sub.Slot == s.Slot {
				h.RemoveSubscriber(sub.Slot, sub.Gen, sub.Guest)
			}
		}
		w.must(<-through)
		w.want = append(w.want, b)
		w.read()
		w.host = h
		extra := w.localConsumer(4, SubscriberSpec{})
		for i := range 60 {
			w.publish(w.survivor, 100+i)
			m, err := extra.Next()
			if err != nil || !bytes.Equal(m.Payload, w.want[0]) {
				t.Fatalf("half %d: attached by the new host: %+v, %v", n, m, err)
			}
			extra.Release()
			w.read()
		}
	}
}

// TestSpaceOfTheDead: claims of a dead publisher hold the space until repair,
// also where no reliable subscriber is, and who waits for it is woken.
func TestSpaceOfTheDead(t *testing.T) {
	w := &wreck{room: newHeapRoom(t, Options{})}
	w.victim, w.survivor = w.local(0), w.local(1)
	_, err := w.victim.TryClaim(500, 0, 0)
	w.must(err)
	for err = nil; err == nil; {
		_, err = w.survivor.TryPublish(w.payload(300), 0, 0)
	}
	if err != ErrFull {
		t.Fatal(err)
	}
	bell, value := &w.ring.log.pendingDoorbell, w.ring.log.pendingDoorbell.Load()
	woken := make(chan error, 1)
	go func() { woken <- shm.FutexWait(bell, value, hangLimit/4) }()
	through := make(chan error, 1)
	go func() { _, err := w.survivor.Publish(t.Context(), w.payload(300), 0, 0); through <- err }()
	w.must(w.remove(w.host))
	w.must(errors.Join(<-through, <-woken))
}
