package ring

import (
	"time"

	"github.com/shmbus/shmbus/shm"
)

// A Clock gives messages their publish times, stamps, and says when that was.
// The stamps of a ring are of one kind for its life: CLOCK_MONOTONIC
// nanoseconds, or values of the processor's counter, which costs its publishers
// less than half as much. 0 is no stamp.
//
// Every process that may use the counter (shm.TSCUsable) makes times of it by
// its own calibration, so that they are right in any time namespace and however
// long the ring lives. For the others, programs in other languages too, the
// host publishes a scale in the ring and renews it now and then:
//
//	host      other half of scale = counter, nanos, multiplier ; scales + 1
//	reader    n = scales ; scale[n&1] ; scales is still n, or again
//
// A host that dies in between leaves the last one.
type Clock struct {
	counter bool // stamps are of the counter
	own     bool // and this process may read it
	header  *cursorHeader
}

// Clock returns the clock of the ring. It reads the ring's memory where
// Foreign is true, and not otherwise.
func (r *Ring) Clock() Clock {
	return Clock{counter: r.options.Counter, own: r.options.Counter && shm.TSCUsable(), header: r.cursors}
}

// Now returns the stamp of what is published now. Cost: a reading of the
// counter, or of the clock.
func (c *Clock) Now() int64 {
	if c.own {
		return int64(shm.TSC())
	}
	return c.slowNow()
}

func (c *Clock) slowNow() int64 {
	now := shm.Now()
	if !c.counter {
		return now
	}
	s := c.header.readScale()
	if now < s.Nanos {
		return int64(s.Counter - s.Ticks(s.Nanos-now))
	}
	return int64(s.Counter + s.Ticks(now-s.Nanos))
}

// Counter reports whether stamps are values of a counter that this process may
// read: shm.TSCTime makes times of them.
func (c *Clock) Counter() bool { return c.own }

// Foreign reports whether stamps are values of a counter that this process may
// not read: only Time, while the ring is mapped, makes times of them.
func (c *Clock) Foreign() bool { return c.counter && !c.own }

// Time returns when that was, as shm.Now has it; 0 for no stamp.
func (c *Clock) Time(stamp int64) int64 {
	switch {
	case !c.counter || stamp == 0:
		return stamp
	case c.own:
		return shm.TSCTime(uint64(stamp))
	}
	s := c.header.readScale()
	return s.Time(uint64(stamp))
}

// since reports whether a stamp is not older than age. What has none is.
func (c *Clock) since(stamp int64, age time.Duration) bool {
	return stamp != 0 && c.Time(stamp) >= shm.Now()-int64(age)
}

// RefreshClock renews the scale by which those who may not read the counter
// make times of stamps. The host calls it now and then: the scale is off by as
// much as the clocks drift apart between two calls.
func (h *Host) RefreshClock() {
	if h.r.options.Counter && shm.TSCUsable() && h.r.cursors.readScale() != shm.ProcessTSCScale() {
		refreshClock(h.r.cursors)
	}
}

// refreshClock publishes the scale of this process. It has one caller at a
// time: the host.
func refreshClock(h *cursorHeader) {
	s := shm.ProcessTSCScale()
	n := h.scales.Load() // sync(scale): our own; pairs with readScale
	w := &h.scale[(n+1)&1]
	w.counter.Set(s.Counter)
	w.nanos.Set(uint64(s.Nanos))
	w.multiplier.Set(s.Multiplier)
	h.scales.Store(n + 1) // sync(scale): behind its words; pairs with readScale
}

// readScale returns the scale that the host published last.
func (h *cursorHeader) readScale() shm.TSCScale {
	for tries := 0; ; tries++ {
		n := h.scales.Load() // sync(scale): before its words; pairs with refreshClock
		w := &h.scale[n&1]
		s := shm.TSCScale{Counter: w.counter.Load(), Nanos: int64(w.nanos.Load()), Multiplier: max(w.multiplier.Load(), 1)}
		shm.FenceLoadLoad()
		if h.scales.Load() == n || tries > 100 { // no host renews it so often
			return s
		}
	}
}
