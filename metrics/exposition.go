package metrics

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"

	"github.com/shmbus/shmbus/bus"
	"github.com/shmbus/shmbus/ring"
)

// sample is the value of one owner in a series.
type sample struct {
	of      *owner
	value   float64
	latency *ring.Histogram // of a histogram, which has no value
}

// exposition is what one look at a bus found, in the order in which it came.
type exposition struct {
	descs   *descs
	root    *owner
	look    uint64
	samples [][]sample // by series.index
	named   int        // names still allowed
	folded  int
}

// What a name is given for: in each role of a topic it is one participant's.
const (
	publishes = iota
	subscribes
)

// claim returns the owner of the series of a participant of a topic that has a
// name, nil if it gets none.
func (e *exposition) claim(of *owner, role int, name string) *owner {
	if e.named == 0 {
		e.folded++
		return nil
	}
	own := e.with(of, participantLabel, name)
	if own.claimed[role] == e.look {
		return nil // two have it, of whom one is leaving
	}
	own.claimed[role] = e.look
	e.named--
	return own
}

// with is an owner with one more label.
func (e *exposition) with(o *owner, name, value string) *owner { return o.with(e.look, name, value) }

func (e *exposition) add(s *series, v float64, of *owner) {
	e.samples[s.index] = append(e.samples[s.index], sample{of: of, value: v})
}

func (e *exposition) publisher(r role, c *ring.PublisherCounters, of *owner) {
	for i, s := range r.publisher {
		e.add(s, publisherCounters[i].value(c), of)
	}
}

func (e *exposition) subscriber(r role, c *ring.SubscriberCounters, of *owner) {
	for i, s := range r.subscriber {
		e.add(s, subscriberCounters[i].value(c), of)
	}
	e.add(r.lost, float64(c.LostPolling), e.with(of, "reason", "polling"))
	e.add(r.lost, float64(c.LostReading), e.with(of, "reason", "reading"))
	e.samples[r.latency.index] = append(e.samples[r.latency.index], sample{of: of, latency: &c.Latency})
}

// topic reports what is known of a topic as a whole.
func (e *exposition) topic(t *bus.TopicStatistics, of *owner) {
	d := e.descs
	e.publisher(d.topic, &t.Totals.Publishers, of)
	e.add(d.sequences, float64(t.Sequence), of)
	e.subscriber(d.topic, &t.Totals.Subscribers, of)
	e.add(d.repairs, float64(t.Totals.Repairs), of)
	e.add(d.orphans, float64(t.Totals.Orphans), of)
	e.add(d.capacity, float64(t.Capacity), of)
	e.add(d.used, float64(t.Used), of)
	e.add(d.memory, float64(t.Info.LogBytes+t.Info.CursorBytes), of)
	e.add(d.participants, float64(t.Counts.Publishers), e.with(of, "role", "publisher"))
	e.add(d.participants, float64(t.Counts.Subscribers), e.with(of, "role", "subscriber"))
	e.add(d.stalled, oneIf(t.Info.Stalled != ""), of)
	e.add(d.quarantined, float64(len(t.Info.Quarantined)), of)
}

func (e *exposition) host(h *bus.HostInfo) {
	e.add(e.descs.host, 1, e.with(e.with(e.root, "program", h.Program), "version", h.Version))
	e.add(e.descs.hostMemory, float64(h.Memory), e.root)
	e.add(e.descs.hostLimit, float64(h.MaxMemory), e.root)
	e.add(e.descs.clients, float64(h.Clients), e.root)
}

// sort puts all samples into the order of the formats.
func (e *exposition) sort() {
	for _, list := range e.samples {
		slices.SortFunc(list, func(a, b sample) int { return a.of.compare(b.of) })
	}
}

// clear makes room for another look; the memory is used again.
func (e *exposition) clear() {
	for i, list := range e.samples {
		clear(list)
		e.samples[i] = list[:0]
	}
}

// metrics calls f with every sample as a registry takes it.
func (e *exposition) metrics(f func(prometheus.Metric)) {
	for i, list := range e.samples {
		all := make([]metric, len(list))
		for j, s := range list {
			m := &all[j]
			m.series, m.sample = e.descs.all[i], s
			f(m)
		}
	}
}

// family returns a series as protobuf has it; sort comes first.
func (e *exposition) family(s *series) *dto.MetricFamily {
	list := e.samples[s.index]
	all, values := make([]dto.Metric, len(list)), make([]holder, len(list))
	family := &dto.MetricFamily{Name: &s.name, Help: &s.help, Type: s.kind.Enum(), Metric: make([]*dto.Metric, len(list))}
	for i := range list {
		list[i].write(s, &all[i], &values[i])
		family.Metric[i] = &all[i]
	}
	return family
}

// holder is what a metric consists of, in one piece of memory.
type holder struct {
	counter dto.Counter
	gauge   dto.Gauge
}

// write fills m with a sample, whose value m then refers to.
func (s *sample) write(of *series, m *dto.Metric, h *holder) {
	m.Label = s.of.labels
	switch of.kind {
	case dto.MetricType_COUNTER:
		h.counter.Value, h.counter.CreatedTimestamp = &s.value, s.of.created
		m.Counter = &h.counter
	case dto.MetricType_HISTOGRAM:
		m.Histogram = newHistogram(s.latency, s.of.created)
	default:
		h.gauge.Value = proto.Float64(s.value)
		m.Gauge = &h.gauge
	}
}

// metric is a sample on its way through a registry. client_golang's own would
// copy and sort its labels for each.
type metric struct {
	*series
	sample
	holder
}

// Desc implements [prometheus.Metric].
func (m *metric) Desc() *prometheus.Desc { return m.desc }

// Write implements [prometheus.Metric].
func (m *metric) Write(to *dto.Metric) error {
	m.sample.write(m.series, to, &m.holder)
	return nil
}

func oneIf(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
