package ring

import (
	"context"
	"testing"
	"time"

	"github.com/shmbus/shmbus/shm"
)

func twoProducers(t *testing.T) [2]*Producer {
	room := newHeapRoom(t, Options{Capacity: 1 << 20})
	return [2]*Producer{room.local(0), room.local(1)}
}

// crowdIn makes p one that finds others about all the time.
func crowdIn(p *Producer) { p.crowd, p.left = crowdedAfter, shm.Now()+int64(hangLimit) }

// TestCrowdTakesTurns: where publishers crowd, whoever enters has the ring for
// a while, with the bias, and the one that it took it from has it next.
func TestCrowdTakesTurns(t *testing.T) {
	p := twoProducers(t)
	ctx := context.Background()
	for i := range 100 {
		me := p[i%2]
		crowdIn(me)
		for range 3 {
			if _, err := me.Publish(ctx, []byte("turn"), 0, 0); err != nil {
				t.Fatal(err)
			}
			if bias := me.r.log.bias.Load(); bias != me.owned {
				t.Fatalf("turn %d: the bias is %#x, want %#x, that of the one that entered", i, bias, me.owned)
			}
		}
	}
	for i, x := range p {
		// The first of each three entered by the mutex, the others by the bias.
		if n := x.block.stats.revocations.Load(); n > 50 {
			t.Errorf("publisher %d revoked %d biases in 50 turns", i, n)
		}
	}
}

// TestNoCrowd: who finds others about now and then, or comes back late, does
// not take the bias from them.
func TestNoCrowd(t *testing.T) {
	p := twoProducers(t)
	for i := range 10 * crowdedAfter {
		me := p[i%2]
		me.left = shm.Now() - int64(time.Second) // it came back late
		if _, err := me.Publish(context.Background(), []byte("now and then"), 0, 0); err != nil {
			t.Fatal(err)
		}
		if bias := me.r.log.bias.Load(); bias != 0 {
			t.Fatalf("entry %d: the bias is %#x, want 0", i, bias)
		}
	}
}

// TestIdleOwnerIsNotWaitedFor: an owner that does not publish, and a bias of
// nobody, cost no more than a look.
func TestIdleOwnerIsNotWaitedFor(t *testing.T) {
	room := newHeapRoom(t, Options{})
	p := [2]*Producer{room.local(0), room.local(1)}
	takeBias(t, p[0])
	crowdIn(p[1])
	bias := &p[0].r.log.bias
	for _, word := range []uint64{p[0].owned, biasOwned, biasOwned | identityBits, biasRevoking | uint64(p[0].identity), 0} {
		bias.Store(word)
		p[1].letOwnerGoOn() // returns
	}
	bias.Store(p[0].owned)
	if _, err := p[1].Publish(context.Background(), []byte("mine"), 0, 0); err != nil {
		t.Fatal(err)
	}
}

