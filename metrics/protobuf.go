package metrics

import (
	"io"
	"math"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/shmbus/shmbus/ring"
)

// Delimited protobuf, which Prometheus asks for to get native histograms, is
// written here for the same reason as text: a tree of messages for each scrape,
// walked twice, takes several times as long as the bytes. Messages and the
// numbers of fields are those of io/prometheus/client/metrics.proto. A test
// holds every byte to expfmt's.

// Fields of io.prometheus.client messages.
const (
	familyName   = 1
	familyHelp   = 2
	familyType   = 3
	familyMetric = 4

	metricLabel     = 1
	metricGauge     = 2
	metricCounter   = 3
	metricHistogram = 7

	labelName  = 1
	labelValue = 2

	numberValue    = 1 // of a gauge or counter
	counterCreated = 3

	histogramCount         = 1
	histogramSum           = 2
	histogramBucket        = 3
	histogramSchema        = 5
	histogramZeroThreshold = 6
	histogramZeroCount     = 7
	histogramSpan          = 12
	histogramDelta         = 13
	histogramCreated       = 15

	bucketCount = 1
	bucketEdge  = 2

	spanOffset = 1
	spanLength = 2
)

// delimited writes samples as delimited protobuf. Its memory is used again.
type delimited struct {
	to     io.Writer
	family []byte
	metric []byte
	value  []byte
	small  []byte
	spans  []span
	deltas []int64
}

// series writes all samples of a series; exposition.sort comes first.
func (d *delimited) series(s *series, list []sample) error {
	if len(list) == 0 {
		return nil
	}
	b := appendString(d.family[:0], familyName, s.name)
	b = appendString(b, familyHelp, s.help)
	b = appendVarint(b, familyType, uint64(s.kind))
	for i := range list {
		m := append(d.metric[:0], list[i].of.wire...)
		switch s.kind {
		case dto.MetricType_HISTOGRAM:
			d.histogram(list[i].latency, list[i].of.stamp)
			m = appendBytes(m, metricHistogram, d.value)
		case dto.MetricType_COUNTER:
			v := appendDouble(d.value[:0], numberValue, list[i].value)
			if stamp := list[i].of.stamp; stamp != nil {
				v = appendBytes(v, counterCreated, stamp)
			}
			d.value = v
			m = appendBytes(m, metricCounter, v)
		default:
			d.value = appendDouble(d.value[:0], numberValue, list[i].value)
			m = appendBytes(m, metricGauge, d.value)
		}
		b = appendBytes(b, familyMetric, m)
		d.metric = m
	}
	d.family = b
	if _, err := d.to.Write(protowire.AppendVarint(d.small[:0], uint64(len(b)))); err != nil {
		return err
	}
	_, err := d.to.Write(b)
	return err
}

// histogram makes value of a histogram.
func (d *delimited) histogram(v *ring.Histogram, created []byte) {
	b := appendVarint(d.value[:0], histogramCount, v.Count())
	b = appendDouble(b, histogramSum, seconds(v.SumNanos))
	for i, n := range classicCounts(v) {
		d.small = appendDouble(appendVarint(d.small[:0], bucketCount, n), bucketEdge, classicBounds[i])
		b = appendBytes(b, histogramBucket, d.small)
	}
	b = appendVarint(b, histogramSchema, protowire.EncodeZigZag(ring.HistogramSchema))
	b = appendDouble(b, histogramZeroThreshold, zeroThreshold)
	b = appendVarint(b, histogramZeroCount, v.Buckets[0])
	d.spans, d.deltas = nativeBuckets(v, d.spans[:0], d.deltas[:0])
	for _, s := range d.spans {
		d.small = appendVarint(d.small[:0], spanOffset, protowire.EncodeZigZag(int64(s.offset)))
		d.small = appendVarint(d.small, spanLength, uint64(s.length))
		b = appendBytes(b, histogramSpan, d.small)
	}
	for _, n := range d.deltas {
		b = appendVarint(b, histogramDelta, protowire.EncodeZigZag(n))
	}
	if created != nil {
		b = appendBytes(b, histogramCreated, created)
	}
	d.value = b
}

// appendLabels appends what a metric says of its labels.
func appendLabels(b []byte, labels []*dto.LabelPair) []byte {
	for _, l := range labels {
		b = appendBytes(b, metricLabel, appendString(appendString(nil, labelName, l.GetName()), labelValue, l.GetValue()))
	}
	return b
}

// createdWire is a timestamp as a field's value.
func createdWire(t *timestamppb.Timestamp) []byte {
	b, err := proto.MarshalOptions{}.MarshalAppend([]byte{}, t)
	if err != nil {
		return nil // two numbers: there is nothing to go wrong
	}
	return b
}

func appendString(b []byte, field protowire.Number, s string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), s)
}

func appendBytes(b []byte, field protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), v)
}

func appendVarint(b []byte, field protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), v)
}

func appendDouble(b []byte, field protowire.Number, v float64) []byte {
	return protowire.AppendFixed64(protowire.AppendTag(b, field, protowire.Fixed64Type), math.Float64bits(v))
}
