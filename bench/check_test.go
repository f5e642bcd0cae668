//go:build linux

package bench

import (
	"errors"
	"testing"

	"github.com/shmbus/shmbus/shm"
)

// cheats are ways to copy less than a message, from the second lap of the ring
// on: the first time the whole of it must be there.
var cheats = map[string]func(slot shm.Span, p []byte){
	"cheat-none": func(slot shm.Span, p []byte) { slot.CopyIn(0, p) },
	"cheat-ends": func(slot shm.Span, p []byte) {
		slot.CopyIn(0, p[:8])
		slot.CopyIn(uint64(len(p)-8), p[len(p)-8:])
	},
	"cheat-lines": func(slot shm.Span, p []byte) { // what a subscriber looks at in a measurement
		for off := 0; off < len(p); off += lineSize {
			slot.CopyIn(uint64(off), p[off:off+8])
		}
		slot.CopyIn(uint64(len(p)-8), p[len(p)-8:])
	},
	"cheat-last-but-one": func(slot shm.Span, p []byte) {
		slot.CopyIn(0, p[:len(p)-16])
		slot.CopyIn(uint64(len(p)-8), p[len(p)-8:])
	},
	"cheat-high": func(slot shm.Span, p []byte) { // torn words: the upper half stays
		slot.CopyIn(0, p[:8])
		for off := 8; off < len(p); off += 8 {
			slot.CopyIn(uint64(off), append(append([]byte{}, p[off:off+4]...), slot.Bytes(uint64(off+4), 4)...))
		}
		slot.CopyIn(uint64(len(p)-8), p[len(p)-8:])
	},
	"cheat-neighbour": func(slot shm.Span, p []byte) { // two words change places
		slot.CopyIn(0, p)
		slot.CopyIn(8, p[16:24])
		slot.CopyIn(16, p[8:16])
	},
}

func init() {
	for name := range cheats {
		mechanisms = append(mechanisms, traits{name: name, about: "for a test", patterns: anyOf, waits: spins, ring: true, extra: true})
		drivers[name] = driver{stageLimit, attachCheat}
	}
}

// cheatOutlet is limit-spsc's with another way to copy.
type cheatOutlet struct {
	*spsc
	copies func(slot shm.Span, p []byte)
	batch  bool
}

func attachCheat(a *actor) (outlet, inlet, error) {
	out, in, err := a.ends()
	if err != nil {
		return nil, nil, err
	}
	return &cheatOutlet{spsc: newSPSC(out, a, 1), copies: cheats[a.Cell.Mechanism]}, (*spscInlet)(newSPSC(in, a, 1)), nil
}

func (o *cheatOutlet) send(w *writer, n int) error {
	for n > 0 {
		messages := [][]byte{nil}
		if o.batch {
			messages = w.nextBatch(n)
		} else {
			messages[0] = w.next()
		}
		for _, p := range messages {
			o.one(p)
		}
		n -= len(messages)
	}
	return nil
}

func (o *cheatOutlet) one(p []byte) {
	for o.own-o.other > o.mask {
		o.pause()
		o.other = o.header.head.Load() // sync(spsc.head): pairs with spscInlet
	}
	slot := shm.NewSpan(o.data.Bytes(o.own&o.mask*o.slot, o.size))
	if o.own <= o.mask {
		slot.CopyIn(0, p)
	} else {
		o.copies(slot, p)
	}
	o.own++
	o.header.tail.Store(o.own) // sync(spsc.tail): pairs with spscInlet
}

// TestCheatsAreFound lets mechanisms between real processes copy only a part of
// each message.
func TestCheatsAreFound(t *testing.T) {
	for name := range cheats {
		for _, pattern := range []Pattern{Stream, RTT, Paced} {
			c := Cell{Mechanism: name, Pattern: pattern, Size: 192, Publishers: 1, Subscribers: 1, Wait: "spin", Capacity: 4 * kib}
			if pattern == Paced {
				c.Rate = 100_000
			}
			_, err := Run(t.Context(), Options{Cells: []Cell{c}, Rounds: 1, Count: 64, Program: program(t)})
			if found := errors.Is(err, ErrWrong); found != (name != "cheat-none") {
				t.Errorf("%v: got %v", c, err)
			}
		}
	}
}

