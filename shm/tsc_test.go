package shm

import (
	"math"
	"testing"
	"time"
)

func TestTSCScaleArithmetic(t *testing.T) {
	// 2.5 GHz: 0.4 ns a tick
	s := TSCScale{Counter: 1 << 60, Nanos: 1e15, Multiplier: uint64(math.Round(0.4 * (1 << 32)))}
	for _, tt := range []struct {
		tsc  uint64
		want int64
	}{
		{s.Counter, 1e15},
		{s.Counter + 2_500_000_000, 1e15 + 1e9},
		{s.Counter - 2_500_000_000, 1e15 - 1e9},
		{s.Counter + 2_500_000_000*86400*365, 1e15 + 1e9*86400*365},
	} {
		// The multiplier is exact to 2^-33 ns a tick.
		slack := int64(float64(tt.tsc-s.Counter)/(1<<33)) + 1
		if tt.tsc < s.Counter {
			slack = 2
		}
		if got := s.Time(tt.tsc); got < tt.want-slack || got > tt.want+slack {
			t.Errorf("Time(Counter%+d): got %d, want %d ± %d", int64(tt.tsc-s.Counter), got, tt.want, slack)
		}
	}
	for _, nanos := range []int64{0, 1, 999, 1e9, 1e15} {
		if got := s.Span(s.Ticks(nanos)); got > nanos || got < nanos-1 {
			t.Errorf("Span(Ticks(%d)): got %d", nanos, got)
		}
	}
}

func TestTSCKeepsTime(t *testing.T) {
	if !TSCUsable() {
		t.Skip("the kernel does not use the counter here")
	}
	s := CalibrateTSC(20 * time.Millisecond)
	for range 1000 {
		before := Now()
		got := s.Time(TSC())
		after := Now()
		if got < before-clockSlackTSC || got > after+clockSlackTSC {
			t.Fatalf("the counter says %d, the clock %d and %d", got, before, after)
		}
	}
}

// clockSlackTSC is far above the error of a calibration and far below a wrong
// rate or a wrong zero; the rest is room for a loaded machine.
const clockSlackTSC = int64(time.Millisecond)

func TestTSCNeverStandsStill(t *testing.T) {
	first := TSC()
	for range 1 << 20 {
		if TSC() != first {
			return
		}
	}
	t.Error("the counter does not move")
}

func BenchmarkTSC(b *testing.B) {
	for b.Loop() {
		TSC()
	}
}

// TestProcessScale: what it says of now stays right, however often it is
// asked, and of two values the later one is the later time.
func TestProcessScale(t *testing.T) {
	if !TSCUsable() {
		t.Skip("the kernel does not use the counter here")
	}
	last, back := int64(0), 0
	for range 100_000 {
		before := Now()
		got := TSCTime(TSC())
		after := Now()
		if got < before-clockSlackTSC || got > after+clockSlackTSC {
			t.Fatalf("the counter says %d, the clock %d and %d", got, before, after)
		}
		if got < last {
			back++
		}
		last = got
	}
	if back > 10 { // a new calibration may step back
		t.Errorf("the time stepped back %d times", back)
	}
}

// TestRefineScale: a scale that is off is replaced,
// and a jump of one clock against the other does not spoil the rate.
func TestRefineScale(t *testing.T) {
	if !TSCUsable() {
		t.Skip("the kernel does not use the counter here")
	}
	defer processScale.Store(processScale.Load())
	right := CalibrateTSC(20 * time.Millisecond)
	origin := TSCScale{Counter: right.Counter - right.Ticks(1e9), Nanos: right.Nanos - 1e9}
	differs := func(s TSCScale) int64 { c, n := compareClocks(); return max(s.Time(c)-n, n-s.Time(c)) }

	off := right
	off.Nanos += 10 * tscSlack
	if got := refineScale(&calibration{scale: off, origin: origin}); got == off || differs(got) > clockSlackTSC {
		t.Errorf("off by %d ns: %+v, was %+v", 10*tscSlack, got, off)
	}
	jumped := right
	jumped.Nanos += 3600 * 1e9
	got := refineScale(&calibration{scale: jumped, origin: origin})
	if got.Multiplier != right.Multiplier || differs(got) > clockSlackTSC {
		t.Errorf("after a jump of an hour: %+v, was %+v", got, jumped)
	}
	if c := processScale.Load(); c.origin.Nanos <= right.Nanos {
		t.Errorf("calibrates over the jump: from %d", c.origin.Nanos)
	}
}
