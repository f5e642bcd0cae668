package ring

import (
	"context"
	"errors"

	"github.com/shmbus/shmbus/shm"
)

// An exclusive ring has one publisher for life, and nobody but it may write
// the log region, the host included. So there is no lock: the bias is the
// publisher's from the start and stays. What the host writes in the log header
// of other rings (who is here, whose cursors are gates) is in the cursor
// header, where every host can write, also one that took over.
//
//	                    other rings                      exclusive
//	attach              the host enters the lock         announce, below; the publisher looks in makeRoom
//	a gate is           its generation, in the log       its number: in the cursor header from the host, and
//	                                                     not repeated by the publisher in the log (dropGate)
//	publisher's death   claims aborted, lock freed,      ended: readers step over what is BUSY, since
//	                    slot granted again               nobody may write there; the ring has ended
//	host rings          doorbell, then wakes             wakes; who misses it, since it was just about to sleep,
//	                                                     looks again when its wait is over, in 50 to 400 ms (Parker)
//
// # Attaching without the lock
//
//	host                                        publisher, short of room it knows of (makeRoom)
//	 cursor = start                              limit = gates seen + capacity, unless epoch is new
//	 number, bit in gates                        claimed = how far it may scribble
//	 epoch + 1                                   (fenced: fence)
//	 barrier                                     epoch is new: begin again
//	 claimed <= start + capacity: attached       writes, up to claimed and limit at most
//	 else: another start, another number, again
//
// The barrier says: either the host sees claimed as raised, and takes another
// start, or the publisher sees the epoch before it writes a byte beyond what
// claimed said, and reads the new cursor. What lies between start and claimed
// was whole when the host looked, and stays.
//
// If the publisher finds a cursor that it has lapped it drops that gate's
// number; the host's next attempt has another. If the host dies in here, the
// slot is granted and its successor finds it so; the gate holds from then on.

// maxChases is how often a start behind the end is looked for before the end
// itself is taken: a publisher that nobody holds may be faster than any look.
const maxChases = 32

// announce attaches a subscriber, see above. It has the host's turn.
func (h *Host) announce(ctx context.Context, s SubscriberSpec) (Attachment, error) {
	r := h.r
	told := false
	for tries := 0; ; tries++ {
		start := s.Start
		if tries >= maxChases {
			start = Start{Kind: StartLatest}
		}
		claimed := r.log.claimed.Load() // sync(claimed): pairs with makeRoom
		h.e.tail, h.e.sequence = r.end()
		a, err := h.find(start)
		shm.FenceLoadLoad()
		switch {
		case err == nil:
			err = h.tryStart(s, a, !told)
			told = true
			if err == nil {
				shm.FenceLoadLoad()
				if !before(a.Position+r.capacity, r.log.claimed.Load()) { // sync(claimed): pairs with makeRoom
					return a, nil
				}
			}
		case !errors.Is(err, ErrBadStart) && r.log.claimed.Load() != claimed:
			err = nil // what made no sense was overwritten while we looked
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			h.RemoveSubscriber(s.Slot, s.Gen, s.Guest)
			return Attachment{}, err
		}
	}
}

// tryStart tells the publisher of a start, and makes sure that it hears it.
func (h *Host) tryStart(s SubscriberSpec, a Attachment, first bool) error {
	r := h.r
	b := r.subscriber(s.Slot, s.Guest)
	if first {
		h.describe(s, a)
		r.cursors.subscribersEver.Add(1)
		r.grantedSubscribers(s.Guest)[s.Slot/64].Or(1 << (s.Slot % 64)) // sync(slots): pairs with Subscribers
	} else {
		b.sequence.Store(a.Sequence)
		b.cursor.Store(a.Position) // sync(cursor): pairs with gatingCursor
	}
	if s.Mode == Reliable {
		g := r.gates
		if s.MaxLag != 0 {
			g.lagLimits.Store(1)
		}
		epoch := g.gateEpoch.Load() + 1
		if uint32(epoch) == 0 {
			epoch++ // 0 is no number
		}
		r.cursors.gateNumbers[s.Slot].Store(uint32(epoch)) // sync(gateNumber): behind the cursor; pairs with gateOf
		g.gates[s.Slot/64].Or(1 << (s.Slot % 64))          // sync(gates): pairs with gatingCursor
		g.gateEpoch.Store(epoch)                           // sync(gates): behind the bit; pairs with newGates
	}
	return r.barrier()
}

// end returns the true end of the ring, as of some moment of the call.
func (r *Ring) end() (tail, sequence uint64) {
	for {
		tail, sequence = r.log.tail.Load(), r.log.sequence.Load() // sync(tail): pairs with storeTail
		shm.FenceLoadLoad()
		if r.log.tail.Load() == tail {
			return r.peekEnd(tail, sequence)
		}
	}
}

// newGatesBehind reports whether somebody was attached before claimed was
// raised, without having seen it: the host's barrier orders the two.
func (e *entrant) newGatesBehind() bool {
	if e.r.options.Fenced {
		shm.FenceFull()
	}
	return e.r.gates.gateEpoch.Load() != e.epoch // sync(gates): pairs with tryStart
}

// dropGate is the publisher's ungate: it may not write the cursor region, so
// it repeats the number where subscribers look for it.
func (r *Ring) dropGate(n int, number uint32) {
	if number != 0 {
		r.log.gateGenerations[n].Store(number) // sync(gateGeneration): pairs with gatedByNumber
	}
}

// closeGate is the host's.
func (r *Ring) closeGate(n int) {
	r.cursors.gateNumbers[n].Store(0)                 // sync(gateNumber): pairs with gatedByNumber
	r.gates.gates[n/64].And(^(uint64(1) << (n % 64))) // sync(gates): pairs with gatingCursor
}

// gatedByNumber is gated for an exclusive ring; after a fence.
func (c *Consumer) gatedByNumber() bool {
	// sync(gateNumber), sync(gateGeneration): pair with closeGate, dropGate
	return c.gate != 0 && c.r.cursors.gateNumbers[c.slot].Load() == c.gate && c.r.log.gateGenerations[c.slot].Load() != c.gate
}

// Ended reports that the publisher of an exclusive ring has gone. Nothing more
// will come.
func (r *Ring) Ended() bool {
	return r.options.Exclusive && r.cursors.ended.Load() != 0 // sync(ended): pairs with finish
}

// orphaned reports whether a BUSY record will never be anything else: its
// publisher has gone, which in an exclusive ring nobody can write down there.
func (r *Ring) orphaned(rec *record, w commitWord) bool {
	return w.state() == stateBusy && r.Ended() && commitWord(rec.commit.Load()) == w // sync(commit): behind ended; pairs with endClaim
}

// finish ends an exclusive ring: its publisher has left or is proven dead.
func (h *Host) finish(slot int, gen uint32) {
	r := h.r
	if slot == 0 && r.cursors.ended.CompareAndSwap(0, gen) { // sync(ended): pairs with Ended
		h.Wake()
	}
}
