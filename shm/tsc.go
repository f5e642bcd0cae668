package shm

import (
	"math"
	"math/bits"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// clockSourceFile names the clock that the kernel keeps time by.
const clockSourceFile = "/sys/devices/system/clocksource/clocksource0/current_clocksource"

// TSCUsable reports whether the counter of [TSC] is a clock: it runs at one
// rate, also in sleep, and reads the same on every processor. We take the
// kernel's word for it, which tested it: it keeps its own time by it. Asked
// once per process; false where the answer cannot be had.
func TSCUsable() bool { return tscUsable() }

var tscUsable = sync.OnceValue(func() bool {
	b, err := os.ReadFile(clockSourceFile)
	return err == nil && tscClockSource != "" && strings.TrimSpace(string(b)) == tscClockSource
})

// TSCScale makes CLOCK_MONOTONIC nanoseconds of counter values, for all
// processes of the machine alike:
//
//	nanoseconds = Nanos + (counter - Counter) * Multiplier / 2^32
type TSCScale struct {
	Counter    uint64 // value of TSC at Nanos
	Nanos      int64  // value of Now then
	Multiplier uint64 // nanoseconds a tick, times 2^32
}

// Time returns the time, as [Now] has it, at which the counter was tsc, which
// may lie before the calibration.
func (s TSCScale) Time(tsc uint64) int64 {
	if d := int64(tsc - s.Counter); d < 0 {
		return s.Nanos - s.Span(uint64(-d))
	}
	return s.Nanos + s.Span(tsc-s.Counter)
}

// Span returns how many nanoseconds a number of ticks takes.
func (s TSCScale) Span(ticks uint64) int64 {
	high, low := bits.Mul64(ticks, s.Multiplier)
	return int64(high<<32 | low>>32)
}

// Ticks returns how many ticks a number of nanoseconds takes, rounded down.
func (s TSCScale) Ticks(nanos int64) uint64 {
	high, low := uint64(nanos)>>32, uint64(nanos)<<32
	if high >= s.Multiplier {
		return math.MaxUint64 // no counter is that quick
	}
	quotient, _ := bits.Div64(high, low, s.Multiplier)
	return quotient
}

// CalibrateTSC compares the counter with [Now] over about d and returns the
// scale. The error is the uncertainty of two comparisons, some 20 ns each,
// over d: 1 in 10^6 for 50 ms. It blocks for d.
func CalibrateTSC(d time.Duration) TSCScale {
	c0, n0 := compareClocks()
	for time.Duration(Now()-n0) < d {
		time.Sleep(max(d-time.Duration(Now()-n0), time.Microsecond))
	}
	c1, n1 := compareClocks()
	return TSCScale{Counter: c1, Nanos: n1, Multiplier: multiplierOf(TSCScale{Counter: c0, Nanos: n0}, c1, n1)}
}

// ProcessTSCScale returns the scale of this process: calibrated against [Now]
// over the life of the process so far, at least a millisecond, and again and
// again, so that what it says of now is off by a few microseconds at most. Of
// two values of the counter the later one is the later time, but where a new
// calibration comes between; it comes when the old one is off by more than
// tscSlack. Cost: a reading of the counter; now and then some microseconds.
func ProcessTSCScale() TSCScale {
	p := processScale.Load() // sync(tscScale): pairs with refineScale
	if p != nil && TSC() < p.due {
		return p.scale
	}
	return refineScale(p)
}

// TSCTime returns the time, as [Now] has it, at which the counter was tsc, by
// the scale of this process.
func TSCTime(tsc uint64) int64 { return ProcessTSCScale().Time(tsc) }

// calibration is a scale and what it was made from. It never changes.
type calibration struct {
	scale  TSCScale
	origin TSCScale // an earlier comparison of the clocks: Counter and Nanos
	due    uint64   // value of the counter from which to compare again
}

var (
	processScale  atomic.Pointer[calibration]
	processOrigin = compareAtStart()
)

func compareAtStart() TSCScale {
	counter, nanos := compareClocks()
	return TSCScale{Counter: counter, Nanos: nanos}
}

const (
	tscSlack    = int64(2 * time.Microsecond) // what a scale may be off before it is replaced
	tscShortest = int64(time.Millisecond)     // no calibration over less
	tscTrusted  = int64(time.Second)          // nor over less than this once there was one
	tscLongest  = int64(time.Second)          // between two looks
)

// refineScale compares the clocks and replaces the scale if that is off. After
// a suspend, which one of the clocks may count and the other not, they are
// apart by more than any calibration was wrong: then only the zero is new.
func refineScale(old *calibration) TSCScale {
	c := calibration{origin: processOrigin}
	if old != nil {
		c = *old
	}
	counter, nanos := compareClocks()
	for ; nanos-c.origin.Nanos < tscShortest && old == nil; counter, nanos = compareClocks() {
		time.Sleep(time.Duration(tscShortest - (nanos - c.origin.Nanos)))
	}
	life := nanos - c.origin.Nanos
	switch {
	case old == nil:
		c.scale = TSCScale{Counter: counter, Nanos: nanos, Multiplier: multiplierOf(c.origin, counter, nanos)}
	default:
		off := max(c.scale.Time(counter)-nanos, nanos-c.scale.Time(counter))
		if off <= tscSlack {
			break
		}
		if off > int64(100*time.Microsecond)+max(nanos-c.scale.Nanos, 0)/1000 {
			c.origin = TSCScale{Counter: counter, Nanos: nanos}
			life = 0
		}
		c.scale.Counter, c.scale.Nanos = counter, nanos
		if life >= tscTrusted {
			c.scale.Multiplier = multiplierOf(c.origin, counter, nanos)
		}
	}
	c.due = counter + c.scale.Ticks(min(max(life/8, tscShortest), tscLongest))
	processScale.Store(&c) // sync(tscScale): whoever is last wins, all are right; pairs with ProcessTSCScale
	return c.scale
}

// multiplierOf returns what a tick takes, by two comparisons of the clocks.
func multiplierOf(from TSCScale, counter uint64, nanos int64) uint64 {
	span := uint64(max(nanos-from.Nanos, 1))
	high, low := span>>32, span<<32
	multiplier, _ := bits.Div64(high, low, max(counter-from.Counter, high+1))
	return max(multiplier, 1)
}

// compareClocks reads both clocks at one instant: of several attempts the one
// whose readings of the counter, before and after, are closest together.
func compareClocks() (counter uint64, nanos int64) {
	best := ^uint64(0)
	for range calibrationRounds {
		before := TSC()
		n := Now()
		after := TSC()
		if d := after - before; d < best {
			best, counter, nanos = d, before+d/2, n
		}
	}
	return counter, nanos
}