// TestGivesWay: a publisher that goes on while another waits lets it go first,
// but does not wait for it for ever, nor again and again.
func TestGivesWay(t *testing.T) {
	p := twoProducers(t)
	ctx := context.Background()
	message := make([]byte, 1<<10)
	goOn := func() {
		t.Helper()
		for given := p[0].given(); p[0].given()-given < 2*allowance(1<<20); {
			if _, err := p[0].Publish(ctx, message, 0, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	blocked := func() uint64 { return p[0].block.stats.blockedNanos.Load() }

	goOn()
	if blocked() != 0 {
		t.Errorf("waited %d ns for nobody", blocked())
	}
	p[1].startWaiting()
	mark := p[1].block.waiting.Load()
	goOn()
	if b := blocked(); b < uint64(maxGiveWay) || p[0].inVain[1] != mark {
		t.Errorf("waited %d ns for one that waits (in vain for %#x), want %d at least, in vain for %#x", b, p[0].inVain[1], maxGiveWay, mark)
	}
	before := blocked()
	goOn()
	if blocked() != before {
		t.Errorf("waited again for one that was waited for in vain")
	}

	// A new wait; who must not block does not wait for it.
	p[1].stopWaiting()
	p[1].startWaiting()
	for given := p[0].given(); p[0].given()-given < 2*allowance(1<<20); {
		if _, err := p[0].TryPublish(message, 0, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := p[0].PublishBatch(ctx, [][]byte{message}, 0, 0, false); err != nil {
			t.Fatal(err)
		}
	}
	if blocked() != before {
		t.Errorf("who must not block waited for another's turn")
	}
	goOn()
	if blocked() < before+uint64(maxGiveWay) {
		t.Errorf("waited %d ns in all for the second wait, want %d more than %d", blocked(), maxGiveWay, before)
	}
}

// TestSleepersSaySo: who sleeps for the mutex, or for room, says so until it
// has published, by whatever way, or has given up.
func TestSleepersSaySo(t *testing.T) {
	payload := make([]byte, 100)
	for road, publish := range map[string]func(ctx context.Context, p *Producer) error{
		"Publish": func(ctx context.Context, p *Producer) error { _, err := p.Publish(ctx, payload, 0, 0); return err },
		"PublishBatch": func(ctx context.Context, p *Producer) error {
			_, err := p.PublishBatch(ctx, [][]byte{payload}, 0, 0, true)
			return err
		},
		"Claim": func(ctx context.Context, p *Producer) error {
			c, err := p.Claim(ctx, len(payload), 0, 0)
			if err != nil {
				return err
			}
			return c.Commit()
		},
	} {
		t.Run(road, func(t *testing.T) {
			room := newHeapRoom(t, Options{})
			c := room.localConsumer(0, SubscriberSpec{Mode: Reliable})
			p, other := room.local(0), room.local(1)
			sleeps := func(ctx context.Context, wake func()) error {
				t.Helper()
				end := make(chan error)
				go func() { end <- publish(ctx, p) }()
				until(func() bool { return p.block.waiting.Load() != 0 })
				wake()
				err := <-end
				if w := p.block.waiting.Load(); w != 0 {
					t.Errorf("it is over (%v), and it still says that it waits, since %#x", err, w)
				}
				return err
			}
			fill := func() {
				for err := error(nil); err != ErrFull; {
					_, err = other.TryPublish(payload, 0, 0)
				}
			}
			// For the mutex.
			if err := other.enterSlow(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := sleeps(t.Context(), other.leave); err != nil {
				t.Error(err)
			}
			// For room, which comes, and which does not.
			fill()
			if err := sleeps(t.Context(), func() { takeAll(t, c) }); err != nil {
				t.Error(err)
			}
			fill()
			ctx, cancel := context.WithCancel(t.Context())
			if err := sleeps(ctx, cancel); err != context.Canceled {
				t.Errorf("got %v, want %v", err, context.Canceled)
			}
		})
	}
}

// TestBatchWaitsAnew: a batch that has published a part of itself has had its
// turn; when it sleeps again, that is another wait.
func TestBatchWaitsAnew(t *testing.T) {
	room := newHeapRoom(t, Options{})
	c := room.localConsumer(0, SubscriberSpec{Mode: Reliable})
	p := room.local(0)
	batch := make([][]byte, 100) // several laps
	for i := range batch {
		batch[i] = make([]byte, 100)
	}
	end := make(chan error)
	go func() {
		_, err := p.PublishBatch(t.Context(), batch, 0, 0, true)
		end <- err
	}()
	waits := func(before uint32) (mark uint32) {
		until(func() bool { mark = p.block.waiting.Load(); return mark != 0 && mark != before })
		return mark
	}
	first := waits(0)
	for range 10 { // not all there is, or the batch might be through before it sleeps again
		if _, _, err := c.Take(); err != nil {
			t.Fatal(err)
		}
	}
	c.Release()
	waits(first)
	for read := false; !read; {
		select {
		case err := <-end:
			if err != nil {
				t.Error(err)
			}
			read = true
		default:
			takeAll(t, c)
		}
	}
}

// takeAll reads what there is.
func takeAll(t *testing.T, c *Consumer) {
	t.Helper()
	for {
		switch _, _, err := c.Take(); err {
		case nil:
		case ErrEmpty:
			c.Release()
			return
		default:
			t.Fatal(err)
		}
	}
}

// TestGiveWayEnds with the wait of the other, or when the caller may not wait.
func TestGiveWayEnds(t *testing.T) {
	p := twoProducers(t)
	word := &p[1].block.waiting
	over, cancel := context.WithCancel(context.Background())
	cancel()
	p[1].startWaiting()
	mark := word.Load()
	if !p[0].waitFor(over, word, mark, shm.Now()) {
		t.Error("waited to the end though the context was over")
	}
	p[0].giveWay(tryContext) // far from due: returns
	p[0].stop.Store(1)
	if !p[0].waitFor(context.Background(), word, mark, shm.Now()) {
		t.Error("waited to the end though the producer is closed")
	}
	p[0].stop.Store(0)
	p[1].stopWaiting()
	if !p[0].waitFor(context.Background(), word, mark, shm.Now()) {
		t.Error("waited to the end for one that does not wait")
	}
}
