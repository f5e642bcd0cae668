package ring

import (
	"math/bits"

	"github.com/shmbus/shmbus/internal/trick"
	"github.com/shmbus/shmbus/shm"
)

// Where a record may go. A record, with the 32 bytes of the next header behind
// it, may end at most at
//
//	limit    gating position + capacity; gating position = min(reliable cursors, pending)
//	claimed  how far records may have been overwritten; lossy readers check it after they read
//	stored + 1/16    the stored tail gates like a cursor: the next header must never be zeroed over it
//	the end of this 1/64 of the ring     where the sparse index wants the next record's position
//
// soft is the least of the four, so the hot path compares once.

func (e *entrant) setSoft(start uint64) {
	c := e.r.capacity
	e.soft = earlier(earlier(e.limit, e.claimed), earlier(e.stored+fraction(c), blockEnd(start, c)))
	if !trick.Soft {
		e.soft = start // each record looks at all of them
	}
}

// makeRoom is the slow road of a record that begins at start (behind a PAD, if
// there must be one) and ends, next header included, at end. [ErrFull] when a
// gate holds it back.
func (e *entrant) makeRoom(start, end uint64) error {
again:
	if e.r.options.Exclusive {
		e.newGates() // nobody enters to tell us
	}
	if before(e.limit, end) || !trick.Soft {
		if err := e.raiseLimit(end); err != nil {
			return err
		}
	}
	e.detachLaggards()
	if before(e.claimed, end) && e.raiseClaimed(end) {
		goto again
	}
	if before(e.stored+fraction(e.r.capacity), end) || !trick.Soft {
		e.storeTail()
	}
	// Before the record is there: if we die here, the next record, or nothing
	// yet, begins at the same position, so it is a boundary all the same.
	if slot := &e.r.log.index[blockOf(start, e.r.capacity)%indexBlocks]; blockOf(slot.Load(), e.r.capacity) != blockOf(start, e.r.capacity) {
		slot.Store(start) // sync(index): pairs with oldest
	}
	e.setSoft(start)
	return nil
}

// raiseClaimed says that records may be overwritten up to end, and reports
// whether somebody was attached meanwhile who has not seen it.
func (e *entrant) raiseClaimed(end uint64) bool {
	e.claimed = roundUp(end, fraction(e.r.capacity))
	e.r.log.claimed.Store(e.claimed) // sync(claimed): pairs with overrun
	// A store-release does not hold back later stores on arm64: no reader
	// may find a byte overwritten while claimed says it is not.
	shm.FenceStoreStore()
	return e.r.options.Exclusive && e.newGatesBehind()
}

// raiseLimit reads the gates anew.
func (e *entrant) raiseLimit(end uint64) error {
	pending, err := e.walkPending(end - e.r.capacity)
	if err != nil {
		return err
	}
	for {
		cursor, slot, generation := e.gatingCursor(true)
		e.limit = later(e.limit, earlier(cursor, pending)+e.r.capacity)
		if reaches(e.limit, end) {
			return nil
		}
		// Who set a limit on its lag would rather go than stop the topic.
		if slot < 0 || before(pending, cursor) || e.r.subscriber(slot, false).maxLag == 0 {
			return ErrFull
		}
		e.detach(slot, generation)
	}
}

// gatingCursor returns the least cursor of the reliable subscribers, its slot
// and by what that holds publishers back (gateOf), or the tail and -1 where
// there is none. A cursor is a hint by a peer: one that is not within the
// ring's last lap is impossible, and its subscriber is detached if evict is
// set.
//
// What is detached is always what was read before whatever speaks against it:
// in an exclusive ring the host may meanwhile have granted the slot to somebody
// else, who has another number.
func (e *entrant) gatingCursor(evict bool) (gate uint64, slot int, generation uint32) {
	gate, slot = e.tail, -1
	for i := range e.r.gates.gates {
		for set := e.r.gates.gates[i].Load(); set != 0; set &= set - 1 { // sync(gates): pairs with attach
			n := i*64 + bits.TrailingZeros64(set)
			if n >= e.r.geometry.subscribers {
				break
			}
			mark := e.r.gateOf(n)
			if mark == 0 {
				continue // whoever detached it died before it cleared the bit
			}
			c := e.r.subscriber(n, false).cursor.Load() // sync(cursor): pairs with publishCursor
			if !within(c, e.tail-e.r.capacity, e.tail) {
				if evict {
					e.detach(n, mark)
				}
				continue
			}
			if before(c, gate) {
				gate, slot, generation = c, n, mark
			}
		}
	}
	return gate, slot, generation
}

