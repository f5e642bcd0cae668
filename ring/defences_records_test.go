package ring

import (
	"errors"
	"testing"
)

// forgery is a record at the position where every reader and every publisher
// looks next, that no publisher leaves there.
type forgery struct {
	name              string
	start             uint64
	word              commitWord
	sequence          uint64
	tells, publishers bool // who follows the tail, too, finds it
}

func forgeries() []forgery {
	const end = 2*MinCapacity - 64
	return []forgery{
		{"longer than a record may be", 0, packCommit(stateCommitted, 0, MinCapacity/2), 0, true, true},
		{"beyond the end of the ring", end, packCommit(stateCommitted, end, 200), 0, true, true},
		{"of another lap", 0, packCommit(stateCommitted, MinCapacity, 8), 0, true, true},
		{"of no state", 0, packCommit(stateFree, 0, 8), 0, false, false},
		{"of a state that is none", 0, packCommit(statePad+1, 0, 8), 0, false, false},
		{"of another sequence", 0, packCommit(stateCommitted, 0, 8), 7, true, false},
	}
}

// TestForgedRecords: what cannot be the record of this position is corruption,
// for whoever comes by it, and nobody goes by what it says.
func TestForgedRecords(t *testing.T) {
	for _, f := range forgeries() {
		looks := map[string]func(*room, *Producer, *Consumer, *Consumer) error{
			"reliable": func(_ *room, _ *Producer, c, _ *Consumer) error {
				c.setSoft() // as the record before has done
				_, err := c.Next()
				return err
			},
			"reliable, the long way": func(_ *room, _ *Producer, c, _ *Consumer) error {
				_, _, err := c.takeSlow()
				return err
			},
			"reliable, Poll": func(_ *room, _ *Producer, c, _ *Consumer) error {
				c.setSoft()
				_, err := c.Poll(func(Record, bool) error { return nil }, 2)
				return err
			},
		}
		if f.sequence == 0 { // a lossy reader takes a jump for a loss, when it begins
			looks["lossy"] = func(_ *room, _ *Producer, _, c *Consumer) error { _, err := c.Next(); return err }
		}
		if f.publishers {
			looks["publisher"] = func(_ *room, p *Producer, _, _ *Consumer) error { _, err := p.TryPublish(nil, 0, 0); return err }
			looks["pending"] = func(r *room, p *Producer, _, _ *Consumer) error {
				p.tail = f.start + 64
				r.ring.log.busyEnd.Store(p.tail)
				_, err := p.walkPending(p.tail)
				return err
			}
			looks["repair"] = func(r *room, p *Producer, _, _ *Consumer) error {
				r.ring.log.busyEnd.Store(f.start + 64)
				return r.host.RemovePublisher(0, p.generation)
			}
		}
		for name, look := range looks {
			room := newHeapRoom(t, Options{Start: f.start})
			p, c, l := room.local(0), room.localConsumer(0, SubscriberSpec{}), room.localConsumer(1, SubscriberSpec{Mode: Lossy})
			rec := room.ring.at(f.start)
			rec.sequence.Set(f.sequence)
			rec.commit.Store(uint64(f.word))
			if err := look(room, p, c, l); !errors.Is(err, ErrCorrupt) {
				t.Errorf("a record %s, %s: %v, want %v", f.name, name, err, ErrCorrupt)
			}
		}
	}
}

// TestForgedWords: lock words that name no slot, and positions where none can
// be, are corruption for whoever wants in.
func TestForgedWords(t *testing.T) {
	stranger := identityOf(200, 1)
	for name, forge := range map[string]func(*logHeader){
		"mutex of no slot":    func(h *logHeader) { h.mutex.Store(stranger) },
		"bias of no slot":     func(h *logHeader) { h.bias.Store(biasOwned | uint64(stranger)) },
		"bias of no kind":     func(h *logHeader) { h.bias.Store(1 << 40) },
		"tail between":        func(h *logHeader) { h.tail.Store(8) },
		"pending ahead":       func(h *logHeader) { h.pending.Store(MinCapacity) },
		"pending long behind": func(h *logHeader) { h.pending.Store(^uint64(MinCapacity - 1)) },
		"pending between":     func(h *logHeader) { h.pending.Store(^uint64(0)) },
	} {
		room := newHeapRoom(t, Options{})
		p := room.local(0)
		forge(room.ring.log)
		if _, err := p.TryPublish(nil, 0, 0); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v, want %v", name, err, ErrCorrupt)
		}
	}
}

