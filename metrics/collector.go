package metrics

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/shmbus/shmbus/bus"
	"github.com/shmbus/shmbus/ring"
)

// A Collector turns what participants count into series. It implements
// [prometheus.Collector]. Each Collect reads the shared memory once; several at
// once take turns.
type Collector struct {
	descs *descs
	whole bool // everybody on the bus, topics included
	read  func(context.Context) (reading, error)

	mu      sync.Mutex
	unnamed map[unnamedKey]*unnamed // what unnamed participants that left had counted
}

// reading is one look at a bus.
type reading struct {
	host   *bus.HostInfo // nil: nobody answers
	topics []bus.TopicStatistics
}

const (
	// maxNamed bounds the series: named participants beyond it are counted
	// with the unnamed ones.
	maxNamed = 4000
	// readTimeout bounds how long a look at the bus waits for its host.
	readTimeout = 5 * time.Second
)

// NewCollector returns a collector of what b's own publishers and subscribers
// count, for the registry of the service that has opened b. Several handles
// can have collectors in one registry if they are of different buses.
func NewCollector(b *bus.Bus) *Collector {
	return newCollector(b.Name(), false, func(context.Context) (reading, error) {
		return reading{topics: b.Statistics()}, nil
	})
}

// NewBusCollector returns a collector of all topics of a bus and everybody
// attached to them. While nobody hosts the bus it reports shmbus_up 0 and
// nothing else.
func NewBusCollector(o *bus.Observer) *Collector {
	return newCollector(o.Name(), true, func(ctx context.Context) (reading, error) {
		host, err := o.Host(ctx)
		if err != nil {
			return reading{}, err
		}
		topics, err := o.Statistics(ctx)
		return reading{&host, topics}, err
	})
}

func newCollector(name string, whole bool, read func(context.Context) (reading, error)) *Collector {
	return &Collector{descs: newDescs(name), whole: whole, read: read, unnamed: map[unnamedKey]*unnamed{}}
}

// Describe implements [prometheus.Collector].
func (c *Collector) Describe(to chan<- *prometheus.Desc) {
	c.descs.all(func(d *prometheus.Desc) { to <- d })
}

// Collect implements [prometheus.Collector].
func (c *Collector) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	now, err := c.read(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	e := &emission{descs: c.descs, to: to, named: maxNamed}
	if c.whole {
		up := 0.0
		if err == nil && now.host != nil {
			up = 1
			e.host(now.host)
		}
		e.gauge(c.descs.up, up)
	}
	if err != nil {
		return // the unnamed stay as they are
	}
	for i := range now.topics {
		t := &now.topics[i]
		if c.whole {
			e.topic(t)
		}
		c.participants(e, t)
	}
	e.gauge(c.descs.folded, float64(e.folded))
	c.forget(now.topics)
}

// unnamedKey is a topic: one that was made again under its name is another.
type unnamedKey struct {
	topic   string
	created int64
}

func keyOf(t *bus.TopicStatistics) unnamedKey {
	return unnamedKey{t.Info.Name, t.Created.UnixNano()}
}

// unnamed sums up the participants of a topic that have no name.
type unnamed struct {
	goneP ring.PublisherCounters // those that left, as last seen
	goneS ring.SubscriberCounters
	here  map[seat]any // those seen last time: ring.PublisherCounters, *ring.SubscriberCounters
	ever  [2]bool      // there was a publisher, a subscriber
}

// seat is a slot as long as it is granted to the same.
type seat struct {
	publisher bool
	guest     bool
	slot      int
	gen       uint32
}

// participants reports the publishers and subscribers of a topic.
func (c *Collector) participants(e *emission, t *bus.TopicStatistics) {
	key, all := keyOf(t), e.owner(t)
	u := c.unnamed[key]
	if u == nil {
		u = &unnamed{here: map[seat]any{}}
		c.unnamed[key] = u
	}
	here := make(map[seat]any, len(u.here))
	for i := range t.Publishers {
		p := &t.Publishers[i]
		if name := e.name(p.Name); name != "" {
			e.publisher(e.descs.publisher, &p.PublisherCounters, all.with("name", name))
			continue
		}
		u.ever[0] = true
		here[seat{true, false, p.Slot, p.Gen}] = p.PublisherCounters
	}
	var crowd crowd
	for i := range t.Subscribers {
		s := &t.Subscribers[i]
		gates := c.whole && t.GatingSlot == s.Slot && !s.Guest && s.Gating
		name := e.name(s.Name)
		if name == "" {
			u.ever[1] = true
			here[seat{false, s.Guest, s.Slot, s.Gen}] = &s.SubscriberCounters
			crowd.add(s, gates)
			continue
		}
		e.subscriber(e.descs.subscriber, &s.SubscriberCounters, all.with("name", name))
		e.gauge(e.descs.lag, float64(s.Lag), t.Info.Name, name, s.Mode.String())
		if c.whole {
			e.gauge(e.descs.gating, oneIf(gates), t.Info.Name, name)
		}
		if s.MaxLag > 0 {
			e.gauge(e.descs.maxLag, float64(s.MaxLag), t.Info.Name, name)
		}
	}
	publishers, subscribers := u.sum(here)
	if u.ever[0] {
		e.publisher(e.descs.publisher, &publishers, all.with("name", ""))
	}
	if u.ever[1] {
		e.subscriber(e.descs.subscriber, &subscribers, all.with("name", ""))
		crowd.emit(e, t.Info.Name, c.whole)
	}
}

