//go:build linux

package bench

import (
	"runtime"
	"testing"
	"time"
)

// idle is a mechanism that does nothing.
type idle struct{}

func (idle) send(w *writer, n int) error {
	w.number += uint64(n)
	return nil
}

func ownMeter() meter { return meter{cpu: ownTime(), switches: ownSwitches()} }

// TestPacingIsNotTheMechanisms paces a mechanism that does nothing, and finds
// nearly all that was used in the waits.
func TestPacingIsNotTheMechanisms(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const count = 40
	a := &actor{spec: spec{Cell: Cell{Rate: 200}, Clock: newClock()}, place: &place{}, out: idle{}, writer: newWriter(64, 0)}
	before := ownMeter()
	if err := a.pace(count, true); err != nil {
		t.Fatal(err)
	}
	used := ownMeter().since(before)
	a.waited.cpu += a.Clock.nanos(a.spun)
	rest := used.since(a.waited)
	if a.waited.switches < 1 || a.waited.cpu <= 0 {
		t.Fatalf("used %+v for %d messages, %+v in waits: it did not sleep", used, count, a.waited)
	}
	if rest.switches > used.switches/2 || rest.cpu > used.cpu/2 {
		t.Errorf("used %+v, %+v of it in waits: %+v are left for nothing", used, a.waited, rest)
	}
}

// TestSleepingIsNoProcessorTime: a wait counts what it used, not for how long
// it was.
func TestSleepingIsNoProcessorTime(t *testing.T) {
	a := &actor{}
	const sleep = 5 * time.Millisecond
	a.wait(func() { nap(int64(sleep)) })
	if a.waited.cpu <= 0 || a.waited.cpu >= int64(sleep) || a.waited.switches < 1 {
		t.Errorf("a wait that slept for %v used %+v", sleep, a.waited)
	}
}

// TestBurstWaits: a publisher that waits for who reads its bursts leaves all of
// that out, and keeps what it spent publishing.
func TestBurstWaits(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	c := Cell{Mechanism: "shmbus", Pattern: Stream, Size: 64, Publishers: 1, Subscribers: 1, Mode: Burst, Capacity: 4 * kib}
	d := &desk{bytes: make([]byte, placeSize*3), actors: 2}
	a := &actor{spec: spec{Cell: c, Clock: newClock()}, desk: d, place: d.place(0), out: idle{}, writer: newWriter(64, 0)}
	const bursts = 50
	total := bursts * c.chunk()
	go func() {
		for n := c.chunk(); n <= total; n += c.chunk() {
			nap(int64(time.Millisecond))
			d.place(1).read.Store(uint64(n)) // sync(burst.read): pairs with burst
		}
	}()
	before := ownMeter()
	if err := a.burst(total, true); err != nil {
		t.Fatal(err)
	}
	used := ownMeter().since(before)
	if rest := used.since(a.waited); rest.cpu < 0 || rest.cpu > used.cpu/2 || rest.switches < 0 {
		t.Errorf("used %+v, %+v of it in waits", used, a.waited)
	}
}
