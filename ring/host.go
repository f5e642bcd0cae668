package ring

import (
	"context"
	"fmt"
	"time"

	"github.com/shmbus/shmbus/shm"
)

// StartKind says how a subscriber's start is given.
type StartKind uint8

const (
	StartLatest   StartKind = iota // behind the last message
	StartEarliest                  // the oldest message still in the ring
	StartSequence                  // the message of this sequence, or the oldest still there: what a lossy one misses is lost
	StartAge                       // the first message not older than Age
)

// Start says where a subscriber begins.
type Start struct {
	Kind     StartKind
	Sequence uint64
	Age      time.Duration
}

// SubscriberSpec is what the host attaches a subscriber with.
type SubscriberSpec struct {
	Slot   int
	Gen    uint32
	Member uint64
	Name   string
	Mode   Mode
	MaxLag uint64 // messages; 0: no limit. Reliable only
	Guest  bool
	Start  Start
}

// Host is the host's hand in a ring: it grants slots, attaches, detaches and
// repairs. All regions must be mapped writable. It may be used by several
// goroutines; what can block (AddSubscriber) takes turns among itself only.
type Host struct {
	r    *Ring
	turn chan struct{} // held while the entrant is in use
	e    entrant

	grants grants
}

// Host returns the host's hand with the generation that this host was given
// by [Host.TakeOver] before; 0 for a host that is about to call it.
func (r *Ring) Host(generation uint32) *Host {
	h := &Host{r: r, turn: make(chan struct{}, 1)}
	h.e = newEntrant(r, r.geometry.HostSlot(), generation)
	return h
}

// HostGeneration returns the generation of the last host that took over; 0 if
// none has.
func (r *Ring) HostGeneration() uint32 { return r.log.hostGeneration.Load() } // sync(hostGeneration): pairs with TakeOver

// TakeOver makes the caller the ring's host and returns its generation. The
// caller has proven that the previous host is dead or gone: what that one left
// half done inside the ring is repaired. [ErrNoBarrier].
func (h *Host) TakeOver() (uint32, error) {
	if err := h.r.needBarrier(); err != nil {
		return 0, err
	}
	if h.r.options.Exclusive {
		h.Wake()
		return 1, nil // nothing of it is in the ring
	}
	old := h.r.HostGeneration()
	slot := h.r.geometry.HostSlot()
	if old != 0 {
		h.r.freeLock(slot, old)
	}
	gen := NextGeneration(old)
	h.e = newEntrant(h.r, slot, gen)
	h.e.block.generation.Store(gen)
	h.r.log.hostGeneration.Store(gen) // sync(hostGeneration): pairs with HostGeneration
	h.RefreshClock()
	h.Wake()
	return gen, nil
}

// NextGeneration returns the generation that follows g: never 0.
func NextGeneration(g uint32) uint32 { return g%MaxGeneration + 1 }

// AddPublisher grants a publisher slot, whose block has memory, to a
// generation greater than the slot's last. A death in here leaves the slot not
// granted, or granted to nobody, which the next host finds in the bitmap.
func (h *Host) AddPublisher(slot int, gen uint32, member uint64, name string) error {
	if err := h.r.checkGrant(slot, h.r.geometry.publishers, gen, name); err != nil {
		return err
	}
	if h.r.log.publisherSlots.Load()>>slot&1 != 0 {
		return fmt.Errorf("%w: publisher slot %d is granted already", ErrNoSlot, slot)
	}
	h.grants.note(seat{publisherSeat, slot}, gen)
	b := h.r.publisher(slot)
	b.stats = publisherStats{}
	b.waiting.Store(0) // sync(waiting): not granted yet; pairs with giveWay
	b.member, b.nameLen = member, uint32(copy(b.name[:], name))
	b.generation.Store(gen) // sync(generation): pairs with Producer
	if h.r.options.Exclusive {
		h.r.log.bias.Store(biasOwned | uint64(identityOf(slot, gen))) // sync(bias): for life, pairs with enterBiased
	}
	// The slot, then the count: who reads them the other way round, as Counts
	// does, never finds that publishers were here and none is, before the
	// first one has left.
	h.r.log.publisherSlots.Or(1 << slot) // sync(slots): pairs with Publishers, Counts
	h.r.log.publishersEver.Add(1)
	h.Wake()
	return nil
}

func (r *Ring) checkGrant(slot, slots int, gen uint32, name string) error {
	if slot < 0 || slot >= slots || gen == 0 || gen > MaxGeneration || len(name) > nameSize {
		return fmt.Errorf("%w: slot %d of %d, generation %d, a name of %d bytes (at most %d)", ErrNoSlot, slot, slots, gen, len(name), nameSize)
	}
	return nil
}

