package ring

import (
	"context"
	"testing"

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
		me.left = shm.Now() - 2*int64(crowdPace) // it came back late
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
	p := twoProducers(t)
	takeBias(t, p[0])
	crowdIn(p[1])
	bias := &p[0].r.log.bias
	for _, word := range []uint64{p[0].owned, biasOwned | identityBits, biasRevoking | uint64(p[0].identity), 0} {
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

	// It publishes, and waits once more: a new wait.
	publish := func(x *Producer) {
		if _, err := x.Publish(ctx, message, 0, 0); err != nil {
			t.Error(err)
		}
	}
	publish(p[1])
	if w := p[1].block.waiting.Load(); w != 0 {
		t.Fatalf("it has published and still says that it waits, since %#x", w)
	}
	p[1].startWaiting()
	goOn()
	if blocked() < before+uint64(maxGiveWay) {
		t.Errorf("waited %d ns in all for the second wait, want %d more than %d", blocked(), maxGiveWay, before)
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
	if !p[0].waitFor(over, word, mark) {
		t.Error("waited to the end though the context was over")
	}
	p[0].giveWay(tryContext) // far from due: returns
	p[0].stop.Store(1)
	if !p[0].waitFor(context.Background(), word, mark) {
		t.Error("waited to the end though the producer is closed")
	}
	p[0].stop.Store(0)
	p[1].stopWaiting()
	if !p[0].waitFor(context.Background(), word, mark) {
		t.Error("waited to the end for one that does not wait")
	}
}
