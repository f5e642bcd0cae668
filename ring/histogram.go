package ring

import (
	"math"
	"math/bits"
	"sort"
	"sync/atomic"
	"time"
)

// Latencies are counted in buckets whose edges are those of Prometheus' native
// histograms of schema 3, in seconds: bucket k holds what is more than the
// edge below it and at most
//
//	⌊10⁹ · 2^((k-240)/8)⌋ nanoseconds
//
// so that eight buckets double the latency, powers of two of a second are
// edges (which classic histograms share), and every latency that is a whole
// number of nanoseconds is in the bucket in which Prometheus would put it.
// Bucket 0 holds 0 alone; the last one has no edge, and holds what is more
// than 107 seconds.
const (
	// HistogramBuckets is the number of buckets.
	HistogramBuckets = bucketCount
	// HistogramSchema is the schema of Prometheus' native histograms.
	HistogramSchema = 3
	// HistogramOffset added to the number of a bucket is its index there.
	HistogramOffset = -240

	edgeCount = HistogramBuckets - 1
)

// Histogram counts latencies.
type Histogram struct {
	Buckets  [HistogramBuckets]uint64
	SumNanos uint64 // of all latencies; may be a batch older than the buckets
}

// BucketEdge returns the edge of bucket k in nanoseconds, which belongs to it:
// math.MaxInt64 for the last one.
func BucketEdge(k int) int64 {
	if k >= edgeCount {
		return math.MaxInt64
	}
	return int64(nanoBounds.edges[k])
}

// BucketOf returns the bucket of a latency; what is less than 0 counts as 0.
func BucketOf(nanos int64) int { return nanoBounds.bucketOf(uint64(max(nanos, 0))) }

// Count returns how many latencies were counted.
func (h *Histogram) Count() uint64 { return h.UpTo(HistogramBuckets - 1) }

// UpTo returns how many are in the buckets up to k, itself included.
func (h *Histogram) UpTo(k int) uint64 {
	n := uint64(0)
	for _, b := range h.Buckets[:k+1] {
		n += b
	}
	return n
}

// Add adds what other has counted.
func (h *Histogram) Add(other *Histogram) {
	for k, b := range other.Buckets {
		h.Buckets[k] += b
	}
	h.SumNanos += other.SumNanos
}

// Since returns what was counted since an older reading of the same histogram.
func (h *Histogram) Since(older *Histogram) Histogram {
	d := Histogram{SumNanos: h.SumNanos - older.SumNanos}
	for k, b := range h.Buckets {
		d.Buckets[k] = b - older.Buckets[k]
	}
	return d
}

// Quantile returns the latency that a share of q, from 0 to 1, does not
// exceed, as Prometheus interpolates within a bucket: exponentially, but in
// whole nanoseconds. 0 if nothing was counted.
func (h *Histogram) Quantile(q float64) time.Duration {
	rank := q * float64(h.Count())
	below := 0.0
	for k, b := range h.Buckets {
		n := float64(b)
		if b == 0 || below+n < rank {
			below += n
			continue
		}
		switch k {
		case 0:
			return 0
		case edgeCount:
			return time.Duration(BucketEdge(k - 1))
		}
		v := math.Exp2((float64(k-1+HistogramOffset)+(rank-below)/n)/(1<<HistogramSchema)) * 1e9
		return time.Duration(min(int64(math.Ceil(v)), BucketEdge(k)))
	}
	return 0
}

// bounds find the bucket of a value, in whatever unit its edges are.
type bounds struct {
	edges [edgeCount]uint64
	slots [65 * slotsPerBit]slot // by the value's bit length and the four bits behind its first

	multiplier uint64 // of the ticks that they are in; nanoseconds: 0
}

// slot says in which bucket the values are that have a bit length and four
// bits behind the first one in common: in low up to edge, in high above. Buckets
// are wider than a sixteenth of any value in them, so no more than two meet in a
// slot; where values are fewer than slots, or edges closer than whole numbers, a
// slot is of one value or the edges between the two buckets are one.
type slot struct {
	edge      uint64
	low, high uint32
}