// sum moves those that left to the gone and returns the sums with those here.
func (u *unnamed) sum(here map[seat]any) (p ring.PublisherCounters, s ring.SubscriberCounters) {
	for seat, last := range u.here {
		if _, still := here[seat]; still {
			continue
		}
		switch last := last.(type) {
		case ring.PublisherCounters:
			u.goneP.Add(&last)
		case *ring.SubscriberCounters:
			u.goneS.Add(last)
		}
	}
	u.here = here
	p, s = u.goneP, u.goneS
	for _, now := range here {
		switch now := now.(type) {
		case ring.PublisherCounters:
			p.Add(&now)
		case *ring.SubscriberCounters:
			s.Add(now)
		}
	}
	return p, s
}

// forget drops topics that are gone.
func (c *Collector) forget(topics []bus.TopicStatistics) {
	if len(c.unnamed) == len(topics) {
		return
	}
	live := make(map[unnamedKey]bool, len(topics))
	for i := range topics {
		live[keyOf(&topics[i])] = true
	}
	for key := range c.unnamed {
		if !live[key] {
			delete(c.unnamed, key)
		}
	}
}

// crowd is what gauges say of unnamed subscribers.
type crowd struct {
	lag    [2]uint64 // by mode
	some   [2]bool
	gating bool
}

func (c *crowd) add(s *ring.SubscriberInfo, gates bool) {
	i := 0
	if s.Mode == ring.Lossy {
		i = 1
	}
	c.some[i] = true
	c.lag[i] = max(c.lag[i], s.Lag)
	c.gating = c.gating || gates
}

func (c *crowd) emit(e *emission, topic string, whole bool) {
	for i, mode := range []ring.Mode{ring.Reliable, ring.Lossy} {
		if c.some[i] {
			e.gauge(e.descs.lag, float64(c.lag[i]), topic, "", mode.String())
		}
	}
	if whole {
		e.gauge(e.descs.gating, oneIf(c.gating), topic, "")
	}
}

// emission is one Collect.
type emission struct {
	descs  *descs
	to     chan<- prometheus.Metric
	named  int // names still allowed
	folded int
}

// name returns the name that a participant is reported under.
func (e *emission) name(given string) string {
	if given == "" {
		return ""
	}
	if e.named == 0 {
		e.folded++
		return ""
	}
	e.named--
	return strings.ToValidUTF8(given, "\uFFFD") // others wrote it
}

func (e *emission) gauge(d *prometheus.Desc, v float64, labels ...string) {
	e.to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (e *emission) counter(d *prometheus.Desc, v float64, of owner) {
	m := &count{desc: d, labels: of.labels, value: v}
	m.counter.Value, m.counter.CreatedTimestamp = &m.value, of.created
	e.to <- m
}

func (e *emission) publisher(r role, c *ring.PublisherCounters, of owner) {
	for i, d := range r.publisher {
		e.counter(d, publisherCounters[i].value(c), of)
	}
}

func (e *emission) subscriber(r role, c *ring.SubscriberCounters, of owner) {
	for i, d := range r.subscriber {
		e.counter(d, subscriberCounters[i].value(c), of)
	}
	e.counter(r.lost, float64(c.LostPolling), of.with("reason", "polling"))
	e.counter(r.lost, float64(c.LostReading), of.with("reason", "reading"))
	e.to <- &latency{desc: r.latency, labels: of.labels, value: &c.Latency, created: of.created}
}

// topic reports what is known of a topic as a whole.
func (e *emission) topic(t *bus.TopicStatistics) {
	d, all := e.descs, e.owner(t)
	e.publisher(d.topic, &t.Totals.Publishers, all)
	e.counter(d.sequences, float64(t.Sequence), all)
	e.subscriber(d.topic, &t.Totals.Subscribers, all)
	e.counter(d.repairs, float64(t.Totals.Repairs), all)
	e.counter(d.orphans, float64(t.Totals.Orphans), all)
	e.gauge(d.capacity, float64(t.Capacity), t.Info.Name)
	e.gauge(d.used, float64(t.Used), t.Info.Name)
	e.gauge(d.memory, float64(t.Info.LogBytes+t.Info.CursorBytes), t.Info.Name)
	e.gauge(d.participants, float64(t.Counts.Publishers), t.Info.Name, "publisher")
	e.gauge(d.participants, float64(t.Counts.Subscribers), t.Info.Name, "subscriber")
	e.gauge(d.stalled, oneIf(t.Info.Stalled != ""), t.Info.Name)
	e.gauge(d.quarantined, float64(len(t.Info.Quarantined)), t.Info.Name)
}

func (e *emission) host(h *bus.HostInfo) {
	e.gauge(e.descs.host, 1, h.Program, h.Version)
	e.gauge(e.descs.hostMemory, float64(h.Memory))
	e.gauge(e.descs.hostLimit, float64(h.MaxMemory))
	e.gauge(e.descs.clients, float64(h.Clients))
}

func oneIf(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
