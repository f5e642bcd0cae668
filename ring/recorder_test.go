package ring

import (
	"math/bits"
	"math/rand/v2"
	"testing"

	"github.com/shmbus/shmbus/shm"
)

// clocks are the rings' clocks that the tests below run with.
func clocks(t *testing.T, run func(t *testing.T, counter bool)) {
	t.Run("nanoseconds", func(t *testing.T) { run(t, false) })
	t.Run("counter", func(t *testing.T) {
		if !shm.TSCUsable() {
			t.Skip("the kernel does not use the counter here")
		}
		run(t, true)
	})
}

// TestRecording: every stamped message is in the histogram, and none without a
// stamp; what was published long ago is in the bucket of its age, and the sum
// fits. The counts are there when the consumer finds nothing more.
func TestRecording(t *testing.T) {
	clocks(t, func(t *testing.T, counter bool) {
		r := newHeapRoom(t, Options{Capacity: 256 << 10, Counter: counter})
		p := r.local(0)
		clock := r.ring.Clock()
		for _, mode := range []Mode{Reliable, Lossy} {
			c := r.localConsumer(int(mode), SubscriberSpec{Mode: mode})
			ages := []int64{0, 1e6, 1e6, 1e9, 2e9, 3600e9, 300e9}
			const rounds = 30
			for range rounds {
				for _, age := range ages {
					stamp := clock.Now() - age
					if counter {
						s := shm.ProcessTSCScale()
						stamp = clock.Now() - int64(s.Ticks(age))
					}
					for range 3 {
						mustPublish(t, p, stamp)
						mustPublish(t, p, 0)
					}
				}
			}
			total := uint64(6 * rounds * len(ages))
			drain(t, c, total)
			var s Statistics
			r.ring.Statistics(&s)
			got := s.Subscribers[0]
			if got.Delivered != total || got.Latency.Count() != total/2 {
				t.Errorf("%v: %d delivered, %d recorded, want %d and %d", mode, got.Delivered, got.Latency.Count(), total, total/2)
			}
			sum := uint64(0)
			for _, age := range ages {
				sum += 3 * rounds * uint64(age)
			}
			if low, most := sum-sum/1000, sum+sum/1000+uint64(hangLimit)*total; got.Latency.SumNanos < low || got.Latency.SumNanos > most {
				t.Errorf("%v: the latencies make %d ns, want at least %d", mode, got.Latency.SumNanos, low)
			}
			for _, age := range []int64{1e9, 300e9} {
				before := uint64(0)
				for _, a := range ages {
					if a < age*9/10 {
						before += 3 * rounds
					}
				}
				if n := got.Latency.UpTo(BucketOf(age*9/10) - 1); n > before {
					t.Errorf("%v: %d are younger than %d ns, want at most %d", mode, n, age, before)
				}
			}
			free(r.host, c)
			r.ring.Statistics(&s)
			if s.Totals.Subscribers.Latency.Count() != (1+uint64(mode))*total/2 {
				t.Errorf("%v: the totals hold %d", mode, s.Totals.Subscribers.Latency.Count())
			}
		}
	})
}

// free frees a consumer's slot.
func free(h *Host, c *Consumer) { h.RemoveSubscriber(c.slot, c.generation, c.options.Guest) }

func mustPublish(t *testing.T, p *Producer, stamp int64) {
	t.Helper()
	if _, err := p.TryPublish(make([]byte, 8), 0, stamp); err != nil {
		t.Fatal(err)
	}
}