// walkPending raises pending, the position that no BUSY record lies before, as
// far as want or the first BUSY record. Without it, others would lap a claim
// that is being filled while no reliable subscriber is there to hold them.
func (e *entrant) walkPending(want uint64) (uint64, error) {
	h := e.r.log
	old := h.pending.Load() // sync(pending): pairs with itself below
	if !within(old, e.tail-e.r.capacity, e.tail) || old%recordAlign != 0 {
		return 0, &CorruptError{Region: "log", Offset: 0x390, Got: old, Want: "pending within the last lap, a multiple of 32"}
	}
	p := old
	if end := h.busyEnd.Load(); reaches(p, end) { // sync(busyEnd): pairs with claim
		p = e.tail // no claim was made since: nothing to walk over
	}
	for before(p, want) && before(p, e.tail) {
		w := commitWord(e.r.at(p).commit.Load()) // sync(commit): pairs with endClaim
		if !w.of(p) || w.state() == stateFree || !w.whole(p&e.r.mask, e.r.capacity) {
			return 0, e.r.corrupt(p, w, "a record")
		}
		if w.state() == stateBusy {
			break
		}
		p += w.extent()
	}
	if p != old {
		h.pending.Store(p) // sync(pending): pairs with walkPending, abortOrphans
		shm.FenceStoreStore()
	}
	return p, nil
}

// detachLaggards detaches reliable subscribers that are further behind than
// they said they may be.
func (e *entrant) detachLaggards() {
	if e.r.gates.lagLimits.Load() == 0 {
		return
	}
	for i := range e.r.gates.gates {
		for set := e.r.gates.gates[i].Load(); set != 0; set &= set - 1 { // sync(gates): pairs with attach
			n := i*64 + bits.TrailingZeros64(set)
			if n >= e.r.geometry.subscribers {
				break
			}
			mark := e.r.gateOf(n) // first: see gatingCursor
			b := e.r.subscriber(n, false)
			if most := b.maxLag; most != 0 && e.sequence-b.sequence.Load() > most {
				e.detach(n, mark)
			}
		}
	}
}

// detach stops subscriber slot n from holding publishers back, and wakes those
// that wait for it. Inside the lock, so that nobody attaches meanwhile; in an
// exclusive ring somebody may, with another number (gatingCursor).
func (e *entrant) detach(n int, generation uint32) {
	e.r.ungate(n, generation)
	if e.r.options.Exclusive {
		return // there is nobody else
	}
	d := &e.r.log.pendingDoorbell
	d.Add(1) // sync(pendingDoorbell): pairs with waitForSpace
	shm.FutexWake(d, allWaiters)
}

// gateOf returns by what subscriber slot n holds publishers back: its
// generation, in an exclusive ring its gate number; 0 if it does not.
func (r *Ring) gateOf(n int) uint32 {
	mark := r.log.gateGenerations[n].Load() // sync(gateGeneration): pairs with ungate
	if !r.options.Exclusive {
		return mark
	}
	if number := r.cursors.gateNumbers[n].Load(); number != mark { // sync(gateNumber): pairs with announce
		return number
	}
	return 0
}

// ungate stops subscriber slot n, if it still is of this generation, from
// holding publishers back. The generation goes first: a reader that finds its
// bytes overwritten finds it gone. Therefore the fence: what is written over
// them comes behind.
func (r *Ring) ungate(n int, generation uint32) {
	defer shm.FenceStoreStore()
	if r.options.Exclusive {
		r.dropGate(n, generation)
		return
	}
	if generation != 0 && r.log.gateGenerations[n].CompareAndSwap(generation, 0) { // sync(gateGeneration): pairs with gated
		r.log.gates[n/64].And(^(uint64(1) << (n % 64))) // sync(gates): pairs with gatingCursor
	}
}
