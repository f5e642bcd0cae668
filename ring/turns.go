package ring

import (
	"context"
	"math/bits"
	"time"

	"github.com/shmbus/shmbus/shm"
)

// Publishers that publish at the same time take turns, in two ways.
//
// Each has the bias for a while. To enter by the mutex costs half a dozen lines
// that the other processor has written since, and to revoke a bias a barrier
// besides: some microsecond a message, each way. So a publisher that finds
// somebody else about again and again, each time soon after it left (crowded),
// takes the bias when it leaves, as if it were alone, and before it revokes
// another's, lets it go on for some 25 µs, as long as it does go on. The price
// is then paid once for a hundred messages.
//
// Nobody is left behind. Who has to sleep, for the mutex or for room, is at the
// scheduler's mercy: by the time it runs, those who did not sleep have taken
// the ring, or the room, again. So it says in its block that it waits, and how
// far the ring went then, until it has published. Others, once they have
// published for allowance bytes since, wait for it, outside the ring; not for
// long, for it may be stopped, or dead. Whom one waited for in vain is not
// waited for again until it has published.
//
//	waiting, of a publisher block   written by    when
//	0 -> mark of the tail           its owner     it is about to sleep
//	mark -> 0                       its owner     it has published or given up; it wakes who waits for it
//	                                the host      the slot is granted anew
//
// Nothing but the order depends on any of this: what is read here are hints,
// and the lock is taken and left as ever (lock.go).
const (
	crowdedAfter = 16
	crowdPace    = 20 * time.Microsecond // an entry so soon after we left is of a crowd

	tenureLooks  = 8   // so often the owner is looked at, until it has had its time
	tenurePauses = 64  // between two looks
	changeLooks  = 400 // so often while the bias changes hands

	leastAllowance = 256 << 10 // bytes; more takes longer than waking a thread
	maxGiveWay     = 5 * time.Millisecond
)

// crowded says that others enter as often as we do.
func (e *entrant) crowded() bool { return e.crowd >= crowdedAfter }

// countCrowd counts an entry that found somebody else about.
func (e *entrant) countCrowd() { e.crowd, e.left = e.crowd+1, shm.Now() }

// letOwnerGoOn waits, where publishers crowd, until the owner of the bias has
// had it for a while, or does not publish.
func (e *entrant) letOwnerGoOn() {
	if e.crowd == 0 {
		return
	}
	if shm.Now()-e.left > int64(crowdPace) {
		e.crowd = 0
	}
	if !e.crowded() || !spinning {
		return
	}
	h := e.r.log
	var owner, published uint64
	for looks, changes := 0, 0; looks < tenureLooks && changes < changeLooks; {
		bias := h.bias.Load() // sync(bias): a hint; pairs with leaveSlow
		if bias&biasOwned == 0 {
			if bias == 0 && h.mutex.Load() == 0 { // sync(mutex): a hint; pairs with unlock
				return
			}
			changes++
			shm.Pause(2)
			continue
		}
		slot := identitySlot(uint32(bias & identityBits))
		if slot < 0 || slot >= e.r.geometry.publishers {
			return // revoke says what is wrong with it
		}
		n := e.r.publisher(slot).stats.published.Load() // sync(stats): a hint
		switch {
		case bias != owner:
			owner, looks = bias, 0
			changes++
		case n == published:
			return
		}
		published = n
		looks++
		shm.Pause(tenurePauses)
	}
}

// waitMark is a position as waiting holds it: 32 bits of it, never 0.
func waitMark(position uint64) uint32 { return max(uint32(position/recordAlign), 1) }

// allowance is how many bytes the ring may go on while somebody waits.
func allowance(capacity uint64) uint64 { return max(fraction(capacity), leastAllowance) }

// startWaiting says that we are about to sleep.
func (e *entrant) startWaiting() {
	if e.waiting || e.slot == e.r.geometry.HostSlot() {
		return
	}
	e.waiting = true
	e.block.waiting.Store(waitMark(e.r.log.tail.Load())) // sync(waiting): pairs with giveWay; sync(tail): a hint
}

// stopWaiting says that we have published, or given up.
func (e *entrant) stopWaiting() {
	if !e.waiting {
		return
	}
	e.waiting = false
	e.block.waiting.Store(0) // sync(waiting): pairs with giveWay
	shm.FutexWake(&e.block.waiting, allWaiters)
}

// arrive enters the ring, in turn.
func (p *Producer) arrive(ctx context.Context) error {
	if p.given() >= p.lookAt && ctx != tryContext {
		p.giveWay(ctx)
	}
	return p.enter(ctx)
}

// given is how many bytes we have published, headers included.
func (p *Producer) given() uint64 {
	s := &p.block.stats // sync(stats): our own
	return s.bytes.Load() + recordHeader*s.published.Load()
}

// giveWay lets those go first that have waited while we went on.
func (p *Producer) giveWay(ctx context.Context) {
	far := allowance(p.r.capacity)
	p.lookAt = p.given() + far/8                             // who publishes little need not look
	others := p.r.log.publisherSlots.Load() &^ (1 << p.slot) // sync(slots): a hint; pairs with AddPublisher
	for ; others != 0; others &= others - 1 {
		n := bits.TrailingZeros64(others)
		if n >= p.r.geometry.publishers {
			return
		}
		waiting := &p.r.publisher(n).waiting
		mark := waiting.Load() // sync(waiting): pairs with startWaiting
		if mark == 0 || mark == p.inVain[n] || int32(waitMark(p.tail)-mark) <= int32(far/recordAlign) {
			continue
		}
		if !p.waitFor(ctx, waiting, mark) {
			p.inVain[n] = mark
		}
	}
}

// waitFor waits until waiting has changed, and reports whether it has.
func (p *Producer) waitFor(ctx context.Context, waiting *shm.Word32, mark uint32) bool {
	began := shm.Now()
	defer func() { add(&p.block.stats.blockedNanos, uint64(shm.Now()-began)) }()
	for {
		left := maxGiveWay - time.Duration(shm.Now()-began)
		switch {
		case waiting.Load() != mark: // sync(waiting): pairs with stopWaiting
			return true
		case left <= 0:
			return false
		case p.stop.Load() != 0 || ctx.Err() != nil: // sync(stop): pairs with interrupt
			return true // who called finds out by itself
		}
		_ = shm.FutexWait(waiting, mark, min(left, time.Millisecond)) // any outcome: look again
	}
}