// drain reads n messages, and finds no more.
func drain(t *testing.T, c *Consumer, n uint64) {
	t.Helper()
	for range n {
		if _, err := c.Next(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Next(); err != ErrEmpty {
		t.Fatalf("behind the last message: %v", err)
	}
}

// TestRecorderReadsTheClockSeldom: messages in a row share a reading of the
// clock: twice as many each time while they are quick, up to 1024; and only one as
// soon as a reading finds that they take longer than the pace.
func TestRecorderReadsTheClockSeldom(t *testing.T) {
	r := newHeapRoom(t, Options{Capacity: 1 << 24}) // all is one batch
	p := r.local(0)
	c := r.localConsumer(0, SubscriberSpec{})
	last := uint64(0)
	// readings counts those for so many messages.
	readings := func(messages int) int {
		stamp, n := shm.Now(), 0
		for range messages {
			mustPublish(t, p, stamp)
		}
		for range messages {
			if _, err := c.Next(); err != nil {
				t.Fatal(err)
			}
			if c.recorder.now != last {
				n, last = n+1, c.recorder.now
			}
		}
		return n
	}
	c.recorder.pace = 1 << 40 // all is quick
	// At message 0, 1, 3, 7 and so on, and then at every 1024th.
	if n := readings(8 * mostUnder); n > bits.Len(mostUnder)+7 || c.recorder.every != mostUnder {
		t.Errorf("%d readings for %d messages, one for %d in the end", n, 8*mostUnder, c.recorder.every)
	}
	c.recorder.pace, c.recorder.expect, c.recorder.slack = 1, 1, 63 // nothing is handled so quickly
	if n := readings(mostUnder + 100); n < 100 || c.recorder.every != 1 {
		t.Errorf("%d readings for %d messages that took long, one for %d in the end", n, mostUnder+100, c.recorder.every)
	}
}

// TestRecorderReadsTheClockSeldomerForOldMessages: what is an hour old is so
// within a bucket for some minutes, however long each message takes.
func TestRecorderReadsTheClockSeldomerForOldMessages(t *testing.T) {
	r := newHeapRoom(t, Options{Capacity: 1 << 24}) // all is one batch
	p := r.local(0)
	c := r.localConsumer(0, SubscriberSpec{})
	c.recorder.pace = 1 // nothing is handled so quickly
	stamp := shm.Now() - 3600e9
	const messages = 10 * mostUnder
	for range messages {
		mustPublish(t, p, stamp)
	}
	readings, last := 0, uint64(0)
	for range messages {
		if _, err := c.Next(); err != nil {
			t.Fatal(err)
		}
		if c.recorder.now != last {
			readings, last = readings+1, c.recorder.now
		}
	}
	if readings != messages/mostUnder {
		t.Errorf("%d readings for %d messages, want one for %d", readings, messages, mostUnder)
	}
	c.recorder.pace = 1 << 40
	mustPublish(t, p, shm.Now())
	if _, err := c.Next(); err != nil || c.recorder.left != c.recorder.every {
		t.Errorf("after a message of now the clock is due after %d, want %d: %v", c.recorder.left, c.recorder.every, err)
	}
}

// TestForeignClock: who may not read the counter stamps, and reads stamps, by
// the scale that the host published.
func TestForeignClock(t *testing.T) {
	if !shm.TSCUsable() {
		t.Skip("the kernel does not use the counter here")
	}
	r := newHeapRoom(t, Options{Counter: true})
	r.host.RefreshClock()
	own := r.ring.Clock()
	foreign := own
	foreign.own = false
	if !foreign.Foreign() || own.Foreign() || !own.Counter() || foreign.Counter() {
		t.Fatalf("%+v, %+v", own, foreign)
	}
	const slack = int64(1e6)
	for range 100 {
		before := shm.Now()
		there, back := own.Time(foreign.Now()), foreign.Time(own.Now())
		after := shm.Now()
		for _, got := range []int64{there, back} {
			if got < before-slack || got > after+slack {
				t.Fatalf("%d, between %d and %d", got, before, after)
			}
		}
	}
	if own.Time(0) != 0 || foreign.Time(0) != 0 {
		t.Error("no stamp has a time")
	}
	p := r.local(0)
	c := r.localConsumer(0, SubscriberSpec{})
	c.recorder = newRecorder(foreign, c.block)
	const age = 7e9
	for range 10 {
		s := shm.ProcessTSCScale()
		mustPublish(t, p, own.Now()-int64(s.Ticks(age)))
	}
	drain(t, c, 10)
	var s Statistics
	r.ring.Statistics(&s)
	if l := &s.Subscribers[0].Latency; l.UpTo(BucketOf(age)-2) != 0 || l.Count() != 10 {
		t.Errorf("of 10 messages %d were counted, %d of them too young", l.Count(), l.UpTo(BucketOf(age)-2))
	}
	if sum := s.Subscribers[0].Latency.SumNanos; sum < 10*age-1e9 || sum > 10*age+10*uint64(hangLimit) {
		t.Errorf("the latencies make %d ns, want about %d", sum, uint64(10*age))
	}
}

// TestStampsAheadOfTheClock: a stamp that the reader's clock has not reached
// counts as 0, one by one and in a batch.
func TestStampsAheadOfTheClock(t *testing.T) {
	clocks(t, func(t *testing.T, counter bool) {
		r := newHeapRoom(t, Options{Counter: counter})
		p := r.local(0)
		clock := r.ring.Clock()
		c := r.localConsumer(0, SubscriberSpec{})
		ahead := clock.Now() + 1<<50
		for i := range int64(10) {
			mustPublish(t, p, ahead+i/2)
		}
		drain(t, c, 10)
		var s Statistics
		r.ring.Statistics(&s)
		if l := &s.Subscribers[0].Latency; l.Buckets[0] != 10 || l.Count() != 10 || l.SumNanos != 0 {
			t.Errorf("of 10 messages %d are counted, %d of them in bucket 0; the sum is %d", l.Count(), l.Buckets[0], l.SumNanos)
		}
	})
}

// TestRecordingRuns: whatever is made one run is counted as if each message had
// been looked at by itself, to the bucket and to the tick.
func TestRecordingRuns(t *testing.T) {
	clocks(t, func(t *testing.T, counter bool) {
		c := newHeapRoom(t, Options{Counter: counter}).localConsumer(0, SubscriberSpec{})
		r := &c.recorder
		const messages = 200_000
		r.now, r.left = 1<<50, messages // the clock is not read
		random := rand.New(rand.NewPCG(7, 7))
		var want [bucketCount]uint64
		var total, runs uint64
		stamp := uint64(0)
		for n := uint64(1); n <= messages; n++ {
			switch random.IntN(8) {
			case 0:
				stamp = 0 // none
			case 1:
				stamp = r.now - random.Uint64N(1<<random.UintN(50)) // of any age, the oldest of all too
			case 2:
				stamp = min(stamp+random.Uint64N(1<<14), r.now)
			case 3: // at the edge of a bucket
				if age := r.bounds.edges[random.IntN(edgeCount)] + random.Uint64N(2); age < r.now {
					stamp = r.now - age
				}
			}
			if r.ends(stamp, n) {
				runs++
			}
			r.note(stamp, n)
			if stamp != 0 {
				want[r.bounds.search(r.now-stamp)]++
				total += r.now - stamp
			}
		}
		r.endRun(messages)
		for k := range want {
			if got := r.block.buckets[k].Load(); got != want[k] {
				t.Errorf("bucket %d has %d, want %d", k, got, want[k])
			}
		}
		if r.total != total || runs > messages/2 {
			t.Errorf("%d ticks in %d runs, want %d in less than half as many as messages", r.total, runs, total)
		}
	})
}
