package ring

import (
	"runtime"

	"github.com/shmbus/shmbus/shm"
)

// A spinBudget learns how long the next message is likely to be away, and says
// by that whether to look for it before going to sleep. Going to sleep and
// being woken costs both sides some 50 µs of processor time and latency in
// all; looking for as long as that costs at most twice what the better of the
// two would have. Where messages are further apart than that, looking is only
// a cost: then it is tried once in a while, in case that has changed.
//
//	a look found something      the estimate falls by a quarter; no clock is read
//	the sleep was this long     the estimate moves half the way to it, less what being woken takes
type spinBudget struct {
	gap     int64 // nanoseconds that a message is likely to be away when we begin to wait
	skipped int   // waits since we last looked
}

const (
	spinAtMost = 50_000 // ns, of one wait; and the longest gap for which we look at all
	wakeTakes  = 25_000 // ns from the doorbell to our first look, about
	mostGap    = 8 * spinAtMost
	retrySpin  = 32 // waits after which one spin is tried though none is likely to pay
	clockEvery = 16 // looks for one at the clock
)

// pays says whether to look before going to sleep.
func (b *spinBudget) pays() bool {
	if b.gap <= spinAtMost {
		return true
	}
	if b.skipped++; b.skipped < retrySpin {
		return false
	}
	return true
}

// found notes that looking brought something.
func (b *spinBudget) found() {
	if b.skipped >= retrySpin {
		b.gap = spinAtMost // the first that paid for long: times have changed
	}
	b.skipped = 0
	b.gap -= b.gap / 4
}

// slept notes that a wait, looking included, took so many nanoseconds.
func (b *spinBudget) slept(d int64) {
	if b.skipped >= retrySpin {
		b.skipped = 0
	}
	b.gap += (min(max(d-wakeTakes, 0), mostGap) - b.gap) / 2
}

// lookTrials learn whether looking for space before going to sleep pays. It
// never does where the subscriber needs the processor that the looking takes;
// how long the sleep was does not tell, since a wake-up on the own processor
// is quick.
type lookTrials struct {
	misses  int
	skipped int
}

const (
	mostMisses = 8 // of which one look that paid makes up for three
	lookPaid   = 3
)

func (t *lookTrials) pays() bool {
	if t.misses < mostMisses {
		return true
	}
	if t.skipped++; t.skipped < retrySpin {
		return false
	}
	t.skipped = 0
	return true
}

func (t *lookTrials) found()  { t.misses = max(t.misses-lookPaid, 0) }
func (t *lookTrials) missed() { t.misses = min(t.misses+1, mostMisses) }

// spinBriefly looks for a while, if that is likely to pay, and reports whether
// there is something.
func (c *Consumer) spinBriefly(began int64) bool {
	if !spinning || !c.spins.pays() {
		return false
	}
	c.stats.Spins++
	for n := 1; ; n++ {
		shm.Pause(max(min(c.pauses, maxPauses/2), 1))
		if c.ready() {
			c.spins.found()
			return true
		}
		c.pauses /= 2
		if n%clockEvery == 0 && shm.Now()-began > spinAtMost {
			break
		}
	}
	// Whoever would bring something may be waiting for this very processor.
	runtime.Gosched()
	return c.ready()
}
