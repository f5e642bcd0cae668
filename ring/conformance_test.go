package ring

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"
)

// conformance is the suite that every kind of ring passes. Each test lays out
// rings of its own at the site it is given.
var conformance = []struct {
	name string
	run  func(*testing.T, *site)
}{
	{"order", testOrder},
	{"order of batches and claims", testOrderMixed},
	{"lossy", testLossy},
	{"wake-ups of consumers", testConverse},
	{"wake-ups on both sides", testWakeBoth},
	{"attach while publishing", testAttachWhilePublishing},
	{"try to publish under contention", testTryContended},
	{"sizes", testSizes},
	{"pad everywhere", testPadEverywhere},
	{"full", testFull},
	{"never full", testNeverFull},
	{"blocked publish", testBlockedPublish},
	{"claims", testClaims},
	{"claim holds space", testClaimHoldsSpace},
	{"batches", testBatches},
	{"starts", testStarts},
	{"start by age", testStartAge},
	{"earliest after a lap", testEarliestAfterLap},
	{"lag limit", testMaxLag},
	{"detach", testDetach},
	{"drained", testDrained},
	{"last of a batch", testPollLast},
	{"waiting", testWaiting},
	{"guests", testGuests},
	{"lists", testLists},
}

func TestConformanceHeap(t *testing.T)      { runConformance(t, "heap") }
func TestConformanceMemfd(t *testing.T)     { runConformance(t, "memfd") }
func TestConformanceProcesses(t *testing.T) { runConformance(t, "processes") }

func runConformance(t *testing.T, venue string) {
	for _, c := range configs(venue) {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, c)
			for _, test := range conformance {
				t.Run(test.name, func(t *testing.T) { test.run(t, s) })
			}
		})
	}
}

func is(err, target error) bool { return errors.Is(err, target) }

// crowd lets several participants work at once and gathers what they report.
type crowd struct {
	t       *testing.T
	wg      sync.WaitGroup
	mu      sync.Mutex
	reports map[string]report
}

func newCrowd(t *testing.T) *crowd { return &crowd{t: t, reports: map[string]report{}} }

