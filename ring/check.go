package ring

import (
	"fmt"

	"github.com/shmbus/shmbus/shm"
)

// A ring that contradicts itself cannot be mended: whoever wrote into it may
// have written anywhere. Its host looks for such a ring now and then, and
// condemns it, so that nobody waits in it for ever.

// condemned in place of the mutex is an identity that no slot has: who wants
// in finds [ErrCorrupt], who waits finds it behind the last whole record.
const condemned = 0xff

// Check looks for bytes that no participant leaves there: a header that has
// changed, lock words of nobody, positions beside the ring, and from the gating
// position on, for at most most records, what is not a record. It holds nobody
// up, and read-only mappings suffice. Since others go on meanwhile, an error
// may be of two moments: believe the one that comes twice. [ErrCorrupt].
func (r *Ring) Check(most int) error {
	if err := r.checkHeader(); err != nil {
		return err
	}
	if !r.options.Exclusive {
		if err := r.checkLock(); err != nil {
			return err
		}
	}
	return r.checkRecords(most)
}

// checkHeader compares what never changes with what this process keeps.
func (r *Ring) checkHeader() error {
	if o, err := Peek(r.logBytes); err != nil {
		return &CorruptError{Region: "log", Got: r.log.magic.Load(), Want: "the header it was opened with: " + err.Error()} // sync(magic): pairs with Format
	} else if o != r.options {
		return &CorruptError{Region: "log", Offset: 0x10, Got: o.Capacity, Want: "the header it was opened with"}
	}
	if m := r.cursors.magic.Load(); m != cursorMagic { // sync(magic): pairs with Format
		return &CorruptError{Region: "cursors", Got: m, Want: "the header it was opened with"}
	}
	return nil
}

// checkLock: the lock words are free, or of somebody who is granted.
func (r *Ring) checkLock() error {
	m := r.log.mutex.Load() // sync(mutex): pairs with lock
	if m == condemned {
		return errCondemned
	}
	if m != 0 && (m&^(identityBits|lockWaiters) != 0 || !r.granted(m&identityBits)) {
		return &CorruptError{Region: "log", Offset: 0x300, Got: uint64(m), Want: "a mutex that is free or held by a granted slot"}
	}
	b := r.log.bias.Load() // sync(bias): pairs with rebias
	if b != 0 && (b&^(identityBits|biasOwned|biasRevoking) != 0 || !r.granted(uint32(b&identityBits))) {
		return &CorruptError{Region: "log", Offset: 0x280, Got: b, Want: "a bias that is free or of a granted slot"}
	}
	return nil
}

// granted reports whether identity is that of a slot's present participant.
func (r *Ring) granted(identity uint32) bool {
	slot, generation := identitySlot(identity), identityGeneration(identity)
	switch {
	case slot < 0 || slot > r.geometry.HostSlot():
		return false
	case slot == r.geometry.HostSlot():
		return generation == r.HostGeneration()
	}
	// sync(slots), sync(generation): pair with AddPublisher
	return r.log.publisherSlots.Load()>>slot&1 != 0 && r.publisher(slot).generation.Load() == generation
}

// checkRecords: positions lie where they may, and what lies behind the gating
// position are records.
func (r *Ring) checkRecords(most int) error {
	h := r.log
	pending := h.pending.Load() // sync(pending): pairs with walkPending
	tail := h.tail.Load()       // sync(tail): pairs with storeTail
	claimed := h.claimed.Load() // sync(claimed): pairs with raiseClaimed
	switch {
	case tail%recordAlign != 0:
		return &CorruptError{Region: "log", Offset: 0x380, Got: tail, Want: "a tail that is a multiple of 32"}
	case before(claimed, tail) || before(tail, claimed-r.capacity):
		return &CorruptError{Region: "log", Offset: 0x400, Got: claimed, Want: fmt.Sprintf("claimed at most a lap beyond the tail %d", tail)}
	}
	end, _ := r.peekEnd(tail, 0)
	if !within(pending, tail-r.capacity, end) || pending%recordAlign != 0 {
		return &CorruptError{Region: "log", Offset: 0x390, Got: pending, Want: "pending within the last lap, a multiple of 32"}
	}
	e := entrant{r: r, tail: end}
	p, _, _ := e.gatingCursor(false)
	var sequence uint64
	for n := 0; n < most; n++ {
		rec := r.at(p)
		w := commitWord(rec.commit.Load()) // sync(commit): pairs with the publisher's commit
		given := rec.sequence.Load()
		shm.FenceLoadLoad()
		if before(p+r.capacity, h.claimed.Load()) { // sync(claimed): pairs with raiseClaimed
			// Claimed is raised ahead: nobody writes where a cursor still holds.
			if gate, slot, _ := e.gatingCursor(false); slot < 0 || before(p, gate) {
				return nil // perhaps overwritten while we looked
			}
		}
		switch {
		case w == 0 && reaches(p, end):
			return nil
		case !w.of(p) || w.state() == stateFree || w.state() > statePad || !w.whole(p&r.mask, r.capacity):
			return r.corrupt(p, w, "a record that lies within the ring,")
		case n > 0 && given != sequence:
			return r.corrupt(p, w, "a record with the next sequence,")
		}
		if sequence = given; w.state() != statePad {
			sequence++
		}
		p += w.extent()
	}
	return nil
}

var errCondemned = &CorruptError{Region: "log", Offset: 0x300, Got: condemned, Want: "a ring that its host has not condemned as corrupt"}

// Condemn gives a corrupt ring up: whoever publishes finds [ErrCorrupt], and
// so does whoever waits for a message, behind the last one that is whole. It
// may be repeated, and has to be: who is inside takes the mark away with its
// lock. An exclusive ring, whose log the host cannot write, it leaves alone.
func (h *Host) Condemn() {
	if h.r.options.Exclusive {
		return
	}
	h.r.log.mutex.Store(condemned) // sync(mutex): pairs with lock
	h.r.log.bias.Store(0)          // sync(bias): pairs with enterBiased
	h.Wake()
}

// condemned reports whether the host has given the ring up.
func (r *Ring) condemned() bool { return r.log.mutex.Load()&identityBits == condemned } // sync(mutex): pairs with Condemn
