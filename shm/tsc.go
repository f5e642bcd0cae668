package shm

import (
	"math/bits"
	"os"
	"strings"
	"sync"
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

// Ticks returns how many ticks a number of nanoseconds takes.
func (s TSCScale) Ticks(nanos int64) uint64 {
	high, low := uint64(nanos)>>32, uint64(nanos)<<32
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
	high, low := uint64(n1-n0)>>32, uint64(n1-n0)<<32
	multiplier, _ := bits.Div64(high, low, max(c1-c0, high+1))
	return TSCScale{Counter: c1, Nanos: n1, Multiplier: multiplier}
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
