package shm

import (
	"math"
	"sync/atomic"
	"time"
)

// calibrationRounds bounds the work done once per process to find the clock's base, about 20 µs.
const calibrationRounds = 64

// base ties Go's monotonic clock, which is quick to read but has no public zero, to CLOCK_MONOTONIC, which all
// processes share. It is set once, before main, and never changes.
var base = calibrate()

type clockBase struct {
	start time.Time // carries Go's monotonic reading
	nanos int64     // CLOCK_MONOTONIC at start
}

// Now returns CLOCK_MONOTONIC in nanoseconds. Values from different processes of one machine are comparable, to
// within a fraction of a microsecond each, unless a Linux time namespace shifts the clock of one of them. The clock
// never steps back within a process and does not count time in suspend. Does not block, makes no system call.
func Now() int64 {
	return base.nanos + int64(time.Since(base.start))
}

// WallOffset returns what to add to a value of Now to get wall time in nanoseconds since 1970 UTC. It changes when
// the wall clock is stepped or slewed and after a suspend: read it when the wall time is wanted, do not keep it.
//
// Two readings of the clocks never fit to the nanosecond, so it stays what it was until it is off by more than
// wallSlack: of two values of Now the later one is the later wall time too.
func WallOffset() int64 {
	now := time.Now()
	offset := now.UnixNano() - (base.nanos + int64(now.Sub(base.start)))
	if last := lastWallOffset.Load(); offset-last <= wallSlack && last-offset <= wallSlack { // sync(wall): pairs with the store below
		return last
	}
	lastWallOffset.Store(offset) // sync(wall): pairs with the load above
	return offset
}

// wallSlack is far above what lies between two clock readings, and below what anybody reads from a wall clock.
const wallSlack = int64(20 * time.Microsecond)

var lastWallOffset atomic.Int64

// calibrate brackets readings of CLOCK_MONOTONIC between readings of Go's clock. Both are the same clock at
// different zeros, so every bracket [after, before] holds the true distance, and so does their intersection.
func calibrate() clockBase {
	b := clockBase{start: time.Now()}
	low, high := int64(math.MinInt64), int64(math.MaxInt64)
	for range calibrationRounds {
		before := int64(time.Since(b.start))
		raw, ok := rawMonotonic()
		after := int64(time.Since(b.start))
		if !ok { // no shared clock here: comparable within this process only
			return clockBase{start: b.start, nanos: b.start.UnixNano()}
		}
		low, high = max(low, raw-after), min(high, raw-before)
	}
	b.nanos = low + (high-low)/2
	return b
}

// deadline returns the value of Now at which d will have passed; it does not overflow.
func deadline(d time.Duration) int64 {
	now := Now()
	if int64(d) > math.MaxInt64-now {
		return math.MaxInt64
	}
	return now + int64(d)
}
