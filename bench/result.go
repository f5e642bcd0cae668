package bench

import (
	"math"
	"slices"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// result is what one round of one cell gave.
type result struct {
	perSecond float64 // messages
	samples   []int64 // latencies in nanoseconds
	cpu       float64 // nanoseconds a message
	switches  float64 // a message
	share     float64 // of its fair share, what the slowest publisher had when the first was through; 0 unknown

	percentiles [4]int64 // 50, 90, 99, 99.9; 0 where there are too few samples
	longest     int64
}

var quantiles = [...]float64{50, 90, 99, 99.9}

// enough is how many samples a percentile needs to be another than the longest.
var enough = [...]int{2, 10, 100, 1000}

// summarize makes percentiles of the samples and lets go of them.
func (r *result) summarize() {
	if len(r.samples) == 0 {
		return
	}
	h := hdrhistogram.New(1, 60e9, 3)
	for _, s := range r.samples {
		s = min(max(s, 1), 60e9)
		if h.RecordValue(s) == nil {
			r.longest = max(r.longest, s)
		}
	}
	for i, q := range quantiles {
		if len(r.samples) >= enough[i] {
			r.percentiles[i] = min(h.ValueAtQuantile(q), r.longest) // the histogram rounds up
		}
	}
	r.samples = nil
}

// round is one turn through all cells.
type round struct {
	before, after int64 // p50 of the raw line ping-pong, nanoseconds
	results       []result
	slow          bool
}

// markSlow marks the rounds in which the machine was slow: a cache line went
// to and fro in more than twice the time of the best moment of the run. If
// that is all of them, since the best moment was a short one, those are left
// that took at most a quarter more than the best round. It returns how many are
// marked.
func markSlow(rounds []round) int {
	best, bestRound := int64(math.MaxInt64), int64(math.MaxInt64)
	for _, r := range rounds {
		best = min(best, r.before, r.after)
		bestRound = min(bestRound, max(r.before, r.after))
	}
	limit := 2 * best
	if bestRound > limit {
		limit = bestRound + bestRound/4
	}
	slow := 0
	for i := range rounds {
		if rounds[i].slow = max(rounds[i].before, rounds[i].after) > limit; rounds[i].slow {
			slow++
		}
	}
	return slow
}

// median returns the middle value of those of the rounds that count.
func median[T int64 | float64](rounds []round, value func(round) T) T {
	var vs []T
	for _, r := range rounds {
		if !r.slow {
			vs = append(vs, value(r))
		}
	}
	if len(vs) == 0 {
		return 0
	}
	slices.Sort(vs)
	if n := len(vs); n%2 == 0 {
		return (vs[n/2-1] + vs[n/2]) / 2
	}
	return vs[len(vs)/2]
}

// limitOf returns the cell that a cell is compared with, or -1.
func limitOf(cells []Cell, c Cell) int {
	return slices.IndexFunc(cells, func(l Cell) bool {
		switch {
		case l.Pattern != c.Pattern, c.Mode == Burst:
			return false
		case c.Pattern == Stream:
			return l.Mechanism == "limit-spsc" && l.Size == c.Size && l.Capacity == c.Capacity
		case c.Pattern == RTT && c.Wait == "park":
			return l.Mechanism == "limit-futex"
		case c.Pattern == RTT:
			return l.Mechanism == "limit-line"
		}
		return false
	})
}

// rowsOf makes the rows of the cells from their rounds: one for each, and one
// more for the slowest of several publishers.
func rowsOf(cells []Cell, rounds []round) []Row {
	var rows []Row
	counted := 0
	for _, r := range rounds {
		if !r.slow {
			counted++
		}
	}
	for i, c := range cells {
		r := Row{
			Mechanism: c.Mechanism, Mode: c.mode(), Pattern: c.Pattern, Size: c.Size, Publishers: c.Publishers,
			Subscribers: c.Subscribers, Wait: c.Wait, Stamps: c.Stamps, RatePerS: c.Rate, Rounds: counted,
		}
		number := func(value func(result) float64) *float64 {
			m := median(rounds, func(r round) float64 { return value(r.results[i]) })
			return &m
		}
		r.MsgsPerS = number(func(r result) float64 { return r.perSecond })
		r.BytesPerS = number(func(r result) float64 { return r.perSecond * float64(c.Size) })
		r.CPUNsPerMsg = number(func(r result) float64 { return r.cpu })
		r.CtxSwitchesPerMg = number(func(r result) float64 { return r.switches })
		if c.Pattern != Stream {
			for p, to := range []**int64{&r.P50Ns, &r.P90Ns, &r.P99Ns, &r.P999Ns} {
				m := median(rounds, func(r round) int64 { return r.results[i].percentiles[p] })
				if !slices.ContainsFunc(rounds, func(r round) bool { return !r.slow && r.results[i].percentiles[p] == 0 }) {
					*to = &m
				}
			}
			longest := int64(0)
			for _, o := range rounds {
				if !o.slow {
					longest = max(longest, o.results[i].longest)
				}
			}
			r.MaxNs = &longest
		}
		if l := limitOf(cells, c); l >= 0 {
			ratio := median(rounds, func(r round) float64 { return ratioOf(c, r.results[i], r.results[l]) })
			r.RatioToLimit = &ratio
		}
		rows = append(rows, r)
		if c.Publishers > 1 && c.Mode == Usual {
			rows = append(rows, slowestOf(r, median(rounds, func(r round) float64 { return r.results[i].share })))
		}
	}
	return rows
}

// slowestOf is the row of the slowest of several publishers, which had a part
// of its fair share.
func slowestOf(all Row, share float64) Row {
	r := Row{
		Mechanism: all.Mechanism, Mode: modeSlowest, Pattern: all.Pattern, Size: all.Size, Publishers: all.Publishers,
		Subscribers: all.Subscribers, Wait: all.Wait, Stamps: all.Stamps, Rounds: all.Rounds, note: three(share) + " of its share",
	}
	messages := share * *all.MsgsPerS / float64(all.Publishers)
	bytes := messages * float64(all.Size)
	r.MsgsPerS, r.BytesPerS = &messages, &bytes
	return r
}

// ratioOf compares within one round, so that what changes between rounds
// cancels out.
func ratioOf(c Cell, r, limit result) float64 {
	above, below := r.perSecond, limit.perSecond
	if c.Pattern == RTT {
		above, below = float64(r.percentiles[0]), float64(limit.percentiles[0])
	}
	if below == 0 {
		return 0
	}
	return above / below
}