// TestCheatsWithBatches is the same where the messages of a batch have buffers
// of their own, in one process; and what is published after the warm-up is
// what it always was.
func TestCheatsWithBatches(t *testing.T) {
	const size, warm, count = 320, 96, 96
	c := Cell{Mechanism: "limit-spsc", Pattern: Stream, Size: size, Publishers: 1, Subscribers: 1, Capacity: 16 * kib}
	for name, copies := range cheats {
		region := make([]byte, limitSize(c))
		a := &actor{spec: spec{Cell: c, Warm: warm, Count: count}, writer: newWriter(size, 0)}
		a.checker = a.newChecker()
		a.writer.makeBatch()
		out, in := &cheatOutlet{spsc: newSPSC(region, a, 1), copies: copies, batch: true}, (*spscInlet)(newSPSC(region, a, 1))
		pass := func(n int) {
			for ; n > 0; n -= batchSize {
				if err := errors.Join(out.send(a.writer, batchSize), in.receive(a.checker, batchSize)); err != nil {
					t.Fatal(err)
				}
			}
		}
		pass(warm)
		if found := errors.Is(a.checker.err, ErrWrong); found != (name != "cheat-none") {
			t.Errorf("%s: got %v", name, a.checker.err)
		}
		a.checker.settle()
		a.writer.settle()
		if name != "cheat-none" {
			continue
		}
		pass(count)
		want := expectedSum(c, amount{warm: warm, count: count})
		if a.checker.err != nil || a.checker.sum != want {
			t.Errorf("after the warm-up: summed up %#x, want %#x, %v", a.checker.sum, want, a.checker.err)
		}
		for i, p := range a.writer.batch {
			fresh := constant(size)
			if string(p[8:size-8]) != string(fresh[8:size-8]) {
				t.Errorf("buffer %d of the batch still differs from message to message", i)
			}
		}
	}
}

// TestContestEndsWithTheFirst: what a publisher does when a rival is through is
// no part of the contest.
func TestContestEndsWithTheFirst(t *testing.T) {
	const warm, count = 4, 8
	c := Cell{Mechanism: "shmbus", Pattern: Stream, Size: 64, Publishers: 2, Subscribers: 1}
	k := newChecker(c, amount{warm: warm, count: count}, &clock{})
	writers := []*writer{newWriter(c.Size, 0), newWriter(c.Size, 1)}
	take := func(publisher, n int) {
		for range n {
			k.take(writers[publisher].next())
		}
	}
	take(0, warm)
	take(1, warm)
	k.settle()
	for _, w := range writers {
		w.settle()
	}
	take(1, count/4)
	take(0, count)
	first := k.contest
	take(1, count-count/4)
	if k.err != nil || k.sum != expectedSum(c, amount{warm: warm, count: count}) {
		t.Fatalf("summed up %#x, %v", k.sum, k.err)
	}
	if k.contest != first || first.count != count+count/4 || first.share != 400_000 || first.end == 0 {
		t.Errorf("got %+v, want 2 of 10 messages, 0.4 of a fair share", k.contest)
	}
}

// TestLapsOfRealRings warms up more than one lap of small rings.
func TestLapsOfRealRings(t *testing.T) {
	run(t, Options{Rounds: 1, Count: 320, Cells: plan(t, Choice{
		Mechanisms: []string{"limit-spsc", "limit-spsc-batched", "shmbus", "shmbus-batch", "shmbus-claim", "shmbus-fenced", "shmbus-ring", "mutex"},
		Patterns:   []string{"stream"}, Sizes: []int{64, 120, 264}, Capacities: []uint64{4 * kib},
	})})
}

// TestWarmUpGoesRound: of what is quick, the warm-up is more than a lap.
func TestWarmUpGoesRound(t *testing.T) {
	for _, c := range []Cell{
		{Mechanism: "shmbus", Pattern: Stream, Size: 64, Publishers: 1},
		{Mechanism: "shmbus", Pattern: Stream, Size: 64 * kib, Publishers: 1},
		{Mechanism: "shmbus", Pattern: Stream, Size: 64, Publishers: 4},
		{Mechanism: "shmbus", Pattern: RTT, Size: 64, Publishers: 1},
	} {
		perSecond := 1.5e6
		if c.Size > kib {
			perSecond = 200_000
		}
		a := c.amountFor(perSecond, longest)
		if bytes := a.warm * c.Publishers * c.Size; uint64(bytes) < c.capacity()*9/8 {
			t.Errorf("%v: a warm-up of %d messages is %d bytes, and the ring has %d", c, a.warm, bytes, c.capacity())
		}
	}
	slow := Cell{Mechanism: "shmbus", Pattern: Paced, Size: 64, Publishers: 1, Rate: 1000}
	if a := slow.amountFor(0, longest); a.warm > a.count {
		t.Errorf("%v: %d messages of warm-up for %d", slow, a.warm, a.count)
	}
}
