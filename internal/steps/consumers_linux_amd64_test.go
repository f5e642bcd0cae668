package steps

import (
	"fmt"

	"github.com/shmbus/shmbus/ring"
)

func callNext(n int) func(v *victim) {
	return func(v *victim) {
		for range n {
			if _, err := v.c.Next(); err != nil {
				must(fmt.Errorf("Next: %w", err))
			}
		}
	}
}

func callNextEmpty(v *victim) {
	if _, err := v.c.Next(); err != ring.ErrEmpty {
		must(fmt.Errorf("Next: %v, want nothing", err))
	}
}

func callPoll(v *victim) {
	_, err := v.c.Poll(func(m ring.Record, last bool) error { return nil }, 5)
	must(err)
}

// callWait waits and reads.
func callWait(v *victim) {
	must(v.c.Wait(background, nil))
	callNext(1)(v)
}

// callClose is what closing a subscriber does to the ring.
func callClose(v *victim) {
	v.c.Interrupt()
	v.c.Release()
	must(v.unmap())
}

// published makes a survivor publish n messages of size bytes.
func published(n, size int) func(s *scene) {
	return func(s *scene) { s.publish(s.survivor, survivorSlot, n, size) }
}

// aborted puts a claim that was given up and one that was not before a message.
func aborted(s *scene) {
	for i := range 3 {
		c, err := s.survivor.TryClaim(50, 0, 1)
		s.must(err)
		if i != 1 {
			s.must(c.Abort())
			continue
		}
		fillMessage(c.Bytes(), survivorSlot, s.sent[survivorSlot])
		s.must(c.Commit())
		s.sent[survivorSlot]++
	}
}

// overPad lets the reading go over the end of the ring.
func overPad(s *scene) {
	for s.ring.Stat().Position < capacity-96 {
		s.publish(s.survivor, survivorSlot, 1, 96-headerSize)
	}
	s.publish(s.survivor, survivorSlot, 4, 200)
}

// roomWanted fills the ring before a reader that reads nothing, and lets a
// publisher wait for room.
func roomWanted(s *scene) {
	s.fullBut(600)
	s.drain()
	s.waitForRoom(700)
}

// overrun laps those whom nobody waits for.
func overrun(s *scene) {
	for s.ring.Stat().Position < 2*capacity {
		s.publish(s.survivor, survivorSlot, 1, 300)
		s.drain()
	}
}

func subscriber(prepare, call func(v *victim)) part { return part{"subscriber", prepare, call} }
func lossy(prepare, call func(v *victim)) part      { return part{"lossy", prepare, call} }

// consuming is a subscriber.
var consuming = []*scenario{
	{name: "next", victim: subscriber(nil, callNext(2)), begin: published(3, 100)},
	{name: "next-fenced", fenced: true, victim: subscriber(nil, callNext(2)), begin: published(3, 100)},
	{name: "next-empty", victim: subscriber(nil, callNextEmpty)},
	{name: "next-releases", victim: subscriber(nil, callNext(4)), begin: published(5, 800)},
	{name: "next-aborted", victim: subscriber(nil, callNext(1)), begin: aborted},
	{name: "next-over-pad", start: 15<<10 + 512, victim: subscriber(nil, callNext(7)), begin: overPad},
	{name: "next-makes-room", victim: subscriber(nil, callNext(10)), begin: roomWanted},
	{name: "next-makes-room-fenced", fenced: true, victim: subscriber(nil, callNext(10)), begin: roomWanted},
	{name: "poll", victim: subscriber(nil, callPoll), begin: published(7, 100)},
	{name: "poll-makes-room", victim: subscriber(nil, callPoll), begin: roomWanted},
	{name: "park", wait: ring.Park, victim: subscriber(nil, callWait), acts: []func(*scene){published(1, 40)}},
	{name: "park-fenced", wait: ring.Park, fenced: true, victim: subscriber(nil, callWait), acts: []func(*scene){published(1, 40)}},
	{name: "park-for-ever", wait: ring.Park, victim: subscriber(nil, callWait)},
	{name: "wait-adaptive", victim: subscriber(nil, callWait), acts: []func(*scene){published(1, 40)}},
	{name: "close", victim: subscriber(func(v *victim) { v.pause(); callNext(2)(v) }, callClose), pauses: []func(*scene){published(3, 100)}},
	{name: "lossy-next", victim: lossy(nil, callNext(2)), begin: published(3, 100)},
	{name: "lossy-overrun", victim: lossy(nil, callNext(2)), begin: overrun},
	{name: "lossy-park", wait: ring.Park, victim: lossy(func(v *victim) { v.pause(); callNext(1)(v) }, callWait), pauses: []func(*scene){published(1, 40)}, acts: []func(*scene){published(1, 40)}},
}
