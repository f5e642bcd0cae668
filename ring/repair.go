package ring

import "fmt"

// Repair makes a ring whole after a death. Only the host does it, once it has
// proven the death (or the participant has left by itself), so everything the
// dead one stored is visible and nothing more will come. Each step is a
// compare-and-swap from what the dead one left or repeats harmlessly, so a
// host may die in here and the next one begins again. Nothing here waits.

// RemovePublisher frees the slot of a publisher that has left or is proven
// dead, and repairs what it left: its hold on the lock, its open claims. It
// may be repeated. [ErrCorrupt] if the ring's records cannot be walked; the
// slot then stays granted.
func (h *Host) RemovePublisher(slot int, gen uint32) error {
	r := h.r
	if slot < 0 || slot >= r.geometry.publishers {
		return nil
	}
	h.grants.mu.Lock()
	defer h.grants.mu.Unlock()
	is := func() bool {
		return h.grants.are(seat{publisherSeat, slot}, gen, func() uint32 { return r.publisher(slot).generation.Load() }) // sync(generation): pairs with AddPublisher
	}
	if r.log.publisherSlots.Load()>>slot&1 == 0 || !is() { // sync(slots): pairs with AddPublisher
		return nil
	}
	if r.options.Exclusive {
		h.finish(slot, gen)
		return nil
	}
	inside := r.freeLock(slot, gen)
	// Claims carry the slot, not its generation: the slot is granted again
	// only once all of them are aborted.
	orphans, err := r.abortOrphans(slot)
	if err == nil {
		h.free(foldedIdentity(foldedPublisher, slot, gen), func(t *Totals) {
			t.addPublisher(r.publisher(slot))
			if t.Orphans += orphans; inside || orphans > 0 {
				t.Repairs++
			}
		}, func() {
			r.log.publisherSlots.And(^(uint64(1) << slot)) // sync(slots): pairs with Publishers, Counts
		})
		h.grants.forget(seat{publisherSeat, slot}, gen)
	}
	h.Wake() // doorbells first, whether or not it owned anything
	return err
}

// freeLock takes the lock words from a dead participant, and reports whether
// it was inside.
func (r *Ring) freeLock(slot int, gen uint32) bool {
	id := identityOf(slot, gen)
	// Not inside any more: who revokes it may go on.
	inside := r.publisher(slot).active.CompareAndSwap(gen, 0) // sync(active), sync(bias), sync(mutex): pair with enterBiased, revoke, lock
	for {
		word := r.log.mutex.Load()
		if word&identityBits != id {
			break
		}
		if r.log.mutex.CompareAndSwap(word, 0) { // contenders add waiters meanwhile
			inside = true
			break
		}
	}
	for _, b := range []uint64{biasOwned | uint64(id), biasRevoking | uint64(id)} {
		r.log.bias.CompareAndSwap(b, 0)
	}
	return inside
}

// abortOrphans aborts the open claims of a dead publisher, and counts them.
func (r *Ring) abortOrphans(slot int) (aborted uint64, err error) {
	end := r.log.busyEnd.Load()  // sync(busyEnd): pairs with claim
	from := r.log.pending.Load() // sync(pending): pairs with walkPending
	return r.abortBetween(slot, from, end)
}

// abortBetween walks from what was pending a moment ago. Live publishers go on
// meanwhile: after a header and its owner were read, pending is read again; if
// it has passed the header, others may have overwritten it, and the walk begins
// again from there.
func (r *Ring) abortBetween(slot int, from, end uint64) (aborted uint64, err error) {
	h := r.log
	for p, steps := from, uint64(0); before(p, end); steps++ {
		rec := r.at(p)
		w := commitWord(rec.commit.Load()) // sync(commit): pairs with claim
		owner := metaSlot(rec.meta.Load())
		if now := h.pending.Load(); before(p, now) { // sync(pending): pairs with walkPending
			p = now
			continue
		}
		if w.state() == stateFree {
			return aborted, nil
		}
		if !w.of(p) || !w.whole(p&r.mask, r.capacity) || steps > 4*r.capacity/recordAlign {
			return aborted, fmt.Errorf("repair of publisher slot %d: %w", slot, r.corrupt(p, w, "a record"))
		}
		if w.state() == stateBusy && int(owner) == slot && rec.commit.CompareAndSwap(uint64(w), uint64(w.with(stateAborted))) { // sync(commit): pairs with Next
			aborted++
		}
		p += w.extent()
	}
	return aborted, nil
}
