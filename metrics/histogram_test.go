package metrics

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/shmbus/shmbus/ring"
)

// TestClassicAndNativeAgree: what is at or below an edge that both have is the
// same in both, and is what was put in.
func TestClassicAndNativeAgree(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 200 {
		var v ring.Histogram
		var values []int64
		for range random.IntN(2000) {
			// From 0 ns to some minutes, most of them small.
			nanos := int64(math.Exp(random.Float64() * 26))
			if random.IntN(10) == 0 {
				nanos = 0
			}
			values = append(values, nanos)
			v.Buckets[ring.BucketOf(nanos)]++
			v.SumNanos += uint64(nanos)
		}
		h := newHistogram(&v, timestamppb.New(time.Unix(1, 0)))
		if h.GetSampleCount() != uint64(len(values)) {
			t.Fatalf("round %d: count %d, want %d", round, h.GetSampleCount(), len(values))
		}
		if len(h.GetBucket()) != classicMost-classicLeast+1 {
			t.Fatalf("%d classic buckets", len(h.GetBucket()))
		}
		for _, b := range h.GetBucket() {
			want := uint64(0)
			for _, nanos := range values {
				if float64(nanos) <= b.GetUpperBound()*1e9 {
					want++
				}
			}
			if b.GetCumulativeCount() != want {
				t.Fatalf("round %d: classic bucket %g has %d, want %d", round, b.GetUpperBound(), b.GetCumulativeCount(), want)
			}
			if n := nativeUpTo(h, b.GetUpperBound()); n != want {
				t.Fatalf("round %d: native buckets up to %g have %d, want %d", round, b.GetUpperBound(), n, want)
			}
		}
		if n := nativeUpTo(h, math.Inf(1)); n != uint64(len(values)) {
			t.Fatalf("round %d: native buckets have %d, want %d", round, n, len(values))
		}
	}
}

// nativeUpTo reads a native histogram as the exposition format defines it.
func nativeUpTo(h *dto.Histogram, edge float64) uint64 {
	sum := h.GetZeroCount()
	base := math.Exp2(math.Exp2(-float64(h.GetSchema())))
	index, bucket, d := int32(0), int64(0), 0
	for _, s := range h.GetPositiveSpan() {
		index += s.GetOffset()
		for range s.GetLength() {
			bucket += h.GetPositiveDelta()[d]
			d++
			if bucket < 0 {
				panic("a bucket below zero")
			}
			if math.Pow(base, float64(index)) <= edge*(1+1e-9) {
				sum += uint64(bucket)
			}
			index++
		}
	}
	return sum
}

// TestEmptyHistogramIsNative: one without observations is still a native one.
func TestEmptyHistogramIsNative(t *testing.T) {
	h := newHistogram(new(ring.Histogram), nil)
	if len(h.GetPositiveSpan()) == 0 || h.GetSampleCount() != 0 || h.CreatedTimestamp != nil {
		t.Errorf("%v", h)
	}
}
