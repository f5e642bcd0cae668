package ring

import (
	"sync"
	"sync/atomic"
	"testing"
)

// TestTotals: what participants counted stays when they leave, and is not
// counted twice when their slots are granted again.
func TestTotals(t *testing.T) {
	r := newHeapRoom(t, Options{Capacity: 64 << 10})
	published, delivered := uint64(0), uint64(0)
	for round := range 20 {
		p := r.local(round % 2)
		c := r.localConsumer(round%3, SubscriberSpec{Mode: Mode(round % 2)})
		for range round {
			mustPublish(t, p, 1)
		}
		drain(t, c, uint64(round))
		published, delivered = published+uint64(round), delivered+uint64(round)
		check := func(when string) {
			t.Helper()
			var s Statistics
			r.ring.Statistics(&s)
			got := &s.Totals
			if got.Publishers.Published != published || got.Publishers.Bytes != 8*published || got.Subscribers.Delivered != delivered ||
				got.Subscribers.Latency.Count() != delivered || got.Repairs != 0 || got.Orphans != 0 {
				t.Errorf("round %d, %s: %+v, %d delivered, %d recorded, want %d and %d", round, when, got.Publishers, got.Subscribers.Delivered, got.Subscribers.Latency.Count(), published, delivered)
			}
		}
		check("all here")
		free(r.host, c)
		free(r.host, c)
		check("the subscriber gone")
		for range 2 {
			if err := r.host.RemovePublisher(p.slot, p.generation); err != nil {
				t.Fatal(err)
			}
		}
		check("all gone")
	}
}

// TestTotalsCountRepairs: who left a claim open is a repair, and its claim an
// orphan.
func TestTotalsCountRepairs(t *testing.T) {
	r := newHeapRoom(t, Options{Capacity: 64 << 10})
	p := r.local(0)
	for range 3 {
		if _, err := p.TryClaim(8, 0, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.host.RemovePublisher(p.slot, p.generation); err != nil {
		t.Fatal(err)
	}
	var s Statistics
	if r.ring.Statistics(&s); s.Totals.Repairs != 1 || s.Totals.Orphans != 3 {
		t.Errorf("%d repairs, %d orphans, want 1 and 3", s.Totals.Repairs, s.Totals.Orphans)
	}
}

// TestTotalsNeverGoBack: an observer who reads without pause sees every total
// only grow, while participants come and go.
func TestTotalsNeverGoBack(t *testing.T) {
	if raceEnabled {
		t.Skip("names are read as they are being written, and thrown away if their slot has changed: between processes no detector sees it")
	}
	r := newHeapRoom(t, Options{Capacity: 64 << 10})
	var stop atomic.Bool
	var watching sync.WaitGroup
	watching.Go(func() {
		var s, last Statistics
		for !stop.Load() {
			r.ring.Statistics(&s)
			now, then := &s.Totals, &last.Totals
			if now.Publishers.Published < then.Publishers.Published || now.Subscribers.Delivered < then.Subscribers.Delivered ||
				now.Subscribers.Latency.Count() < then.Subscribers.Latency.Count() {
				t.Errorf("published %d behind %d, delivered %d behind %d", now.Publishers.Published, then.Publishers.Published, now.Subscribers.Delivered, then.Subscribers.Delivered)
				return
			}
			last.Totals = s.Totals
		}
	})
	total := uint64(0)
	for round := range 3000 {
		p := r.local(round % 2)
		c := r.localConsumer(round%3, SubscriberSpec{})
		for range 5 {
			mustPublish(t, p, 1)
		}
		drain(t, c, 5)
		total += 5
		free(r.host, c)
		if err := r.host.RemovePublisher(p.slot, p.generation); err != nil {
			t.Fatal(err)
		}
	}
	stop.Store(true)
	watching.Wait()
	var s Statistics
	if r.ring.Statistics(&s); s.Totals.Publishers.Published != total || s.Totals.Subscribers.Delivered != total {
		t.Errorf("published %d, delivered %d, want %d", s.Totals.Publishers.Published, s.Totals.Subscribers.Delivered, total)
	}
}

// TestFoldSurvivesTheHost: a host that dies before, between and behind the
// steps of a fold leaves totals that count everybody once.
func TestFoldSurvivesTheHost(t *testing.T) {
	for _, dies := range []string{"before the word", "behind the word"} {
		r := newHeapRoom(t, Options{Capacity: 64 << 10})
		p := r.local(0)
		c := r.localConsumer(0, SubscriberSpec{})
		for range 7 {
			mustPublish(t, p, 1)
		}
		drain(t, c, 7)
		identity := foldedIdentity(foldedSubscriber, c.slot, c.generation)
		// What free does up to there, and no further.
		word := r.ring.cursors.folded.Load()
		count := word>>foldedCount + 1
		var half Totals
		r.ring.totalsBlock(word >> foldedCount).read(&half)
		half.addSubscriber(c.block)
		r.ring.totalsBlock(count).write(&half)
		if dies == "behind the word" {
			r.ring.cursors.folded.Store(count<<foldedCount | identity)
		}
		check := func(when string) {
			t.Helper()
			var s Statistics
			if r.ring.Statistics(&s); s.Totals.Subscribers.Delivered != 7 || s.Totals.Publishers.Published != 7 {
				t.Errorf("%s, %s: delivered %d, published %d, want 7 and 7", dies, when, s.Totals.Subscribers.Delivered, s.Totals.Publishers.Published)
			}
		}
		check("at the death")
		next := r.ring.Host(0)
		if _, err := next.TakeOver(); err != nil {
			t.Fatal(err)
		}
		check("under the next host")
		free(next, c)
		check("freed by it")
		if n := r.ring.Counts().Subscribers; n != 0 {
			t.Errorf("%s: %d subscribers are left", dies, n)
		}
		if err := next.RemovePublisher(p.slot, p.generation); err != nil {
			t.Fatal(err)
		}
		check("all gone")
	}
}