// AddSubscriber grants a subscriber slot, whose block has memory, and attaches
// it. It enters the ring by the slow road, which ends a bias, so that no
// publisher goes by a limit that was computed without the new cursor. It
// blocks while somebody else is inside; [ErrStalled] names the holder when ctx
// ends. [ErrBadStart]. A death in here leaves the slot not granted, or granted
// and gating, which the next host finds in the bitmaps.
func (h *Host) AddSubscriber(ctx context.Context, s SubscriberSpec) (Attachment, error) {
	if err := h.r.checkGrant(s.Slot, h.r.geometry.subscribers, s.Gen, s.Name); err != nil {
		return Attachment{}, err
	}
	if s.Guest && (s.Mode != Lossy || h.r.guests == nil) {
		return Attachment{}, fmt.Errorf("%w: a guest needs a guest region and is lossy", ErrNoSlot)
	}
	if h.r.grantedSubscribers(s.Guest)[s.Slot/64].Load()>>(s.Slot%64)&1 != 0 { // sync(slots): pairs with RemoveSubscriber
		return Attachment{}, fmt.Errorf("%w: subscriber slot %d is granted already", ErrNoSlot, s.Slot)
	}
	select {
	case h.turn <- struct{}{}:
		defer func() { <-h.turn }()
	case <-ctx.Done():
		return Attachment{}, &StalledError{Slot: h.r.Stat().LockSlot, Name: h.r.publisherName(h.r.Stat().LockSlot), Cause: ctx.Err()}
	}
	h.grants.note(subscriberSeatOf(s.Slot, s.Guest), s.Gen)
	a, err := h.attach(ctx, s)
	if err != nil {
		h.grants.forget(subscriberSeatOf(s.Slot, s.Guest), s.Gen)
	}
	return a, err
}

// attach is AddSubscriber for a slot that is not granted. It has the host's
// turn.
func (h *Host) attach(ctx context.Context, s SubscriberSpec) (Attachment, error) {
	if h.r.options.Exclusive {
		return s.counted(h.announce(ctx, s))
	}
	if err := h.e.enterSlow(ctx); err != nil {
		return Attachment{}, err
	}
	defer h.e.leaveSlow(false)
	a, err := s.counted(h.find(s.Start))
	if err != nil {
		return Attachment{}, err
	}
	h.describe(s, a)
	h.r.log.subscribersEver.Add(1)
	h.r.grantedSubscribers(s.Guest)[s.Slot/64].Or(1 << (s.Slot % 64)) // sync(slots): pairs with Subscribers
	if s.Mode == Reliable {
		h.gate(s)
	}
	h.Wake()
	return a, nil
}

// describe fills the block of a slot that is not granted yet.
func (h *Host) describe(s SubscriberSpec, a Attachment) {
	b := h.r.subscriber(s.Slot, s.Guest)
	b.stats = subscriberStats{}
	for i := range b.buckets {
		b.buckets[i].Set(0)
	}
	b.mode, b.member, b.maxLag = uint32(s.Mode), s.Member, s.MaxLag
	b.nameLen = uint32(copy(b.name[:], s.Name))
	b.sequence.Store(a.Sequence)
	b.cursor.Store(a.Position) // sync(cursor): pairs with gatingCursor
	b.generation.Store(s.Gen)  // sync(generation): pairs with Consumer
}

// gate makes a subscriber hold publishers back: generation, cursor and the
// epoch, which makes every publisher read the cursors anew, are there before
// the bit. Inside the lock.
func (h *Host) gate(s SubscriberSpec) {
	log := h.r.log
	if s.MaxLag != 0 {
		log.lagLimits.Store(1)
	}
	log.gateGenerations[s.Slot].Store(s.Gen)      // sync(gateGeneration): pairs with gated
	log.gateEpoch.Store(log.gateEpoch.Load() + 1) // sync(gates): pairs with catchUp
	log.gates[s.Slot/64].Or(1 << (s.Slot % 64))   // sync(gates): pairs with gatingCursor
}

// counted makes a lossy subscriber count what it asked for and is no longer
// there: its first record has a later sequence. A reliable one knows no loss.
func (s *SubscriberSpec) counted(a Attachment, err error) (Attachment, error) {
	if err == nil && s.Mode == Lossy && s.Start.Kind == StartSequence {
		a.Sequence = s.Start.Sequence
	}
	return a, err
}

