package ring

import (
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/shmbus/shmbus/shm"
)

// exactEdge is ⌊10⁹ · 2^(i/8)⌋, by numbers of any length: the floor of the
// eighth root of 10^72 · 2^i.
func exactEdge(i int) int64 {
	n := new(big.Int).Exp(big.NewInt(10), big.NewInt(72), nil)
	if i >= 0 {
		n.Lsh(n, uint(i))
	} else {
		n.Rsh(n, uint(-i)) // rounds down, and so does the root
	}
	for range 3 {
		n.Sqrt(n)
	}
	return n.Int64()
}

// TestBucketEdges: every edge is exact, and the values around it are on the
// right side.
func TestBucketEdges(t *testing.T) {
	for k := range edgeCount {
		want := exactEdge(k + HistogramOffset)
		if got := BucketEdge(k); got != want {
			t.Errorf("bucket %d: edge %d, want %d", k, got, want)
		}
		if k > 0 && want == BucketEdge(k-1) {
			continue // no whole nanosecond lies in it
		}
		if got := BucketOf(want); got != k {
			t.Errorf("%d ns, the edge of bucket %d, is in bucket %d", want, k, got)
		}
		if got := BucketOf(want + 1); got <= k || BucketEdge(got) <= want {
			t.Errorf("%d ns, beyond the edge of bucket %d, is in bucket %d", want+1, k, got)
		}
	}
	if got := BucketOf(math.MaxInt64); got != HistogramBuckets-1 || BucketEdge(got) != math.MaxInt64 {
		t.Errorf("what is longer than all is in bucket %d, up to %d", got, BucketEdge(got))
	}
	if BucketOf(0) != 0 || BucketOf(-5) != 0 || BucketOf(1) != 1 {
		t.Errorf("0, -5 and 1 are in buckets %d, %d, %d", BucketOf(0), BucketOf(-5), BucketOf(1))
	}
}

// TestClassicEdges: powers of two of a second, from 2^-22 on, are edges.
func TestClassicEdges(t *testing.T) {
	for e := -22; e <= 3; e++ {
		want := int64(math.Floor(math.Ldexp(1e9, e)))
		if got := BucketEdge(8*e - HistogramOffset); got != want {
			t.Errorf("2^%d s is %d ns, the edge is %d", e, want, got)
		}
	}
}

// TestBucketOfIsPrometheus: a latency is in the bucket whose index i has
// 2^((i-1)/8) < seconds <= 2^(i/8), as far as floating point can tell.
func TestBucketOfIsPrometheus(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nanos := rapid.Int64Range(1, 1<<rapid.IntRange(1, 36).Draw(t, "bits")).Draw(t, "nanoseconds")
		i := 8 * math.Log2(float64(nanos)/1e9)
		got := BucketOf(nanos) + HistogramOffset
		if nearest := math.Round(i); math.Abs(i-nearest) < 1e-6 {
			if got != int(nearest) && got != int(nearest)+1 {
				t.Errorf("%d ns: index %d, want about %v", nanos, got, i)
			}
			return
		}
		if want := int(math.Ceil(i)); got != want {
			t.Errorf("%d ns: index %d, want %d", nanos, got, want)
		}
	})
}

// TestTickBounds: the bucket of a number of ticks is that of its nanoseconds,
// at every edge and between, for counters of 25 MHz to 10 GHz.
func TestTickBounds(t *testing.T) {
	for _, ghz := range []float64{0.025, 0.0625, 1, 1.999, 2.5, 3.7, 10} {
		s := shm.TSCScale{Multiplier: uint64(math.Round((1 << 32) / ghz))}
		b := tickBounds(s.Multiplier)
		check := func(ticks uint64) {
			if got, want := b.bucketOf(ticks), BucketOf(s.Span(ticks)); got != want {
				t.Fatalf("%v GHz: %d ticks, %d ns: bucket %d, want %d", ghz, ticks, s.Span(ticks), got, want)
			}
		}
		for _, e := range b.edges {
			check(e)
			check(e + 1)
		}
		for range 10_000 {
			v := rand.Uint64N(1 << (1 + rand.IntN(40)))
			check(v)
			if got, want := b.bucketOf(v), b.search(v); got != want {
				t.Fatalf("%v GHz: %d ticks: bucket %d, by the edges %d", ghz, v, got, want)
			}
		}
	}
}

// TestTickBoundsAreShared: consumers do not each have their own, and none has
// those of another counter.
func TestTickBoundsAreShared(t *testing.T) {
	const one, other = 1 << 31, 1<<31 + 1
	b := sharedTickBounds(one)
	if sharedTickBounds(one) != b {
		t.Error("made again for the same counter")
	}
	if sharedTickBounds(other) == b || b.multiplier != one {
		t.Error("those of another counter")
	}
}

// TestQuantile: within one bucket of the exact one, whatever the latencies.
func TestQuantile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOfN(rapid.Int64Range(0, 200e9), 1, 200).Draw(t, "latencies")
		var h Histogram
		for _, v := range list {
			h.Buckets[BucketOf(v)]++
			h.SumNanos += uint64(v)
		}
		slices.Sort(list)
		q := rapid.Float64Range(0, 1).Draw(t, "q")
		exact := list[max(int(math.Ceil(q*float64(len(list))))-1, 0)]
		if got, want := BucketOf(int64(h.Quantile(q))), BucketOf(exact); got < want-1 || got > want {
			t.Errorf("%v of %d is %v in bucket %d, want %v in %d", q, len(list), h.Quantile(q), got, time.Duration(exact), want)
		}
		var twice Histogram
		twice.Add(&h)
		twice.Add(&h)
		if since := twice.Since(&h); since != h || h.Count() != uint64(len(list)) {
			t.Errorf("twice less once is not once: %d of %d", since.Count(), h.Count())
		}
	})
	if got := new(Histogram).Quantile(0.5); got != 0 {
		t.Errorf("of nothing: %v", got)
	}
}

func BenchmarkBucketOf(b *testing.B) {
	for n := int64(0); b.Loop(); n++ {
		BucketOf(n & (1<<20 - 1))
	}
}
