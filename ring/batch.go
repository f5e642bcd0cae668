package ring

import (
	"context"
	"fmt"
)

// A batch enters the ring once for many messages, and leaves it now and then
// all the same: others must not wait for long, and the caller may have given
// up. What it copies under the lock in one entry is bounded, whatever its size:
//
//	batchMost of the ring    others may enter, then the context is looked at
//	a large payload          goes between two entries, by a claim, as Publish does it
const (
	batchMost = 256 << 10 // bytes, headers included; some 30 µs
	batchRun  = 1 << 10   // short messages between two looks how far it is
)

// PublishBatch publishes payloads in order, entering the ring once for as many
// as fit, or for each 256 KiB of them, and returns how many were published.
// With wait it waits for space and goes on until ctx ends; without, it stops at
// [ErrFull]. It stops between two entries, too, when ctx has ended, or with
// [ErrClosed] after Interrupt. All carry the same publish time.
func (p *Producer) PublishBatch(ctx context.Context, payloads [][]byte, kind uint32, now int64, wait bool) (int, error) {
	needContext(ctx)
	for i := range payloads {
		if len(payloads[i]) > p.max {
			return 0, fmt.Errorf("message %d of the batch: %w", i, p.tooLarge(len(payloads[i])))
		}
	}
	done, counted := 0, false
	for done < len(payloads) {
		if wait {
			p.yieldTurn(ctx)
		}
		n, err := p.publishSome(ctx, payloads[done:], kind, now)
		if done += n; n > 0 {
			p.stopWaiting()
			if !counted {
				add(&p.block.stats.batches, 1)
				counted = true
			}
		}
		switch {
		case err == ErrFull && wait:
			err = p.waitForSpace(ctx, uint64(len(payloads[done])))
			counted = false
		case err == nil && done < len(payloads):
			err = p.over(ctx)
		}
		if err == ErrFull {
			add(&p.block.stats.refused, 1)
		}
		if err != nil {
			p.stopWaiting()
			return done, err
		}
	}
	return done, nil
}

// over returns why a call that could go on must not.
func (p *Producer) over(ctx context.Context) error {
	if p.stop.Load() != 0 { // sync(stop): pairs with interrupt
		return ErrClosed
	}
	return ctx.Err()
}

// publishSome publishes as many as fit in one entry, or one large message. Each
// record is committed as it is written, so that subscribers read while we
// write, and a death takes back no more than the one record whose commit word
// is missing.
//
// Cost a message of 64 bytes, by the short road: 5 stores beside the payload's,
// and a call for all of them together.
func (p *Producer) publishSome(ctx context.Context, payloads [][]byte, kind uint32, now int64) (int, error) {
	if len(payloads[0]) >= largeCopy {
		return p.publishAlone(ctx, payloads[0], kind, now)
	}
	if err := p.enter(ctx); err != nil {
		return 0, err
	}
	var bytes uint64
	var err error
	n, meta, began := 0, packMeta(kind, p.slot), p.tail
	for n < len(payloads) && p.tail-began < batchMost {
		if haveShortRoad {
			short, b := publishRun(p, payloads[n:min(n+batchRun, len(payloads))], meta, now)
			n, bytes = n+short, bytes+b
			if short == batchRun || n == len(payloads) {
				continue
			}
		}
		if len(payloads[n]) >= largeCopy {
			break
		}
		if err = p.publishNext(payloads[n], kind, now); err != nil {
			break
		}
		bytes += uint64(len(payloads[n]))
		n++
	}
	p.leave()
	if n > 0 {
		p.count(uint64(n), bytes)
		p.wake()
	}
	return n, err
}

// publishNext publishes the next of a batch. Inside the lock.
func (p *Producer) publishNext(payload []byte, kind uint32, now int64) error {
	p.expect(uint64(len(payload)))
	rec, commit, err := p.write(payload, kind, now)
	if err == nil {
		rec.commit.Store(uint64(commit)) // sync(commit): pairs with Take
	}
	return err
}

// publishAlone publishes a large message of a batch: it is copied outside the
// lock. It does not wait for space.
func (p *Producer) publishAlone(ctx context.Context, payload []byte, kind uint32, now int64) (int, error) {
	c, err := p.claimNow(ctx, uint64(len(payload)), kind, now)
	if err != nil {
		return 0, err
	}
	c.CopyIn(payload)
	if err := c.Commit(); err != nil {
		return 0, err
	}
	return 1, nil
}