// do runs a job of a participant, named for its report.
func (c *crowd) do(name string, call func(context.Context, request) reply, op string, j job) {
	c.wg.Go(func() {
		ctx, cancel := soon(c.t.Context())
		defer cancel()
		a := call(ctx, request{Op: op, Job: j})
		if a.Failed != nil {
			c.t.Errorf("%s: %v", name, a.err())
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.reports[name] = a.Report
	})
}

func (c *crowd) wait() map[string]report {
	c.wg.Wait()
	return c.reports
}

// stream runs producers and consumers with these jobs until all is read, and
// returns the reports of both. Consumers stop when the ring is drained.
func stream(t *testing.T, r *room, producers []*publisher, consumers []*subscriber, in, out job) (made, seen map[string]report) {
	t.Helper()
	work, read := newCrowd(t), newCrowd(t)
	for _, s := range consumers {
		read.do(fmt.Sprintf("subscriber %d", s.slot), s.call, "consume", out)
	}
	for _, p := range producers {
		work.do(fmt.Sprintf("publisher %d", p.slot), p.call, "produce", in)
	}
	made = work.wait()
	for _, p := range producers {
		p.remove()
	}
	return made, read.wait()
}

// testOrder: every reliable consumer gets every message, each publisher's in
// order, and all see the same order of all.
func testOrder(t *testing.T, s *site) {
	for producers := 1; producers <= 4; producers++ {
		for consumers := 1; consumers <= 3; consumers++ {
			in := job{Seed: uint64(producers), Count: 120, Size: 100, Deep: true, Now: 5}
			checkOrder(t, s, producers, consumers, in, job{Now: 5, Deep: true, Poll: consumers == 2})
		}
	}
}

func testOrderMixed(t *testing.T, s *site) {
	in := job{Seed: 3, Count: 250, Size: 200, Batch: 6, Claims: 3, Abort: 4, Now: 7}
	checkOrder(t, s, 3, 2, in, job{Now: 7})
	checkOrder(t, s, 1, 2, in, job{Now: 7, Poll: true})
}

func checkOrder(t *testing.T, s *site, producers, consumers int, in, out job) {
	t.Helper()
	r := s.room(t, MinCapacity)
	var ps []*publisher
	var cs []*subscriber
	for i := range producers {
		ps = append(ps, r.publisher(i))
	}
	for i := range consumers {
		cs = append(cs, r.subscriber(i, Reliable))
	}
	made, seen := stream(t, r, ps, cs, in, out)
	aborted := 0
	for _, m := range made {
		aborted += m.Aborted
	}
	given := r.ring.Stat().Sequence
	first := seen["subscriber 0"]
	for name, g := range seen {
		if int(g.Messages) != producers*in.Count || g.Lost != 0 || int(g.Stats.Aborted) != aborted || g.Stats.Delivered != g.Messages {
			t.Errorf("%d producers, %s: %d messages of %d, %d lost, %d aborted of %d, stats %+v", producers, name, g.Messages, producers*in.Count, g.Lost, g.Stats.Aborted, aborted, g.Stats)
		}
		if g.Messages+g.Stats.Aborted != given {
			t.Errorf("%s: %d delivered, %d aborted of %d given", name, g.Messages, g.Stats.Aborted, given)
		}
		if g.Digest != first.Digest {
			t.Errorf("%s saw another order than subscriber 0", name)
		}
	}
}

// testLossy: what a slow lossy consumer is not given is counted, exactly.
func testLossy(t *testing.T, s *site) {
	for run := range 3 {
		r := s.room(t, MinCapacity)
		in := job{Seed: uint64(run), Count: 600, Size: 150, Now: 9}
		if run > 0 {
			in.Claims, in.Abort, in.Batch = 3, 3, 5
		}
		ps := []*publisher{r.publisher(0), r.publisher(1)}
		cs := []*subscriber{r.subscriber(0, Lossy), r.subscriber(1, Lossy)}
		_, seen := stream(t, r, ps, cs, in, job{Slow: 40, Now: 9, Poll: run == 2})
		given := r.ring.Stat().Sequence
		for name, g := range seen {
			if g.Messages+g.Stats.Lost()+g.Stats.Aborted != given {
				t.Errorf("run %d, %s: %d delivered + %d lost + %d aborted is not the %d given", run, name, g.Messages, g.Stats.Lost(), g.Stats.Aborted, given)
			}
			if g.Lost > g.Stats.Lost() {
				t.Errorf("run %d, %s: told of %d lost, counted %d", run, name, g.Lost, g.Stats.Lost())
			}
		}
	}
}

// testConverse: two parties that sleep between messages wake each other, every
// time. Nothing here ends by itself after 50 ms.
func testConverse(t *testing.T, s *site) {
	rounds := 200
	if !testing.Short() && s.config.start == 0 {
		rounds = 2000
	}
	r := s.room(t, MinCapacity)
	c := newCrowd(t)
	// Both ends of a party are in one process.
	ps := []*publisher{r.publisher(0), r.publisher(1)}
	subs := []*subscriber{r.subscriber(len(s.members)-1, Reliable), r.subscriber(len(s.members), Reliable)}
	for i, p := range ps {
		sub := subs[i]
		c.do(fmt.Sprintf("party %d", i), func(ctx context.Context, q request) reply {
			q.Slot, q.N = p.slot, sub.slot
			return p.at.call(ctx, q)
		}, "converse", job{Count: rounds, First: i == 0})
	}
	c.wait()
}

// testWakeBoth: messages so large that publishers sleep for space as often as
// consumers sleep for messages.
func testWakeBoth(t *testing.T, s *site) {
	count := 150
	if !testing.Short() && s.config.start == 0 {
		count = 1500
	}
	for producers := 1; producers <= 2; producers++ {
		in := job{Seed: 8, Count: count / producers, Size: MaxMessage(MinCapacity), Deep: true, Now: 1}
		checkOrder(t, s, producers, 3-producers, in, job{Deep: true, Now: 1})
	}
}

// testAttachWhilePublishing: who comes while others publish sees everything
// from its start on, without a gap; who goes holds nobody back.
func testAttachWhilePublishing(t *testing.T, s *site) {
	r := s.room(t, MinCapacity)
	ps := []*publisher{r.publisher(0), r.publisher(1)}
	anchor := r.subscriber(0, Reliable)
	work, read := newCrowd(t), newCrowd(t)
	read.do("anchor", anchor.call, "consume", job{})
	for _, p := range ps {
		work.do(fmt.Sprint(p.slot), p.call, "produce", job{Seed: 4, Count: 1200, Size: 90, Batch: 3})
	}
	finished := make(chan struct{})
	go func() { work.wait(); close(finished) }()
	kinds := []StartKind{StartLatest, StartEarliest}
	for n, over := 0, false; !over; n++ {
		select {
		case <-finished:
			over = true
		default:
		}
		spec := SubscriberSpec{Mode: Mode(n % 3 / 2), Start: Start{Kind: kinds[n%2]}}
		sub, err := r.attach(1+n%3, spec, Park)
		if err != nil {
			t.Fatal(err)
		}
		if !over {
			readSome(t, sub)
		}
		sub.remove()
	}
	for _, p := range ps {
		p.remove()
	}
	if g := read.wait()["anchor"]; g.Messages != 2400 {
		t.Errorf("the anchor got %d messages of 2400", g.Messages)
	}
}

// readSome reads a few messages, or none if the publishers have finished.
func readSome(t *testing.T, sub *subscriber) {
	t.Helper()
	for range 5 {
		switch a := sub.call(t.Context(), request{Op: "next"}); {
		case is(a.err(), ErrEmpty):
			return
		case a.Failed != nil:
			t.Errorf("attached at %+v: %v", sub.attach, a.err())
			return
		}
	}
}

// testTryContended: TryPublish gives up only when somebody has held the ring
// for its whole patience, never because there is a crowd.
func testTryContended(t *testing.T, s *site) {
	r := s.room(t, siteCapacity)
	var wg sync.WaitGroup
	for i := range 4 {
		p := r.publisher(i)
		wg.Go(func() {
			for n := range 300 {
				began := time.Now()
				_, err := p.try(numbered(n, 20))
				if is(err, ErrStalled) && time.Since(began) >= tryWait {
					continue
				}
				if err != nil {
					t.Errorf("publisher %d: %v after %v", i, err, time.Since(began))
					return
				}
			}
		})
	}
	wg.Wait()
}
