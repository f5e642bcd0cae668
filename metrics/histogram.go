package metrics

import (
	"math"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/shmbus/shmbus/ring"
)

// Classic buckets end at powers of two of a second, from 2^-22 (238 ns) to
// 2^3: every eighth edge of the native ones, so both tell the same.
const (
	classicLeast = -22
	classicMost  = 3
	perOctave    = 1 << ring.HistogramSchema
)

// zeroThreshold is the width of the bucket for no time at all: below the least
// that the clock can tell.
const zeroThreshold = 1.0 / (1 << 30)

// newHistogram is a histogram as protobuf has it. client_golang's constant
// ones are either classic or native; this is both.
func newHistogram(v *ring.Histogram, created *timestamppb.Timestamp) *dto.Histogram {
	count := v.Count()
	h := &dto.Histogram{
		SampleCount:   proto.Uint64(count),
		SampleSum:     proto.Float64(seconds(v.SumNanos)),
		Schema:        proto.Int32(ring.HistogramSchema),
		ZeroThreshold: proto.Float64(zeroThreshold),
		ZeroCount:     proto.Uint64(v.Buckets[0]),

		CreatedTimestamp: created,
	}
	h.Bucket = classicBuckets(v)
	var spans []span
	spans, h.PositiveDelta = nativeBuckets(v, nil, nil)
	for _, s := range spans {
		h.PositiveSpan = append(h.PositiveSpan, &dto.BucketSpan{Offset: proto.Int32(s.offset), Length: proto.Uint32(s.length)})
	}
	return h
}

const classicEdges = classicMost - classicLeast + 1

// classicBounds are the edges in seconds.
var classicBounds = func() (bounds [classicEdges]float64) {
	for i := range bounds {
		bounds[i] = math.Ldexp(1, classicLeast+i)
	}
	return bounds
}()

// classicCounts are the numbers of what is at or below each edge.
func classicCounts(v *ring.Histogram) (counts [classicEdges]uint64) {
	var sum uint64
	k := 0
	for i := range counts {
		for last := perOctave*(classicLeast+i) - ring.HistogramOffset; k <= last; k++ {
			sum += v.Buckets[k]
		}
		counts[i] = sum
	}
	return counts
}

func classicBuckets(v *ring.Histogram) []*dto.Bucket {
	all := &struct {
		counts  [classicEdges]uint64
		values  [classicEdges]dto.Bucket
		buckets [classicEdges]*dto.Bucket
	}{counts: classicCounts(v)}
	for i := range all.buckets {
		all.values[i].CumulativeCount, all.values[i].UpperBound = &all.counts[i], &classicBounds[i]
		all.buckets[i] = &all.values[i]
	}
	return all.buckets[:]
}

// span are neighbouring buckets, the first of them offset behind the last one
// of the span before.
type span struct {
	offset int32
	length uint32
}

// nativeBuckets are the buckets that are not empty, as spans of neighbours and
// the differences between them, behind what is given. A short gap is cheaper
// filled than told.
func nativeBuckets(v *ring.Histogram, spans []span, deltas []int64) ([]span, []int64) {
	const shortGap = 2
	var before int64 // count of the bucket before
	next := int32(0) // index behind the last bucket told
	for k := 1; k < len(v.Buckets); k++ {
		n := int64(v.Buckets[k])
		if n == 0 {
			continue
		}
		index := int32(k) + ring.HistogramOffset
		if gap := index - next; len(spans) == 0 || gap > shortGap {
			spans = append(spans, span{offset: gap})
			next = index
		}
		told := &spans[len(spans)-1].length
		for ; next < index; next++ {
			deltas = append(deltas, -before)
			before = 0
			*told++
		}
		deltas = append(deltas, n-before)
		before = n
		next++
		*told++
	}
	if len(spans) == 0 {
		// A native histogram without a span would be taken for a classic one.
		spans = append(spans, span{})
	}
	return spans, deltas
}
