package ring

import (
	"context"

	"github.com/shmbus/shmbus/internal/failpoint"
	"github.com/shmbus/shmbus/shm"
)

// Claim is room in the ring for one message, to be filled in place outside the
// lock and then committed or aborted. Several may be open; consumers stop at
// the first that is. It is a value: copies are the same claim. If its publisher
// dies, the host aborts it.
type Claim struct {
	p        *Producer
	rec      *record
	busy     commitWord
	position uint64
	sequence uint64
}

// TryClaim claims room for n bytes without waiting for space. Errors are those
// of [Producer.TryPublish].
func (p *Producer) TryClaim(n int, kind uint32, now int64) (Claim, error) {
	c, err := p.claim(tryContext, n, kind, now)
	if err == ErrFull {
		add(&p.block.stats.refused, 1)
	}
	p.stopWaiting()
	return c, err
}

// Claim claims room for n bytes, waiting for space until ctx ends.
func (p *Producer) Claim(ctx context.Context, n int, kind uint32, now int64) (Claim, error) {
	c, err := p.claim(ctx, n, kind, now)
	for err == ErrFull {
		if err = p.waitForSpace(ctx, uint64(n)); err == nil {
			c, err = p.claim(ctx, n, kind, now)
		}
	}
	p.stopWaiting()
	return c, err
}

func (p *Producer) claim(ctx context.Context, n int, kind uint32, now int64) (Claim, error) {
	if n < 0 || n > p.max {
		return Claim{}, p.tooLarge(n)
	}
	p.yieldTurn(ctx)
	return p.claimNow(ctx, uint64(n), kind, now)
}

// claimNow claims room for n bytes, out of turn.
func (p *Producer) claimNow(ctx context.Context, n uint64, kind uint32, now int64) (Claim, error) {
	if err := p.enter(ctx); err != nil {
		return Claim{}, err
	}
	position, rec, err := p.place(n)
	if err != nil {
		p.leave()
		return Claim{}, err
	}
	// Owner and sequence before BUSY: the host that finds a BUSY record of the
	// dead must know whose it is. busyEnd before BUSY: it bounds that search.
	rec.sequence.Set(p.sequence)
	rec.time.Set(uint64(now))
	rec.meta.Set(packMeta(kind, p.slot))
	p.r.log.busyEnd.Store(p.tail) // sync(busyEnd): pairs with walkPending, abortOrphans
	busy := packCommit(stateBusy, position, n)
	rec.commit.Store(uint64(busy)) // sync(commit): pairs with Take
	failpoint.Hit("ring.claimed")
	c := Claim{p: p, rec: rec, busy: busy, position: position, sequence: p.sequence}
	p.sequence++
	p.leave()
	return c, nil
}

// Bytes returns the room, of the length asked for. It is the caller's until
// Commit or Abort. What it holds before it is written is unspecified.
func (c *Claim) Bytes() []byte {
	return c.p.r.data.Bytes(c.position&c.p.r.mask+recordHeader, c.busy.length())
}

// CopyIn copies p to the beginning of the room, as Publish does: by the copy
// routine that is best for its size. It returns how many bytes it copied: the
// length of the room at most, and nothing once the claim is over.
func (c *Claim) CopyIn(p []byte) int {
	if c.p == nil {
		return 0
	}
	p = p[:min(uint64(len(p)), c.busy.length())]
	c.p.r.data.CopyIn(c.position&c.p.r.mask+recordHeader, p)
	return len(p)
}

// Sequence returns the sequence the message has.
func (c *Claim) Sequence() uint64 { return c.sequence }

// Commit publishes the message. [ErrOrphaned] if the host aborted it,
// [ErrClosed] if the claim is over already, by either. Of a copy of a claim
// that is over this knows nothing: it is [ErrOrphaned].
func (c *Claim) Commit() error {
	n := c.busy.length()
	if err := c.end(stateCommitted); err != nil {
		return err
	}
	c.p.count(1, n)
	c.p = nil
	return nil
}

// Abort gives the room up; subscribers step over it. Errors as Commit.
func (c *Claim) Abort() error {
	if err := c.end(stateAborted); err != nil {
		return err
	}
	add(&c.p.block.stats.aborted, 1)
	c.p = nil
	return nil
}

func (c *Claim) end(state uint64) error {
	if c.p == nil {
		return ErrClosed
	}
	// Only the owner and, once the owner is proven dead, the host leave BUSY.
	if !c.rec.commit.CompareAndSwap(uint64(c.busy), uint64(c.busy.with(state))) { // sync(commit): endClaim, pairs with Take, walkPending
		c.p = nil
		return ErrOrphaned
	}
	c.p.wake()
	c.p.wakePending()
	return nil
}

// wake rings the doorbell if a subscriber went to sleep since we last did.
// After every commit and abort, outside the lock.
//
// Each subscriber counts its sleeps in one word: it reads the doorbell, adds 1
// to sleeps, passes a barrier, looks once more, and sleeps while the doorbell
// is what it read. If its look missed our commit, the barrier says that we see
// its addition. All that are counted in the number we read have read the
// doorbell before, so one ring wakes them all, and one wake a sleep is enough.
// Nothing needs to be taken back: a sleeper that died leaves a number.
func (p *Producer) wake() {
	if p.r.options.Fenced {
		shm.FenceFull()
	}
	if s := p.r.cursors.sleeps.Load(); s != p.sleepsSeen { // sync(sleeps): pairs with prepareSleep
		p.sleepsSeen = s
		p.ring()
	}
	if p.r.guests != nil {
		if s := p.r.guests.sleeps.Load(); s != p.guestsSeen { // sync(sleeps): pairs with prepareSleep
			p.guestsSeen = s
			p.ring()
		}
	}
}

// ring rings the doorbell: first the value, then the wake, so that who is just
// about to sleep does not.
func (p *Producer) ring() {
	d := &p.r.log.doorbell
	d.Add(1) // sync(doorbell): pairs with prepareSleep
	shm.FutexWake(d, allWaiters)
	add(&p.block.stats.wakes, 1)
}

// wakePending wakes publishers that may wait for the claim that just ended.
func (p *Producer) wakePending() {
	if s := p.r.log.spaceSleeps.Load(); s != p.spaceSeen { // sync(spaceSleeps): pairs with waitForSpace
		p.spaceSeen = s
		d := &p.r.log.pendingDoorbell
		d.Add(1) // sync(pendingDoorbell): pairs with waitForSpace
		shm.FutexWake(d, allWaiters)
	}
}

// allWaiters wakes everybody who waits on a futex.
const allWaiters = 1<<31 - 1
