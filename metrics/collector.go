package metrics

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/shmbus/shmbus/bus"
	"github.com/shmbus/shmbus/ring"
)

// A Collector turns what participants count into series. It implements
// [prometheus.Collector]. Each Collect reads the shared memory once, and waits
// for a host at most two seconds; several at once take turns.
type Collector struct {
	descs *descs
	whole bool // everybody on the bus, topics included
	read  func(context.Context) (reading, error)

	// turn is taken for reading and what is made of it: a reading that is made
	// something of after a later one would bring back who has left.
	turn    chan struct{}
	unnamed map[unnamedKey]*unnamed // what unnamed participants that left had counted
	root    *owner
	looks   uint64

	spare atomic.Pointer[exposition] // memory for the next look
}

// reading is one look at a bus.
type reading struct {
	host   *bus.HostInfo // nil: nobody answers
	topics []bus.TopicStatistics
}

const (
	// maxNamed bounds the series: named participants beyond it have none.
	maxNamed = 4000
	// readTimeout bounds how long a look at the bus waits for its host. It ends
	// well before the scrape does: else that a host is silent goes unreported.
	readTimeout = 2 * time.Second
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
	return &Collector{
		descs: newDescs(name), whole: whole, read: read,
		turn: make(chan struct{}, 1), unnamed: map[unnamedKey]*unnamed{}, root: newRoot(name),
	}
}

// Describe implements [prometheus.Collector].
func (c *Collector) Describe(to chan<- *prometheus.Desc) {
	for _, s := range c.descs.all {
		to <- s.desc
	}
}

// Collect implements [prometheus.Collector].
func (c *Collector) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	e := c.look(ctx)
	e.metrics(func(m prometheus.Metric) { to <- m })
	c.done(e)
}

// look reads the bus when it is its turn; done follows. What is not read when
// ctx ends is reported as what has no host.
func (c *Collector) look(ctx context.Context) *exposition {
	e := c.blank()
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		c.up(e, nil)
		return e
	}
	now, err := c.read(ctx)
	c.looks++
	e.look = c.looks
	if err != nil {
		c.up(e, nil)
		return e // the unnamed stay as they are
	}
	c.up(e, now.host)
	for i := range now.topics {
		t := &now.topics[i]
		of := c.root.topic(e.look, t)
		if c.whole {
			e.topic(t, of)
		}
		c.participants(e, t, of)
	}
	for i := range now.topics {
		t := &now.topics[i]
		c.guests(e, t, c.root.topic(e.look, t)) // last: names are for those who were given one
	}
	e.add(c.descs.folded, float64(e.folded), c.root)
	c.forget(now.topics)
	c.root.forget(e.look)
	return e
}

// blank returns an exposition with nothing in it.
func (c *Collector) blank() *exposition {
	e := c.spare.Swap(nil) // sync(spare): pairs with done
	if e == nil {
		e = &exposition{descs: c.descs, samples: make([][]sample, len(c.descs.all))}
	}
	e.root, e.look, e.named, e.folded = c.root, 0, maxNamed, 0
	return e
}

// up reports the host, nil if none answers.
func (c *Collector) up(e *exposition, host *bus.HostInfo) {
	if !c.whole {
		return
	}
	e.add(c.descs.up, oneIf(host != nil), c.root)
	if host != nil {
		e.host(host)
	}
}

// done takes back what look returned.
func (c *Collector) done(e *exposition) {
	e.clear()
	c.spare.Store(e) // sync(spare): pairs with blank
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
	slot      int
	gen       uint32
}

// participants reports the publishers and subscribers of a topic. Who has a
// name but no series of its own is not in the sums of the unnamed: it may get
// them in the next look, and a sum that had it would go back, or have it twice.
// What gauges say of the unnamed is of it too.
func (c *Collector) participants(e *exposition, t *bus.TopicStatistics, of *owner) {
	key := keyOf(t)
	u := c.unnamed[key]
	if u == nil {
		u = &unnamed{here: map[seat]any{}}
		c.unnamed[key] = u
	}
	here := make(map[seat]any, len(u.here))
	for i := range t.Publishers {
		p := &t.Publishers[i]
		if name := given(p.Name); name == "" {
			u.ever[0] = true
			here[seat{true, p.Slot, p.Gen}] = p.PublisherCounters
		} else if own := e.claim(of, publishes, name); own != nil {
			e.publisher(e.descs.publisher, &p.PublisherCounters, own)
		}
	}
	var crowd crowd
	for i := range t.Subscribers {
		s := &t.Subscribers[i]
		if s.Guest {
			continue // see guests
		}
		gates := c.whole && t.GatingSlot == s.Slot && s.Gating
		if name := given(s.Name); name == "" {
			u.ever[1] = true
			here[seat{false, s.Slot, s.Gen}] = &s.SubscriberCounters
			crowd.add(s, gates)
		} else if own := e.claim(of, subscribes, name); own != nil {
			c.subscriber(e, s, gates, own)
		} else {
			crowd.add(s, gates)
		}
	}
	publishers, subscribers := u.sum(here)
	if u.ever[0] {
		e.publisher(e.descs.publisher, &publishers, e.with(of, participantLabel, ""))
	}
	if u.ever[1] {
		e.subscriber(e.descs.subscriber, &subscribers, e.with(of, participantLabel, ""))
	}
	if u.ever[1] || crowd.some[0] || crowd.some[1] {
		crowd.emit(e, e.with(of, participantLabel, ""), c.whole)
	}
}

// subscriber reports one that has series of its own.
func (c *Collector) subscriber(e *exposition, s *ring.SubscriberInfo, gates bool, own *owner) {
	e.subscriber(e.descs.subscriber, &s.SubscriberCounters, own)
	e.add(e.descs.lag, float64(s.Lag), e.with(own, "mode", s.Mode.String()))
	if c.whole {
		e.add(e.descs.gating, oneIf(gates), own)
	}
	if s.MaxLag > 0 {
		e.add(e.descs.maxLag, float64(s.MaxLag), own)
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

func (c *crowd) emit(e *exposition, of *owner, whole bool) {
	for i, mode := range []ring.Mode{ring.Reliable, ring.Lossy} {
		if c.some[i] {
			e.add(e.descs.lag, float64(c.lag[i]), e.with(of, "mode", mode.String()))
		}
	}
	if whole {
		e.add(e.descs.gating, oneIf(c.gating), of)
	}
}