const slotsPerBit = 16

// slotOf returns the slot of a value.
func slotOf(v uint64) int {
	n := bits.Len64(v)
	return n*slotsPerBit + int(v<<(-n&63)>>59&(slotsPerBit-1))
}

// bucketOf returns the bucket of a value. It has no branch: latencies of
// messages in a row do not let the processor guess.
func (b *bounds) bucketOf(v uint64) int {
	s := &b.slots[slotOf(v)]
	_, above := bits.Sub64(s.edge, v, 0)
	return int(s.low) + int(above)*int(s.high-s.low)
}

// extent returns the least and the greatest value of a bucket.
func (b *bounds) extent(bucket int) (least, most uint64) {
	most = math.MaxUint64
	if bucket > 0 {
		least = b.edges[bucket-1] + 1
	}
	if bucket < edgeCount {
		most = b.edges[bucket]
	}
	return least, most
}

// search is bucketOf by the definition.
func (b *bounds) search(v uint64) int {
	return sort.Search(edgeCount, func(k int) bool { return v <= b.edges[k] })
}

// index makes slots of the edges.
func (b *bounds) index() {
	for n := 1; n <= 64; n++ {
		for i := range uint64(slotsPerBit) {
			first := (slotsPerBit + i) << max(n-5, 0) >> max(5-n, 0)
			last := first + 1<<max(n-5, 0) - 1
			s := &b.slots[slotOf(first)]
			*s = slot{low: uint32(b.search(first)), high: uint32(b.search(last))}
			if s.low < edgeCount {
				s.edge = b.edges[s.low]
			}
		}
	}
}

// eighths are 2^(j/8) times 2^63, rounded down.
var eighths = [8]uint64{
	0x8000000000000000, 0x8b95c1e3ea8bd6e6, 0x9837f0518db8a96f, 0xa5fed6a9b15138ea,
	0xb504f333f9de6484, 0xc5672a115506dadd, 0xd744fccad69d6af4, 0xeac0c6e7dd24392e,
}

// nanoBounds are the bounds in nanoseconds. They never change.
var nanoBounds = func() *bounds {
	b := &bounds{}
	for k := range b.edges {
		i := k + HistogramOffset
		high, low := bits.Mul64(1e9, eighths[i&7])
		if down := 63 - i>>3; down >= 64 {
			b.edges[k] = high >> (down - 64)
		} else {
			b.edges[k] = high<<(64-down) | low>>down
		}
	}
	b.index()
	return b
}()

// tickBounds returns the same bounds in ticks of a counter that multiplier
// makes nanoseconds of (shm.TSCScale): the bucket of a number of ticks is that
// of its nanoseconds, rounded down.
func tickBounds(multiplier uint64) *bounds {
	b := &bounds{multiplier: multiplier}
	for k, e := range nanoBounds.edges {
		// The most ticks whose nanoseconds, ticks * multiplier >> 32, are at
		// most e: those with ticks * multiplier < (e+1) << 32.
		high, low := (e+1)>>32, (e+1)<<32
		if high >= multiplier {
			b.edges[k] = math.MaxUint64 // a tick is less than a quarter of 10^-9 of the edge: no such counter
			continue
		}
		q, rest := bits.Div64(high, low, multiplier)
		if rest == 0 {
			q--
		}
		b.edges[k] = q
	}
	b.index()
	return b
}

// lastTickBounds are the tickBounds that were made last.
var lastTickBounds atomic.Pointer[bounds]

// sharedTickBounds returns tickBounds that all consumers of the process have in
// common for as long as its scale is the same: 19 KiB, and tens of microseconds
// to make them.
func sharedTickBounds(multiplier uint64) *bounds {
	if b := lastTickBounds.Load(); b != nil && b.multiplier == multiplier { // sync(tickBounds): they never change; pairs with the store below
		return b
	}
	b := tickBounds(multiplier)
	lastTickBounds.Store(b) // sync(tickBounds): whoever is last wins, all are right; pairs with the load above
	return b
}
