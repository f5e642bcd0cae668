package ring

import (
	"math"

	"github.com/shmbus/shmbus/internal/trick"
	"github.com/shmbus/shmbus/shm"
)

// recorder counts, for one consumer, the latencies of the messages it is
// given: from the stamp, taken before the message is in the ring, to the
// reading of the clock that stands for the moment at which it was found.
//
// When the clock is read:
//
//   - for the first message of a batch. A batch ends where there is nothing
//     more to read, in Wait, in Release, with a call of Poll, and after 1/16 of
//     the ring;
//   - for a message that was stamped after the last reading;
//   - within a batch, after 1 to 1024 messages: as many as took a microsecond
//     lately, or a 16th of the latency if that is more, which is less than a
//     bucket. So what takes longer than that to handle is measured one by one,
//     and what does not is not slowed down by the clock, least of all where
//     messages have piled up.
//
// Messages in a row with one stamp, those of a batch, are a run: they cost two
// comparisons and an addition each, and are counted when the run ends, by the
// consumer's own count of what it delivered. A message without a stamp is not
// counted.
//
// Where messages have piled up, a run is of all in a row that fall into one
// bucket under one reading of the clock, which are many then. Of young messages
// two in a row are in one bucket or not as it comes: at each end that the
// processor did not guess it would lose more than the search for the bucket
// costs.
type recorder struct {
	low   uint64 // the run is of stamps from low on,
	span  uint64 // to low + span: 0 of young messages; all, if nothing is recorded
	sum   uint64 // of the run's stamps
	until uint64 // number of the last message before the clock is due; 0: none

	before uint64 // messages delivered before the run
	zero   uint64 // the latency of each is zero less its stamp
	bucket int    // of the run; noBucket: not stamped
	now    uint64 // the last reading
	left   uint64 // messages from the start of the run to the next reading
	every  uint64 // messages in a microsecond, as we know
	pace   uint64 // a microsecond, in ticks
	expect uint64 // ticks from the last reading to the next
	slack  uint   // a reading may be old by the latency >> slack
	total  uint64 // ticks of all latencies counted

	clock   Clock
	foreign bool         // of the clock
	scale   shm.TSCScale // of ticks; not used where ticks are nanoseconds
	bounds  *bounds
	block   *subscriberBlock
}

const (
	noBucket  = -1
	mostUnder = 1024 // messages under one reading of the clock
	readPace  = 1000
	readSlack = 4
	oldPaces  = 4 // messages older than so many paces << slack, 64 µs, have piled up
)

// noRecorder counts nothing, and is not asked whether it does.
func noRecorder() recorder { return recorder{span: math.MaxUint64, until: math.MaxUint64} }

func newRecorder(c Clock, block *subscriberBlock) recorder {
	r := recorder{clock: c, foreign: c.Foreign(), block: block, bounds: nanoBounds, every: 1, pace: readPace, slack: readSlack, bucket: noBucket}
	if c.own {
		r.scale = shm.ProcessTSCScale()
		r.bounds, r.pace = sharedTickBounds(r.scale.Multiplier), r.scale.Ticks(readPace)
	}
	return r
}

// note counts a message, the nth that was delivered.
func (r *recorder) note(stamp, n uint64) {
	if r.ends(stamp, n) {
		r.begin(stamp, n)
	} else {
		r.sum += stamp
	}
}

// ends reports whether the run ends before this message.
func (r *recorder) ends(stamp, n uint64) bool { return stamp-r.low > r.span || n > r.until }

// begin ends the run and begins another, which this message will be the first
// of.
func (r *recorder) begin(stamp, n uint64) {
	r.endRun(n - 1)
	r.low, r.span, r.sum = stamp, 0, stamp
	if stamp == 0 {
		r.until, r.bucket = math.MaxUint64, noBucket
		return
	}
	if r.foreign {
		stamp = uint64(r.clock.Time(int64(stamp)))
	}
	if r.left == 0 || before(r.now, stamp) {
		r.read(stamp)
	}
	ticks := uint64(max(int64(r.now-stamp), 0)) // two processors' counters are a little apart
	r.zero, r.bucket, r.until = r.low+ticks, r.bounds.bucketOf(ticks), r.before+r.left
	if ticks>>r.slack > oldPaces*r.pace && !r.foreign {
		r.widen()
	}
}

// widen makes the run one of all stamps that the bucket is for.
func (r *recorder) widen() {
	least, most := r.bounds.extent(r.bucket)
	if most < r.now { // a stamp of 0 is none
		r.low, r.span = r.now-most, most-least
	}
}

// read reads the clock for a message and says after how many it is due again.
func (r *recorder) read(stamp uint64) {
	last := r.now
	if r.clock.own {
		r.now = shm.TSC()
	} else {
		r.now = uint64(shm.Now())
	}
	// Within a batch, and due: what was to take as long as expected took this long.
	if r.left == 0 && r.until != 0 {
		if took := r.now - last; took > 2*r.expect {
			r.every = max(r.every*r.expect/took, 1)
		} else if took < r.expect/2 {
			r.every = min(2*r.every, mostUnder)
		}
	}
	if !trick.SharedClock {
		r.every = 1
	}
	r.left, r.expect = r.every, r.pace
	if late := r.now - stamp; trick.SharedClock && late>>r.slack > r.pace && before(stamp, r.now) {
		times := min(late>>r.slack/r.pace, mostUnder/r.every)
		r.left, r.expect = r.every*times, r.pace*times
	}
}

// drop gives the run up: it is not counted.
func (r *recorder) drop() { r.bucket = noBucket }

// endRun counts the run, which the nth message ended: a load and a store in the
// bucket's word.
func (r *recorder) endRun(n uint64) {
	run := n - r.before
	if run == 0 {
		return
	}
	if r.bucket != noBucket {
		w := &r.block.buckets[r.bucket]
		w.Set(w.Get() + run)
		r.total += run*r.zero - r.sum
	}
	r.left -= min(run, r.left)
	r.before = n
}

// flush stores what is counted of n messages delivered. The batch is over: the
// next message's clock is read when it is found.
func (r *recorder) flush(n uint64) {
	r.endRun(n)
	nanos := r.total
	if r.clock.own {
		nanos = uint64(r.scale.Span(r.total))
	}
	r.block.stats.latency.Set(nanos)
	r.left, r.until = 0, 0
}
