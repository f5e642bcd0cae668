package ring

import (
	"context"
	"runtime"

	"github.com/shmbus/shmbus/internal/trick"
	"github.com/shmbus/shmbus/shm"
)

// Wait blocks until Next may find something, by the consumer's wait strategy:
// nil then, or ctx's error, or [ErrClosed]. Goroutines that sleep share the
// parker pk; nil means one of the consumer's own.
func (c *Consumer) Wait(ctx context.Context, pk *Parker) error {
	c.Release()
	if c.due() {
		return nil
	}
	if c.stop.Load() != 0 {
		return ErrClosed
	}
	c.backOff()
	var began int64
	switch c.options.Wait {
	case Spin:
		return c.spin(ctx)
	case Adaptive:
		began = shm.Now()
		if c.spinBriefly(began) {
			return nil
		}
	}
	if pk == nil {
		if pk = c.parker.Load(); pk == nil {
			pk = NewParker()
		}
	}
	// Before the parker looks at stop: an Interrupt that misses it here has
	// set stop before.
	c.parker.Store(pk) // sync(parker): pairs with Interrupt
	err := c.park(ctx, pk)
	if c.options.Wait == Adaptive {
		c.spins.slept(shm.Now() - began)
	}
	return err
}

// due reports whether a wait is over: there is something to read, or, where
// that is waited for, there will be nothing more. The latter must be looked at
// behind the announcement too: the last publisher may leave between a look
// before and the reading of the doorbell.
func (c *Consumer) due() bool {
	return c.ready() || (c.options.UntilDrained || c.r.Ended()) && c.Drained()
}

// overdue is due for who sleeps: nothing will come in a ring that is given up.
func (c *Consumer) overdue() bool { return c.due() || c.r.condemned() }

// spin looks until there is something. On a single processor it yields, or
// nobody could bring anything.
func (c *Consumer) spin(ctx context.Context) error {
	for n := 1; ; n++ {
		// At least one: a line that is asked for again as soon as it is gone
		// comes back half written, and the publisher has to fetch it once more.
		shm.Pause(max(c.pauses, 1))
		if c.ready() || n%16 == 0 && c.due() {
			return nil
		}
		c.pauses /= 2 // what came in a stream has come to an end
		if n%256 == 0 {
			if c.stop.Load() != 0 {
				return ErrClosed
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			if c.r.condemned() {
				return c.fail(errCondemned)
			}
			if !spinning {
				runtime.Gosched()
			}
		}
	}
}

// backOff learns how long to pause before looking again. A consumer at the
// publisher's heels takes each line while it is being written, and costs both
// of them a transfer from cache to cache a line; one that stays away for
// thousands of messages finds them where reading is cheap, and the publisher
// writes where nobody looks. So as long as messages come in a stream, several
// millions a second, the pauses grow. When one came at a time, or few for so
// long a pause, they shrink, and with every look that finds nothing (spin):
// whoever sends now and then waits for none of this.
func (c *Consumer) backOff() {
	brought := c.stats.Delivered - c.deliveredAtWait
	c.deliveredAtWait = c.stats.Delivered
	if !trick.Pauses {
		return
	}
	switch {
	case brought == 1, brought < uint64(c.pauses)/8:
		c.pauses /= 2
	case brought > 8 && brought >= uint64(c.pauses)/4:
		c.pauses = min(2*c.pauses+1, maxPauses)
	}
}

// maxPauses is some 25 µs: the longest that a message of a stream, or the first
// after its end, may wait for this. With four times as many a stream is about
// a fiftieth faster.
const maxPauses = 1024

// prepareSleep announces that we are about to sleep; what is due must be looked
// at behind it. The order matters: the doorbell as it is, then the
// announcement, then the barrier, then the look; see wake.
func (c *Consumer) prepareSleep() {
	if c.waiter == nil {
		c.waiter = &Waiter{Words: []shm.Wait{{Word: &c.r.log.doorbell}}, Ready: c.overdue, Cancel: c.stop}
	}
	c.waiter.Words[0].Value = c.r.log.doorbell.Load() // sync(doorbell): prepareSleep, pairs with ring
	c.header.sleeps.Add(1)                            // sync(sleeps): prepareSleep, pairs with wake
	_ = c.r.barrier()                                 // refused: the bounded wait looks again
}

// park sleeps until the doorbell rings.
func (c *Consumer) park(ctx context.Context, pk *Parker) error {
	c.prepareSleep()
	if c.due() {
		return nil
	}
	if c.r.condemned() {
		return c.fail(errCondemned)
	}
	c.stats.Parks++
	c.flush()
	err := pk.Wait(ctx, c.waiter)
	c.stats.WakeUps++
	return err
}

// interrupt sets stop and wakes whoever sleeps with it in pk, which is nil if
// nobody ever did.
func interrupt(pk *Parker, stop *shm.Word32) {
	stop.Store(1) // sync(stop): pairs with Wait, blockedBy
	if pk != nil {
		pk.Interrupt(stop)
	}
}
