package bench

import (
	"time"

	"github.com/shmbus/shmbus/shm"
)

// clock is the one all actors of a run read: the processor's counter where it
// is a clock, CLOCK_MONOTONIC otherwise.
type clock struct {
	TSC   bool
	Scale shm.TSCScale
}

// newClock calibrates; it takes a moment.
func newClock() clock {
	if !shm.TSCUsable() {
		return clock{}
	}
	return clock{TSC: true, Scale: shm.CalibrateTSC(50 * time.Millisecond)}
}

// ticks reads the clock.
func (c *clock) ticks() uint64 {
	if c.TSC {
		return shm.TSC()
	}
	return uint64(shm.Now())
}

// nanos is how long a number of ticks is.
func (c *clock) nanos(ticks uint64) int64 {
	if c.TSC {
		return c.Scale.Span(ticks)
	}
	return int64(ticks)
}

// span is how many ticks a time is.
func (c *clock) span(nanos int64) uint64 {
	if c.TSC {
		return c.Scale.Ticks(nanos)
	}
	return uint64(nanos)
}