// find returns where a subscriber begins. Inside the lock.
func (h *Host) find(s Start) (Attachment, error) {
	end := Attachment{Position: h.e.tail, Sequence: h.e.sequence}
	if s.Kind == StartLatest {
		return end, nil
	}
	if s.Kind == StartSequence && end.Sequence < s.Sequence { // they begin with 0 and do not come around
		return Attachment{}, fmt.Errorf("%w: asked for sequence %d, the next one is %d", ErrBadStart, s.Sequence, end.Sequence)
	}
	// The sparse index gives 1/64 of the ring; the records do the rest.
	clock := h.r.Clock()
	enough := func(rec *record) bool {
		switch s.Kind {
		case StartSequence:
			return !before(rec.sequence.Load(), s.Sequence)
		case StartAge:
			return clock.since(int64(rec.time.Load()), s.Age)
		}
		return true
	}
	from, err := h.r.oldest()
	if err != nil {
		return Attachment{}, err
	}
	for i := range h.r.log.index {
		p := h.r.log.index[i].Load() // sync(index): pairs with makeRoom
		if p%recordAlign != 0 || !before(from, p) || !before(p, h.e.tail) {
			continue
		}
		// A PAD has no time; where one stands, a publisher died before its record.
		w := commitWord(h.r.at(p).commit.Load()) // sync(commit): pairs with the publisher's commit
		if w.of(p) && w.state() != statePad && !enough(h.r.at(p)) {
			from = p
		}
	}
	for p := from; before(p, end.Position); {
		rec := h.r.at(p)
		w := commitWord(rec.commit.Load())
		if !w.of(p) || !w.whole(p&h.r.mask, h.r.capacity) {
			return Attachment{}, h.r.corrupt(p, w, "a record")
		}
		if w.state() != statePad && enough(rec) {
			return Attachment{Position: p, Sequence: rec.sequence.Load()}, nil
		}
		p += w.extent()
	}
	return end, nil
}

// RemoveSubscriber frees a subscriber's slot; publishers no longer wait for
// it. It never waits for a participant, and may be repeated.
func (h *Host) RemoveSubscriber(slot int, gen uint32, guest bool) {
	if slot < 0 || slot >= h.r.geometry.subscribers || guest && h.r.guests == nil {
		return
	}
	h.grants.mu.Lock()
	defer h.grants.mu.Unlock()
	granted := h.r.grantedSubscribers(guest)
	if granted[slot/64].Load()>>(slot%64)&1 == 0 || !h.isSubscriber(slot, gen, guest) {
		return
	}
	clear := func() { granted[slot/64].And(^(uint64(1) << (slot % 64))) } // sync(slots): pairs with Subscribers
	if guest {
		clear()
	} else {
		h.ungate(slot)
		h.free(foldedIdentity(foldedSubscriber, slot, gen), func(t *Totals) { t.addSubscriber(h.r.subscriber(slot, false)) }, clear)
	}
	h.grants.forget(subscriberSeatOf(slot, guest), gen)
	h.Wake()
}

// Detach makes a reliable subscriber stop holding publishers back; it finds
// [ErrDetached]. It never waits for a participant, and may be repeated.
func (h *Host) Detach(slot int, gen uint32) {
	if slot < 0 || slot >= h.r.geometry.subscribers {
		return
	}
	h.grants.mu.Lock()
	defer h.grants.mu.Unlock()
	if h.isSubscriber(slot, gen, false) {
		h.ungate(slot)
	}
	h.Wake()
}

func (h *Host) isSubscriber(slot int, gen uint32, guest bool) bool {
	return h.grants.are(subscriberSeatOf(slot, guest), gen, func() uint32 {
		return h.r.subscriber(slot, guest).generation.Load() // sync(generation): pairs with describe
	})
}

// ungate stops a subscriber from holding publishers back by whatever it does.
// grants.mu is held.
func (h *Host) ungate(slot int) {
	if h.r.options.Exclusive {
		h.r.closeGate(slot)
	} else {
		h.r.ungate(slot, h.r.gateOf(slot))
	}
}

// Wake changes every doorbell and then wakes everybody on every word, as after
// a death: who died may have been the one that was woken, or about to wake.
func (h *Host) Wake() {
	log, cur := h.r.log, h.r.cursors
	if !h.r.options.Exclusive { // there the host may only wake
		log.doorbell.Add(1)        // sync(doorbell): pairs with prepareSleep
		log.pendingDoorbell.Add(1) // sync(pendingDoorbell): pairs with waitForSpace
	}
	cur.spaceDoorbell.Add(1) // sync(spaceDoorbell): pairs with waitForSpace
	for _, w := range []*shm.Word32{&log.mutex, &log.doorbell, &log.pendingDoorbell, &cur.spaceDoorbell} {
		shm.FutexWake(w, allWaiters)
	}
}
