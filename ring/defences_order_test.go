package ring

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/shmbus/shmbus/shm"
)

// takeBias makes p the biased owner, without the 64 entries it takes.
func takeBias(t testing.TB, p *Producer) {
	t.Helper()
	if err := p.enterSlow(context.Background()); err != nil {
		t.Error(err)
		return
	}
	p.uncontended, p.alone = true, rebiasAfter
	p.r.log.lastEntrant.Store(p.identity)
	p.leave()
}

// hotRoads are the ways in which the owner of the bias publishes without a
// call, where nothing is due.
var hotRoads = map[string]func(p *Producer, payload []byte) error{
	"Publish": func(p *Producer, payload []byte) error {
		_, err := p.Publish(context.Background(), payload, 0, 0)
		return err
	},
	"PublishBatch": func(p *Producer, payload []byte) error {
		_, err := p.PublishBatch(context.Background(), [][]byte{payload}, 0, 0, true)
		return err
	},
}

// TestHotRoads: what is written out there is as careful as the long way.
func TestHotRoads(t *testing.T) {
	for name, publish := range hotRoads {
		room := newHeapRoom(t, Options{Capacity: 1 << 20})
		p, q, c := room.local(0), room.local(1), room.localConsumer(0, SubscriberSpec{})
		number := 0
		step := func(p *Producer) {
			t.Helper()
			if err := publish(p, numbered(number, 40)); err != nil {
				t.Fatal(err)
			}
			number++
		}
		takeBias(t, p)
		step(p) // now nothing is due for 1/64 of the ring
		if before(p.soft, p.tail+extentOf(40)+recordHeader) || room.ring.log.bias.Load() != p.owned {
			t.Fatalf("%s: this is not the scene that was meant: %+v", name, room.ring.Stat())
		}
		next := room.ring.at(p.tail + extentOf(40))
		next.commit.Store(uint64(packCommit(stateCommitted, p.tail+extentOf(40)-1<<20, 8))) // of the lap before
		room.ring.cursors.sleeps.Add(1)
		bell := room.ring.log.doorbell.Load()
		step(p)
		if w := next.commit.Load(); w != 0 {
			t.Errorf("%s: the next header is %#x", name, w)
		}
		if room.ring.log.doorbell.Load() == bell {
			t.Errorf("%s: who sleeps was not woken", name)
		}
		step(q) // which takes the bias away
		step(p)
		for i := range number {
			if m, err := c.Next(); err != nil || string(m.Payload) != string(numbered(i, 40)) {
				t.Fatalf("%s, message %d: %v", name, i, err)
			}
		}
	}
}

// TestHotRoadsExclude: two publishers on these roads, each of which takes the
// bias whenever it does not have it. Two that are inside together give the same
// sequence to two messages.
func TestHotRoadsExclude(t *testing.T) {
	entries := 300_000
	if raceEnabled || runtime.NumCPU() < 2 {
		entries = 5_000
	}
	if !shm.HaveMembarrier() {
		t.Skip("without membarrier nobody goes there")
	}
	room := newHeapRoom(t, Options{Capacity: 1 << 20})
	given := make([]atomic.Uint32, 2*entries)
	var done sync.WaitGroup
	for _, p := range []*Producer{room.local(0), room.local(1)} {
		done.Go(func() {
			payload := numbered(p.slot, 64)
			for i := range entries {
				if room.ring.log.bias.Load() != p.owned && i%8 == 0 {
					takeBias(t, p)
				}
				seq, err := p.Publish(context.Background(), payload, 0, 0)
				if err != nil {
					t.Error(err)
				} else if !given[seq].CompareAndSwap(0, 1) {
					t.Errorf("sequence %d was given twice", seq)
				}
				if t.Failed() {
					return
				}
			}
		})
	}
	done.Wait()
}

// duel lets two do one thing each at the same moment, many times over, each
// time a little earlier or later than the other, and looks at what came of it.
func duel(rounds int, before, a, b, after func()) {
	var turn, ready [2]atomic.Int64
	other := make(chan struct{})
	meet := func(me int, n int64, delay int) {
		ready[me].Store(n)
		for ready[1-me].Load() < n {
			if !spinning {
				runtime.Gosched()
			}
		}
		for range delay {
			spin.Add(1)
		}
	}
	go func() {
		defer close(other)
		for n := int64(1); n <= int64(rounds); n++ {
			for turn[0].Load() < n {
				if !spinning {
					runtime.Gosched()
				}
			}
			meet(1, n, int(n%13))
			b()
			turn[1].Store(n)
		}
	}()
	for n := int64(1); n <= int64(rounds); n++ {
		before()
		turn[0].Store(n)
		meet(0, n, int(n%17))
		a()
		for turn[1].Load() < n {
			if !spinning {
				runtime.Gosched()
			}
		}
		after()
	}
	<-other
}

// spin is what waiting for a moment is counted in.
var spin atomic.Uint64

func duelRounds() int {
	if raceEnabled || runtime.NumCPU() < 2 {
		return 2_000
	}
	return 20_000
}

// TestNobodySleepsThroughAMessage: either the sleeper, about to sleep, sees the
// message, or its publisher sees the sleeper. Each stores one word and loads
// the other's, and without the barrier both may find the old ones.
func TestNobodySleepsThroughAMessage(t *testing.T) {
	modes(t, func(t *testing.T, room *room) {
		p, c := room.local(0), room.localConsumer(0, SubscriberSpec{})
		takeBias(t, p)
		var rung, seen bool
		var missed int
		duel(duelRounds(), func() {}, func() {
			bell := room.ring.log.doorbell.Load()
			if _, err := p.Publish(context.Background(), nil, 0, 0); err != nil {
				t.Error(err)
			}
			rung = room.ring.log.doorbell.Load() != bell
		}, func() {
			c.prepareSleep()
			seen = c.due()
		}, func() {
			if !rung && !seen {
				missed++
			}
			if _, err := c.Next(); err != nil {
				t.Error(err)
			}
			c.Release()
		})
		if missed > 0 {
			t.Errorf("%d times neither saw the other", missed)
		}
	})
}

// TestNobodySleepsThroughRoom: the same between a publisher that lacks room and
// the subscriber that makes some.
func TestNobodySleepsThroughRoom(t *testing.T) {
	modes(t, func(t *testing.T, room *room) {
		p, c := room.local(0), room.localConsumer(0, SubscriberSpec{})
		takeBias(t, p)
		var rung, seen bool
		var missed int
		duel(duelRounds(), func() {
			if _, err := p.Publish(context.Background(), nil, 0, 0); err != nil {
				t.Error(err)
			}
			if _, err := c.Next(); err != nil {
				t.Error(err)
			}
		}, func() {
			bell := room.ring.cursors.spaceDoorbell.Load()
			c.publishCursor()
			rung = room.ring.cursors.spaceDoorbell.Load() != bell
		}, func() {
			p.prepareSleep()
			seen = p.mayFit(p.tail + p.r.capacity)
		}, func() {
			if !rung && !seen {
				missed++
			}
		})
		if missed > 0 {
			t.Errorf("%d times neither saw the other", missed)
		}
	})
}

// modes runs a test over a biased ring and a fenced one.
func modes(t *testing.T, test func(*testing.T, *room)) {
	for _, fenced := range []bool{false, true} {
		if !fenced && !shm.HaveMembarrier() {
			continue
		}
		t.Run(fmt.Sprintf("fenced=%t", fenced), func(t *testing.T) {
			test(t, newHeapRoom(t, Options{Capacity: 1 << 20, Fenced: fenced}))
		})
	}
}
