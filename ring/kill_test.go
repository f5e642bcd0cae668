package ring

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/shmbus/shmbus/shm"
)

// TestKill kills a publisher process with SIGKILL at a random moment, round
// after round, beside a publisher that goes on and a reliable consumer. What
// was acknowledged is delivered; the rest of the last call is delivered whole
// or not at all; order and sequences have no gap.
func TestKill(t *testing.T) {
	rounds := 100
	if testing.Short() || raceEnabled {
		rounds = 20
	}
	for _, fenced := range []bool{false, true} {
		if !fenced && !shm.HaveMembarrier() {
			continue
		}
		t.Run(fmt.Sprintf("fenced=%t", fenced), func(t *testing.T) {
			k := &killing{t: t, site: newSite(t, config{venue: "memfd", fenced: fenced, start: 1<<64 - 96<<10})}
			k.room = k.site.room(t, 8<<10)
			k.run(rounds / 2)
		})
	}
}

// killing is a topic on which publisher slot 0 dies again and again.
type killing struct {
	t    *testing.T
	site *site
	room *room

	quiet atomic.Bool // the survivor publishes nothing, so the victim gets the bias
	stop  atomic.Bool
	told  atomic.Uint64 // published by the survivor

	read atomic.Uint64 // sequence the consumer is at

	mu   sync.Mutex
	seen map[int]uint64 // by publisher slot, number behind the last one delivered
	gap  uint64         // the first number of the victim that was skipped
}

const (
	victimSlot   = 0
	survivorSlot = 1
)

// ways are how a victim publishes when it dies.
var ways = []job{
	{Size: 64},
	{Size: 900},
	{Size: 100, Batch: 8},
	{Size: 200, Claims: 4, Abort: 4},
	{Size: 300, Batch: 4, Claims: 4},
}

func (k *killing) run(rounds int) {
	t := k.t
	survivor, consumer := k.room.local(survivorSlot), k.room.localConsumer(0, SubscriberSpec{})
	consumer.options.UntilDrained = true
	k.seen = map[int]uint64{}
	var publishing, consuming sync.WaitGroup
	publishing.Go(func() { k.survive(survivor) })
	consuming.Go(func() { k.consume(consumer) })
	random := rand.New(rand.NewPCG(1, uint64(rounds)))
	for round := range rounds {
		if t.Failed() {
			break
		}
		k.quiet.Store(round%3 == 0)
		k.round(random, ways[round%len(ways)], round)
	}
	k.quiet.Store(false)
	k.stop.Store(true)
	publishing.Wait()
	if err := k.room.host.RemovePublisher(survivorSlot, survivor.generation); err != nil {
		t.Error(err)
	}
	consuming.Wait()
	if got := k.delivered(survivorSlot); got != k.told.Load() {
		t.Errorf("%d of the survivor's %d messages were delivered", got, k.told.Load())
	}
	stats, st := consumer.Stats(), k.room.ring.Stat()
	if stats.Delivered+stats.Aborted != st.Sequence {
		t.Errorf("%d delivered + %d aborted of %d given", stats.Delivered, stats.Aborted, st.Sequence)
	}
}

// round lets a process publish, kills it, repairs, and waits until all it
// acknowledged is delivered.
func (k *killing) round(random *rand.Rand, how job, number int) {
	t := k.t
	acks := shm.Overlay[shm.Word64](k.site.maps.aux, 8*victimSlot)
	acks.Store(0)
	k.mu.Lock()
	k.seen[victimSlot], k.gap = 0, math.MaxUint64
	k.mu.Unlock()
	m := startMember(t, k.site.files)
	gen := k.room.generation()
	if err := k.room.host.AddPublisher(victimSlot, gen, uint64(gen), "victim"); err != nil {
		t.Fatal(err)
	}
	for _, q := range []request{{Op: "open"}, {Op: "producer", Slot: victimSlot, Gen: gen}} {
		if err := m.call(t.Context(), q).err(); err != nil {
			t.Fatal(err)
		}
	}
	how.Seed, how.Count, how.Acks = uint64(number), 1<<30, true
	dead := make(chan struct{})
	go func() {
		m.call(context.Background(), request{Op: "produce", Slot: victimSlot, Job: how})
		close(dead)
	}()
	enough := random.Uint64N(2000)
	until(func() bool { return acks.Load() >= enough || t.Failed() })
	for range random.IntN(5000) { // not just behind a call
		runtime.KeepAlive(m)
	}
	m.kill()
	<-dead
	for range 1 + number%2 {
		if err := k.room.host.RemovePublisher(victimSlot, gen); err != nil {
			t.Fatalf("round %d: %v", number, err)
		}
	}
	given := k.room.ring.Stat().Sequence
	until(func() bool { return t.Failed() || reaches(k.read.Load(), given) })
	acked, delivered := acks.Load(), k.delivered(victimSlot)
	// One call at most was under way: a message, a batch, or claims of which
	// any may have been committed.
	if most := acked + uint64(max(1, how.Batch, how.Claims)); delivered < acked || delivered > most {
		t.Errorf("round %d: delivered up to %d, acknowledged %d, at most %d were published", number, delivered, acked, most)
	}
	if k.gap < acked || k.gap != math.MaxUint64 && how.Claims == 0 {
		t.Errorf("round %d: message %d of %d acknowledged is missing", number, k.gap, acked)
	}
}

func (k *killing) delivered(slot int) uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.seen[slot]
}

// survive publishes until the test is over; it never notices a death but by
// the time it waits.
func (k *killing) survive(p *Producer) {
	b := make([]byte, 40)
	for n := uint64(0); !k.stop.Load(); {
		if k.quiet.Load() {
			runtime.Gosched()
			continue
		}
		fill(b, survivorSlot, n)
		ctx, cancel := soon(k.t.Context())
		_, err := p.Publish(ctx, b, testKind, 0)
		cancel()
		if err != nil {
			k.t.Errorf("the survivor: message %d: %v; %+v", n, err, k.room.ring.Stat())
			return
		}
		n++
		k.told.Store(n)
	}
}

// consume checks every message: each publisher's numbers have no gap.
func (k *killing) consume(c *Consumer) {
	for {
		k.read.Store(c.sequence) // all before is counted in seen
		m, err := c.Next()
		if err == ErrEmpty {
			k.read.Store(c.sequence) // aborted claims were stepped over
			if c.Drained() && k.stop.Load() {
				return
			}
			if c.Drained() {
				runtime.Gosched() // the victim is not there yet
				continue
			}
			err = c.Wait(k.t.Context(), nil)
			if err == nil {
				continue
			}
		}
		if err != nil {
			k.t.Errorf("the consumer: %v; %+v", err, k.room.ring.Stat())
			return
		}
		slot, n, err := check(m.Payload)
		k.mu.Lock()
		if slot == victimSlot && n > k.seen[slot] {
			k.gap = min(k.gap, k.seen[slot])
		} else if err != nil || int(m.Publisher) != slot || n != k.seen[slot] {
			err = fmt.Errorf("sequence %d: message %d of publisher %d (%d), want %d: %w", m.Sequence, n, slot, m.Publisher, k.seen[slot], err)
		}
		k.seen[slot] = n + 1
		k.mu.Unlock()
		if err != nil {
			k.t.Error(err)
			return
		}
	}
}