// TestClaimsHoldPublishersBack: nobody laps a claim that is being filled, also
// where no subscriber holds anybody back.
func TestClaimsHoldPublishersBack(t *testing.T) {
	room := newHeapRoom(t, Options{})
	a, b := room.local(0), room.local(1)
	claim, err := a.TryClaim(10, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	fillUp(t, b)
	if err := claim.Commit(); err != nil {
		t.Fatalf("the claim: %v", err)
	}
	if _, err := b.TryPublish(nil, 0, 0); err != nil {
		t.Errorf("when the claim is over: %v", err)
	}
}

// TestCursorsHoldPublishersBack: nobody laps a reliable subscriber, and it
// finds all that it was promised.
func TestCursorsHoldPublishersBack(t *testing.T) {
	room := newHeapRoom(t, Options{})
	p, c := room.local(0), room.localConsumer(0, SubscriberSpec{})
	for range 3 {
		n := fillUp(t, p)
		for i := range n {
			if _, err := c.Next(); err != nil {
				t.Fatalf("message %d of %d: %v", i, n, err)
			}
		}
		if _, err := c.Next(); err != ErrEmpty {
			t.Fatal(err)
		}
	}
}

// fillUp publishes until the ring is full, and returns how many there were.
func fillUp(t *testing.T, p *Producer) int {
	t.Helper()
	for n := range MinCapacity {
		if _, err := p.TryPublish(numbered(n, 40), 0, 0); err == ErrFull {
			return n
		} else if err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("the ring is never full")
	return 0
}

// TestHalfDetachedHoldNobody: whoever detached a subscriber died between its
// generation and its gate bit.
func TestHalfDetachedHoldNobody(t *testing.T) {
	room := newHeapRoom(t, Options{})
	p := room.local(0)
	room.localConsumer(0, SubscriberSpec{})
	lap := fillUp(t, p)
	room.ring.log.gateGenerations[0].Store(0)
	for n := range 2 * lap {
		if _, err := p.TryPublish(numbered(n, 40), 0, 0); err != nil {
			t.Fatalf("message %d behind a full ring: %v", n, err)
		}
	}
	if room.ring.log.gates[0].Load() == 0 {
		t.Error("somebody cleared the bit: nothing is shown")
	}
}

// TestOthersAreToldInTime: what others go by is never further behind than they
// count on, whatever the owner of the bias keeps to itself.
func TestOthersAreToldInTime(t *testing.T) {
	room := newHeapRoom(t, Options{})
	p := room.local(0)
	log := room.ring.log
	takeBias(t, p)
	for i := range 2000 {
		begin := p.tail
		if _, err := p.TryPublish(numbered(i, i%900), 0, 0); err != nil {
			t.Fatal(err)
		}
		end := p.tail + recordHeader
		if claimed := log.claimed.Load(); before(claimed, end) {
			t.Fatalf("message %d: overwritten up to %d, claimed says %d", i, end, claimed)
		}
		// Where the record goes too far beyond it, the tail is stored first.
		if stored := log.tail.Load(); before(stored+fraction(MinCapacity), end) && stored != begin {
			t.Fatalf("message %d: from %d to %d, the stored tail says %d", i, begin, end, stored)
		}
	}
}

// TestClaimedNeverFalls: the dead may have written further than the next one
// will.
func TestClaimedNeverFalls(t *testing.T) {
	room := newHeapRoom(t, Options{})
	dead, next := room.local(0), room.local(1)
	if err := dead.enterSlow(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := dead.place(900); err != nil {
		t.Fatal(err)
	}
	claimed := room.ring.log.claimed.Load()
	if err := room.host.RemovePublisher(0, dead.generation); err != nil {
		t.Fatal(err)
	}
	if _, err := next.TryPublish(nil, 0, 0); err != nil {
		t.Fatal(err)
	}
	if c := room.ring.log.claimed.Load(); before(c, claimed) {
		t.Errorf("claimed was %d, and is %d", claimed, c)
	}
}

// TestEmptyIsLookedAtTwice: a lossy reader whose place was overwritten does not
// take the zeroed header there for the end, also when it is about to sleep.
func TestEmptyIsLookedAtTwice(t *testing.T) {
	room := newHeapRoom(t, Options{})
	c := room.localConsumer(0, SubscriberSpec{Mode: Lossy})
	if c.ready() {
		t.Fatal("there is something in an empty ring")
	}
	room.ring.log.tail.Store(MinCapacity)
	room.ring.log.claimed.Store(MinCapacity + recordHeader)
	if !c.ready() {
		t.Error("a reader whose place was overwritten finds nothing to do")
	}
}

// TestDetachedAreTold: a reliable subscriber that is detached gives out no view
// more, and says of the last ones that they may have been overwritten.
func TestDetachedAreTold(t *testing.T) {
	for name, take := range map[string]func(*Consumer) error{
		"Take":               func(c *Consumer) error { _, _, err := c.Take(); return err },
		"Take, the long way": func(c *Consumer) error { _, _, err := c.takeSlow(); return err },
		"EndPoll":            func(c *Consumer) error { return c.EndPoll() },
		"Accept":             func(c *Consumer) error { return c.Accept(0, 0) },
	} {
		room := newHeapRoom(t, Options{})
		p, c := room.local(0), room.localConsumer(0, SubscriberSpec{})
		for i := range 3 {
			if _, err := p.TryPublish(numbered(i, 10), 0, 0); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := c.Next(); err != nil {
			t.Fatal(err)
		}
		if n := c.Ahead(2); n != 2 {
			t.Fatalf("%d records found ahead, want 2", n)
		}
		room.host.Detach(0, c.generation)
		if err := take(c); !errors.Is(err, ErrDetached) {
			t.Errorf("%s: %v, want %v", name, err, ErrDetached)
		}
	}
}

// TestLateDetach: who detaches a subscriber that has gone since does not detach
// the next one in its slot.
func TestLateDetach(t *testing.T) {
	room := newHeapRoom(t, Options{})
	gone := room.localConsumer(0, SubscriberSpec{})
	room.host.RemoveSubscriber(0, gone.generation, false)
	c := room.localConsumer(0, SubscriberSpec{})
	room.host.Detach(0, gone.generation)
	if !c.gated() || gone.gated() {
		t.Errorf("the one that has gone holds publishers back: %t; the new one does: %t", gone.gated(), c.gated())
	}
}

// TestLaggardsAreDetached: in a ring that is far from full.
func TestLaggardsAreDetached(t *testing.T) {
	room := newHeapRoom(t, Options{Capacity: 64 << 10})
	p := room.local(0)
	slow, other := room.localConsumer(0, SubscriberSpec{MaxLag: 10}), room.localConsumer(1, SubscriberSpec{MaxLag: 1000})
	for i := range 100 {
		if _, err := p.TryPublish(numbered(i, 100), 0, 0); err != nil {
			t.Fatal(err)
		}
	}
	if slow.gated() || !other.gated() {
		t.Errorf("100 behind: one that may be 10 holds publishers back: %t; one that may be 1000: %t", slow.gated(), other.gated())
	}
}

// TestExclusiveAttachMeanwhile: a publisher that has looked at the gates and is
// about to say how far it will overwrite learns of a subscriber that was
// attached in between, and has not seen it.
func TestExclusiveAttachMeanwhile(t *testing.T) {
	room := newExclusiveRoom(t, MinCapacity)
	p := room.local(0)
	for i := range MinCapacity / 32 {
		if _, err := p.TryPublish(numbered(i, 40), 0, 0); err != nil {
			t.Fatal(err)
		}
	}
	p.newGates()
	if p.raiseClaimed(p.claimed + 1) {
		t.Error("there is nobody new")
	}
	room.localConsumer(0, SubscriberSpec{Start: Start{Kind: StartEarliest}})
	if !p.raiseClaimed(p.claimed + 1) {
		t.Error("it goes on, over what somebody is about to read")
	}
}

// TestForgedCursors: a cursor where none can be holds nobody back.
func TestForgedCursors(t *testing.T) {
	for name, forge := range map[string]func(tail uint64) uint64{
		"one beyond":   func(tail uint64) uint64 { return tail + 1 },
		"far ahead":    func(tail uint64) uint64 { return tail + 1<<40 },
		"a lap behind": func(tail uint64) uint64 { return tail - MinCapacity - 1 },
		"far behind":   func(tail uint64) uint64 { return tail - 1<<40 },
	} {
		room := newHeapRoom(t, Options{})
		p, c := room.local(0), room.localConsumer(0, SubscriberSpec{})
		fillUp(t, p)
		c.block.cursor.Store(forge(p.tail))
		for i := range MinCapacity / 32 {
			if _, err := p.TryPublish(numbered(i, 40), 0, 0); err != nil {
				t.Fatalf("a cursor %s: %v", name, err)
			}
		}
		if c.gated() {
			t.Errorf("a cursor %s still holds publishers back", name)
		}
	}
}
