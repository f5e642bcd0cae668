package bus

import (
	"context"
	"runtime"
	"slices"

	"github.com/shmbus/shmbus/ring"
)

// A Claim is room in the ring for one message, to be filled in place and then
// committed or aborted. Its sequence is given when it is made, and subscribers
// wait at it: do not keep it open for long. Several may be open. Filling it
// needs no lock and may be left to another goroutine; Commit and Abort are
// calls of its publisher. A Claim keeps its publisher from being collected; if
// the process dies, the host aborts it.
type Claim struct {
	publisher *Publisher
	shared    *SharedPublisher // nil, or the one it was made by
	claim     ring.Claim
	bytes     []byte
}

// Claim claims room for a message of n bytes. A full ring is met as WhenFull
// says, except that [DropNewest] has nothing to drop yet and returns
// [ErrBackpressure] as [Fail] does. Errors as [Publisher.Publish].
func (p *Publisher) Claim(ctx context.Context, n int) (Claim, error) {
	needContext(ctx)
	c := p.c
	if !c.enter(inside) {
		return Claim{}, p.refused()
	}
	defer p.leave() // also when a context panics
	claim, err := ring.Claim{}, ctx.Err()
	if err == nil {
		if c.config.WhenFull == Block {
			claim, err = c.producer.Claim(ctx, n, c.kind, c.now())
		} else {
			claim, err = c.producer.TryClaim(n, c.kind, c.now())
			for again(ctx, &err) {
				claim, err = c.producer.TryClaim(n, c.kind, c.now())
			}
		}
	}
	return p.claimed(claim, err)
}

// TryClaim claims room for a message of n bytes if there is space now, and
// returns [ErrBackpressure] if there is not; see [Publisher.TryPublish].
func (p *Publisher) TryClaim(n int) (Claim, error) {
	c := p.c
	if !c.enter(inside) {
		return Claim{}, p.refused()
	}
	defer p.leave()
	claim, err := c.producer.TryClaim(n, c.kind, c.now())
	return p.claimed(claim, err)
}

// claimed returns what a call returns that made a claim or did not.
func (p *Publisher) claimed(claim ring.Claim, err error) (Claim, error) {
	if err != nil {
		return Claim{}, p.c.explain(err)
	}
	p.c.claims = append(p.c.claims, claim.Sequence())
	return Claim{publisher: p, claim: claim, bytes: claim.Bytes()}, nil
}

// Bytes returns the room, of the length asked for; nil once the claim is over.
// What it holds before it is written is unspecified.
func (c *Claim) Bytes() []byte { return c.bytes }

// CopyIn copies p to the beginning of the room by the copy routine that is best
// for its size, and returns how many bytes it copied: the length of the room at
// most, and nothing once the claim is over.
func (c *Claim) CopyIn(p []byte) int {
	if c.bytes == nil {
		return 0
	}
	n := c.claim.CopyIn(p)
	runtime.KeepAlive(c.publisher)
	return n
}

// Sequence returns the sequence the message has.
func (c *Claim) Sequence() uint64 { return c.claim.Sequence() }

// Commit publishes the message; it never blocks, and it works on a closed
// publisher too. The bytes are no longer the caller's, whatever it returns.
// Errors: [ErrClosed] if the claim, or a copy of it, is over already,
// [ErrOrphaned] if the host aborted it: it is over then.
func (c *Claim) Commit() error { return c.end(true) }

// Abort gives the room up; subscribers step over it, and its sequence is never
// seen. It never blocks. Errors as Commit.
func (c *Claim) Abort() error { return c.end(false) }

func (c *Claim) end(commit bool) error {
	if c.publisher == nil {
		return ErrClosed
	}
	if c.shared != nil {
		c.shared.lockUrgent(context.Background())
		defer c.shared.unlock()
	}
	p := c.publisher.c
	// Closed or not: while a claim is open the memory is there.
	p.enter(inside)
	err := error(ErrClosed)
	switch {
	case !p.strike(c.Sequence()): // a copy of this claim has ended it
	case commit:
		err = c.claim.Commit()
	default:
		err = c.claim.Abort()
	}
	p.exit(p.rest())
	runtime.KeepAlive(c.publisher)
	c.publisher, c.bytes = nil, nil
	return translate(err)
}

// strike strikes out a claim, which is over now, however it ends; false if it
// was over already. Most are the oldest.
func (c *publisher) strike(sequence uint64) bool {
	i := slices.Index(c.claims, sequence)
	if i >= 0 {
		c.claims = slices.Delete(c.claims, i, i+1)
	}
	return i >= 0
}
