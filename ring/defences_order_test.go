package ring

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

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
	"the road in Go": func(p *Producer, payload []byte) error {
		_, err := p.publishFlat(context.Background(), payload, 0, 0)
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
			roads := []func(context.Context, []byte, uint32, int64) (uint64, error){p.Publish, p.publishFlat}
			for i := range entries {
				if room.ring.log.bias.Load() != p.owned && i%8 == 0 {
					takeBias(t, p)
				}
				seq, err := roads[i%2](context.Background(), payload, 0, 0)
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
// On a busy machine they meet less often.
func duel(before, a, b, after func()) {
	rounds, began := int64(duelRounds), time.Now()
	if raceEnabled || !spinning {
		rounds = 1000
	}
	const over = 1 << 62
	var started, ready, done atomic.Int64
	await := func(w *atomic.Int64, n int64) {
		for spins := 0; w.Load() < n; spins++ {
			if !spinning || spins > 10_000 {
				runtime.Gosched()
			}
		}
	}
	var other sync.WaitGroup
	other.Go(func() {
		for n := int64(1); ; n++ {
			ready.Store(n)
			if await(&started, n); started.Load() == over {
				return
			}
			linger(n % 64)
			b()
			done.Store(n)
		}
	})
	for n := int64(1); n <= rounds && time.Since(began) < duelTime; n++ {
		before()
		await(&ready, n)
		started.Store(n)
		linger(n / 64 % 64)
		a()
		await(&done, n)
		after()
	}
	started.Store(over)
	other.Wait()
}

const (
	duelRounds = 200_000
	duelTime   = time.Second
)

// linger passes a moment that is longer the larger n is.
func linger(n int64) {
	for range n {
		lingered.Add(1)
	}
}

var lingered atomic.Uint64

// TestNobodySleepsThroughAMessage: either the sleeper, about to sleep, sees the
// message, or its publisher sees the sleeper. Each stores one word and loads
// the other's, and without the barrier both may find the old ones.
func TestNobodySleepsThroughAMessage(t *testing.T) {
	modes(t, func(t *testing.T, room *room) {
		p, c := room.local(0), room.localConsumer(0, SubscriberSpec{})
		takeBias(t, p)
		var rung, seen bool
		var missed int
		duel(func() {}, func() {
			room.ring.cursors.sleeps.Load() // so that the look below is quick
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
		duel(func() {
			if _, err := p.Publish(context.Background(), nil, 0, 0); err != nil {
				t.Error(err)
			}
			if _, err := c.Next(); err != nil {
				t.Error(err)
			}
		}, func() {
			bell := room.ring.cursors.spaceDoorbell.Load()
			room.ring.log.spaceSleeps.Load() // so that the look below is quick
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
