package watch

import (
	"context"
	"fmt"
	"time"

	"github.com/shmbus/shmbus/bus"
	"github.com/shmbus/shmbus/ring"
)

// Buckets of a snapshot are octaves of the histograms' buckets.
const (
	leastOctave = -22
	mostOctave  = 3
	perOctave   = 1 << ring.HistogramSchema

	// BucketCount is the length of Topic.Buckets.
	BucketCount = mostOctave - leastOctave + 2
)

// A Source is what a Watcher looks at: a [bus.Observer], or a test's.
type Source interface {
	Name() string
	Host(ctx context.Context) (bus.HostInfo, error)
	Statistics(ctx context.Context) ([]bus.TopicStatistics, error)
}

// Watcher makes snapshots.
type Watcher struct {
	source Source
	before map[topicKey]*memory
	at     time.Time
}

// topicKey is a topic: one made again under the same name is another.
type topicKey struct {
	name    string
	created int64
}

// seat is a participant.
type seat struct {
	publisher, guest bool
	slot             int
	gen              uint32
}

// memory is what is remembered of a topic.
type memory struct {
	totals      ring.Totals
	publishers  map[seat]ring.PublisherCounters
	subscribers map[seat]*ring.SubscriberCounters
}

// New returns a watcher of what source shows.
func New(source Source) *Watcher { return &Watcher{source: source} }

// Look takes a snapshot. If the host does not answer before ctx ends, the
// snapshot says so in Problem and shows no topics; rates then begin anew.
func (w *Watcher) Look(ctx context.Context) Snapshot {
	s := Snapshot{Bus: w.source.Name(), Time: time.Now(), Topics: []Topic{}}
	host, err := w.source.Host(ctx)
	var topics []bus.TopicStatistics
	if err == nil {
		s.Host = &Host{
			PID: host.PID, Program: host.Program, Version: host.Version, Started: host.Started,
			Memory: host.Memory, MaxMemory: host.MaxMemory, Clients: host.Clients,
		}
		topics, err = w.source.Statistics(ctx)
	}
	if err != nil {
		s.Problem = err.Error()
		w.before = nil
		return s
	}
	s.Time = time.Now()
	if w.before != nil {
		s.Interval = s.Time.Sub(w.at).Seconds()
	}
	now := make(map[topicKey]*memory, len(topics))
	for i := range topics {
		t := &topics[i]
		key := topicKey{t.Info.Name, t.Created.UnixNano()}
		now[key] = remember(t)
		s.Topics = append(s.Topics, look(t, now[key], w.before[key], s.Interval))
	}
	w.before, w.at = now, s.Time
	return s
}

func remember(t *bus.TopicStatistics) *memory {
	m := &memory{totals: t.Totals, publishers: map[seat]ring.PublisherCounters{}, subscribers: map[seat]*ring.SubscriberCounters{}}
	for i := range t.Publishers {
		p := &t.Publishers[i]
		m.publishers[seat{true, false, p.Slot, p.Gen}] = p.PublisherCounters
	}
	for i := range t.Subscribers {
		s := &t.Subscribers[i]
		m.subscribers[seat{false, s.Guest, s.Slot, s.Gen}] = &s.SubscriberCounters
	}
	return m
}

// look makes the picture of a topic. before is nil if it was not there.
func look(t *bus.TopicStatistics, now, before *memory, interval float64) Topic {
	if before == nil {
		before, interval = now, 0 // since when is not known: rates are 0
	}
	rate := func(now, before uint64) float64 {
		if interval <= 0 || now < before {
			return 0
		}
		return float64(now-before) / interval
	}
	p, q := &now.totals.Publishers, &before.totals.Publishers
	s, r := &now.totals.Subscribers, &before.totals.Subscribers
	latencies := s.Latency.Since(&r.Latency)
	out := Topic{
		Topic: t.Info.Name, Capacity: t.Capacity, Used: t.Used, Messages: p.Published,
		PublishedPS: rate(p.Published, q.Published), BytesPS: rate(p.Bytes, q.Bytes),
		DeliveredPS: rate(s.Delivered, r.Delivered), LostPS: rate(s.Lost(), r.Lost()), Lost: s.Lost(),
		Dropped: p.Dropped, Refused: p.Refused, Blocked: rate(p.BlockedNanos, q.BlockedNanos) / 1e9,
		RevocationPS: rate(p.Revocations, q.Revocations), Repairs: t.Totals.Repairs,
		Stalled: t.Info.Stalled, Quarantined: t.Info.Quarantined,
		Latency: latencyOf(&latencies), Buckets: octaves(&latencies),
		Publishers: []Publisher{}, Subscribers: []Subscriber{},
	}
	for i := range t.Publishers {
		p := &t.Publishers[i]
		q, there := before.publishers[seat{true, false, p.Slot, p.Gen}]
		if !there {
			q = p.PublisherCounters
		}
		out.Publishers = append(out.Publishers, Publisher{
			Slot: p.Slot, Name: p.Name, Published: p.Published, PublishedPS: rate(p.Published, q.Published), BytesPS: rate(p.Bytes, q.Bytes),
			Refused: p.Refused, Dropped: p.Dropped, Aborted: p.Aborted,
			Blocked: rate(p.BlockedNanos, q.BlockedNanos) / 1e9, RevocationPS: rate(p.Revocations, q.Revocations),
		})
	}
	for i := range t.Subscribers {
		s := &t.Subscribers[i]
		r := before.subscribers[seat{false, s.Guest, s.Slot, s.Gen}]
		if r == nil {
			r = &s.SubscriberCounters
		}
		latencies := s.Latency.Since(&r.Latency)
		gates := !s.Guest && s.Gating && s.Slot == t.GatingSlot
		if gates {
			out.Gating = Label(s.Name, s.Slot)
		}
		out.Lag = max(out.Lag, s.Lag)
		out.Subscribers = append(out.Subscribers, Subscriber{
			Slot: s.Slot, Name: s.Name, Mode: s.Mode.String(), Guest: s.Guest, Gates: gates,
			Lag: s.Lag, Behind: behind(s.Position, t), Delivered: s.Delivered, DeliveredPS: rate(s.Delivered, r.Delivered),
			Lost: s.Lost(), LostPS: rate(s.Lost(), r.Lost()), WakeUpsPS: rate(s.WakeUps, r.WakeUps), Latency: latencyOf(&latencies),
		})
	}
	return out
}

// behind is the share of the ring between a cursor and the end.
func behind(position uint64, t *bus.TopicStatistics) float64 {
	d := int64(t.Position - position)
	if d <= 0 || t.Capacity == 0 {
		return 0
	}
	return min(float64(d)/float64(t.Capacity), 1)
}

func latencyOf(h *ring.Histogram) Latency {
	return Latency{Count: h.Count(), P50: h.Quantile(0.5), P99: h.Quantile(0.99), P999: h.Quantile(0.999)}
}

// octaves sums up the buckets of a histogram.
func octaves(h *ring.Histogram) []uint64 {
	sums := make([]uint64, BucketCount)
	for k, n := range h.Buckets {
		// The octave that ends at 2^o holds the eight buckets up to its edge.
		o := (k+ring.HistogramOffset+perOctave*1000-1)/perOctave - 1000 + 1
		sums[min(max(o-leastOctave, 0), BucketCount-1)] += n
	}
	return sums
}

// Label is what a participant is called: its name, or its slot.
func Label(name string, slot int) string {
	if name != "" {
		return name
	}
	return fmt.Sprintf("#%d", slot)
}
