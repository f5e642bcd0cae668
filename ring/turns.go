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
// somebody else about again and again, and comes back at once each time
// (crowded), takes the bias when it leaves, as if it were alone, and before it
// revokes another's, lets it go on for tenure, as long as it does go on. The
// price is then paid once for dozens of messages. Who comes back later is no
// crowd: it would wait for others, and they for a barrier, for a message each.
//
// Who sleeps is waited for. A publisher that has to sleep, for the mutex or for
// room, is at the scheduler's mercy: by the time it runs, those who did not
// sleep have taken the ring, or the room, again. So it says in its block that it
// waits, and how far the ring went then. Others look at that now and then while
// they publish, and when the ring has gone allowance bytes further, they wait
// until it has published or given up; not for long, for it may be stopped, or
// dead. Whom one waited for in vain is not waited for again in the same wait.
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
	crowdTimed   = 8                    // of these, the pace of the last is looked at
	crowdPace    = 2 * time.Microsecond // for each message since; who needs longer is no crowd

	tenure     = 25 * time.Microsecond // an owner that publishes has the bias for so long
	tenureLook = 3 * time.Microsecond  // between two looks whether it does
	maxOwners  = 8                     // so many are waited for in one entry

	leastAllowance = 256 << 10 // bytes; more takes longer than waking a thread
	maxGiveWay     = 5 * time.Millisecond
)

// crowded says that others enter as often as we do.
func (e *entrant) crowded() bool { return e.crowd >= crowdedAfter }

// countCrowd counts an entry that found somebody else about. A few of them cost
// no reading of the clock.
func (e *entrant) countCrowd() {
	if e.crowd++; e.crowd >= crowdTimed {
		e.left, e.leftAt = shm.Now(), e.block.stats.published.Load() // sync(stats): our own
	}
}

// letOwnerGoOn waits, where publishers crowd, until the owner of the bias has
// had it for a while, or does not publish.
func (e *entrant) letOwnerGoOn() {
	if e.crowd < crowdTimed {
		return
	}
	now := shm.Now()
	since := e.block.stats.published.Load() - e.leftAt // sync(stats): our own
	if now-e.left > int64(crowdPace)*int64(min(since, 1<<20)+1) {
		e.crowd = 0
	}
	if !e.crowded() || !spinning {
		return
	}
	h := e.r.log
	var owner, published uint64
	owners, began, looked := 0, now, now
	for ; now-began < int64(tenure); now = shm.Now() {
		bias := h.bias.Load() // sync(bias): a hint; pairs with leaveSlow
		if bias&biasOwned == 0 {
			if bias == 0 && h.mutex.Load() == 0 { // sync(mutex): a hint; pairs with unlock
				return
			}
			shm.Pause(2) // it changes hands
			continue
		}
		id := uint32(bias & identityBits)
		slot := identitySlot(id)
		if slot < 0 || slot >= e.r.geometry.publishers || owners == maxOwners {
			return // if it is nobody's, revoke says so
		}
		// Seldom: each look takes from the owner the lines that it writes.
		if bias == owner && now-looked < int64(tenureLook) {
			shm.Pause(8)
			continue
		}
		b := e.r.publisher(slot)
		n := b.stats.published.Load() // sync(stats): a hint
		if bias != owner {
			owner, began = bias, now
			owners++
		} else if n == published && b.active.Load() != identityGeneration(id) { // sync(active): a hint
			return
		}
		published, looked = n, now
	}
}

// waitMark is a position as waiting holds it: 32 bits of it, never 0.
func waitMark(position uint64) uint32 { return max(uint32(position/recordAlign), 1) }

// allowance is how many bytes the ring may go on while somebody waits.
func allowance(capacity uint64) uint64 { return max(fraction(capacity), leastAllowance) }

// startWaiting says that we are about to sleep.
func (e *entrant) startWaiting() {
	if e.waiting || e.r.options.Exclusive || e.slot == e.r.geometry.HostSlot() {
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

// yieldTurn gives way if it is time to look.
func (p *Producer) yieldTurn(ctx context.Context) {
	if p.given() >= p.lookAt && ctx != tryContext {
		p.giveWay(ctx)
	}
}

// arrive enters the ring, in turn.
func (p *Producer) arrive(ctx context.Context) error {
	p.yieldTurn(ctx)
	return p.enter(ctx)
}

// given is how many bytes we have published, headers included.
func (p *Producer) given() uint64 {
	s := &p.block.stats // sync(stats): our own
	return s.bytes.Load() + recordHeader*s.published.Load()
}

// giveWay lets those go first that have waited while the ring went on. Who is
// not reached in time has the next look.
func (p *Producer) giveWay(ctx context.Context) {
	far := int32(allowance(p.r.capacity) / recordAlign)
	p.lookAt = p.nextLook()
	spent := time.Duration(0)
	for others := p.r.log.publisherSlots.Load() &^ (1 << p.slot); others != 0 && spent < maxGiveWay; others &= others - 1 { // sync(slots): a hint; pairs with AddPublisher
		n := bits.TrailingZeros64(others)
		if n >= p.r.geometry.publishers {
			return
		}
		waiting := &p.r.publisher(n).waiting
		mark := waiting.Load() // sync(waiting): pairs with startWaiting
		if mark == 0 || mark == p.inVain[n] || int32(waitMark(p.tail)-mark) <= far {
			continue
		}
		began := shm.Now()
		if !p.waitFor(ctx, waiting, mark, began) {
			p.inVain[n] = mark
		}
		took := shm.Now() - began
		add(&p.block.stats.blockedNanos, uint64(took))
		spent += time.Duration(took)
	}
}

// nextLook is where to look again: who publishes little need not often.
func (p *Producer) nextLook() uint64 { return p.given() + allowance(p.r.capacity)/8 }

// waitFor waits until waiting has changed, or the caller may not wait any more;
// false if that took too long.
func (p *Producer) waitFor(ctx context.Context, waiting *shm.Word32, mark uint32, began int64) bool {
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
