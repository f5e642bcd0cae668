package shm

import (
	"fmt"
	"math"
	"os"
	"strconv"
	"testing"
	"time"
)

// clockSlack is how far Now may be off CLOCK_MONOTONIC in these tests. The base is found far more precisely; the rest
// is room for a machine that stops the calibration at every step.
const clockSlack = int64(time.Millisecond)

func TestNowIsClockMonotonic(t *testing.T) {
	for range 1000 {
		before, ok := rawMonotonic()
		now := Now()
		after, _ := rawMonotonic()
		if !ok || now < before-clockSlack || now > after+clockSlack {
			t.Fatalf("got %d between readings %d and %d of CLOCK_MONOTONIC", now, before, after)
		}
	}
}

func TestNowDoesNotStepBack(t *testing.T) {
	last := Now()
	for range 100_000 {
		now := Now()
		if now < last {
			t.Fatalf("got %d after %d", now, last)
		}
		last = now
	}
}

func TestClockChild(t *testing.T) {
	onlyAsChild(t)
	fmt.Fprintf(os.Stdout, "\nnow %d\n", Now())
}

func TestNowIsComparableBetweenProcesses(t *testing.T) {
	before := Now()
	child := startChild(t, "TestClockChild", nil)
	theirs, err := strconv.ParseInt(child.expect("now "), 10, 64)
	after := Now()
	if err != nil {
		t.Fatal(err)
	}
	child.succeed()
	if theirs < before-clockSlack || theirs > after+clockSlack {
		t.Errorf("another process reads %d, between our %d and %d", theirs, before, after)
	}
}

func TestWallOffset(t *testing.T) {
	before := time.Now().Round(0)
	wall := time.Unix(0, Now()+WallOffset())
	after := time.Now().Round(0)
	const slack = time.Second // the wall clock may be stepped meanwhile
	if wall.Before(before.Add(-slack)) || wall.After(after.Add(slack)) {
		t.Errorf("got %v, want it between %v and %v", wall, before, after)
	}
}

// TestWallOffsetKeepsOrder: messages of one batch do not change places.
func TestWallOffsetKeepsOrder(t *testing.T) {
	first, changes := WallOffset(), 0
	for range 1000 {
		if offset := WallOffset(); offset != first {
			first = offset
			changes++
		}
	}
	if changes > 100 { // a preempted reading may change it; every reading would
		t.Errorf("the offset changed %d times in 1000 readings", changes)
	}
}

func TestDeadlineDoesNotOverflow(t *testing.T) {
	for _, d := range []time.Duration{math.MaxInt64, math.MaxInt64 - 1} {
		if got := deadline(d); got != math.MaxInt64 {
			t.Errorf("%d: got %d, want the largest value", d, got)
		}
	}
	if now, got := Now(), deadline(time.Hour); got < now+int64(time.Hour) {
		t.Errorf("got %d, want at least an hour after %d", got, now)
	}
}

func TestNowAllocatesNothing(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { Now() }); n != 0 {
		t.Errorf("got %v allocations, want none", n)
	}
}

func BenchmarkNow(b *testing.B) {
	for b.Loop() {
		Now()
	}
}
