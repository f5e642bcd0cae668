package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/shmbus/shmbus/ring"
)

// counter is one number of a participant or topic that only grows.
type counter[T any] struct {
	name  string
	help  string
	value func(*T) float64
}

func seconds(nanos uint64) float64 { return float64(nanos) / float64(time.Second) }

var publisherCounters = []counter[ring.PublisherCounters]{
	{"published_messages_total", "Messages published.", func(c *ring.PublisherCounters) float64 { return float64(c.Published) }},
	{"published_bytes_total", "Payload bytes published.", func(c *ring.PublisherCounters) float64 { return float64(c.Bytes) }},
	{"refused_total", "Attempts to publish that found the ring full and did not wait.", func(c *ring.PublisherCounters) float64 { return float64(c.Refused) }},
	{"dropped_messages_total", "Messages dropped by their publisher because the ring was full.", func(c *ring.PublisherCounters) float64 { return float64(c.Dropped) }},
	{"aborted_claims_total", "Claims given up by their publisher.", func(c *ring.PublisherCounters) float64 { return float64(c.Aborted) }},
	{"batches_total", "Batches published.", func(c *ring.PublisherCounters) float64 { return float64(c.Batches) }},
	{"blocked_seconds_total", "Time spent waiting for space in the ring.", func(c *ring.PublisherCounters) float64 { return seconds(c.BlockedNanos) }},
	{"lock_revocations_total", "Times the lock's bias was taken from another publisher.", func(c *ring.PublisherCounters) float64 { return float64(c.Revocations) }},
	{"lock_contended_total", "Entries into the ring that had to wait for another publisher.", func(c *ring.PublisherCounters) float64 { return float64(c.Contended) }},
	{"lock_stalls_total", "Entries given up because a stopped process was inside.", func(c *ring.PublisherCounters) float64 { return float64(c.Stalls) }},
	{"wakes_total", "Times sleeping subscribers were woken.", func(c *ring.PublisherCounters) float64 { return float64(c.Wakes) }},
}

var subscriberCounters = []counter[ring.SubscriberCounters]{
	{"delivered_messages_total", "Messages delivered.", func(c *ring.SubscriberCounters) float64 { return float64(c.Delivered) }},
	{"delivered_bytes_total", "Payload bytes delivered.", func(c *ring.SubscriberCounters) float64 { return float64(c.Bytes) }},
	{"aborted_claims_seen_total", "Claims given up by publishers and stepped over.", func(c *ring.SubscriberCounters) float64 { return float64(c.AbortedSeen) }},
	{"wakeups_total", "Times woken from sleep.", func(c *ring.SubscriberCounters) float64 { return float64(c.WakeUps) }},
	{"parks_total", "Times gone to sleep.", func(c *ring.SubscriberCounters) float64 { return float64(c.Parks) }},
	{"spins_total", "Times waited awake before going to sleep.", func(c *ring.SubscriberCounters) float64 { return float64(c.Spins) }},
}

const (
	lostName    = "lost_messages_total"
	lostHelp    = "Messages overwritten before they were delivered (lossy subscribers): before they were looked at (polling) or while being read (reading)."
	latencyName = "delivery_latency_seconds"
	latencyHelp = "Time from publishing a message to its being found by a subscriber."
)

// role is the series of publishers, subscribers, or topics.
type role struct {
	publisher  []*prometheus.Desc // in the order of publisherCounters
	subscriber []*prometheus.Desc // in the order of subscriberCounters
	lost       *prometheus.Desc
	latency    *prometheus.Desc
}

// descs are all series of a collector.
type descs struct {
	bus        string
	publisher  role
	subscriber role
	topic      role

	lag    *prometheus.Desc
	gating *prometheus.Desc
	maxLag *prometheus.Desc

	sequences    *prometheus.Desc
	capacity     *prometheus.Desc
	used         *prometheus.Desc
	memory       *prometheus.Desc
	participants *prometheus.Desc
	repairs      *prometheus.Desc
	orphans      *prometheus.Desc
	stalled      *prometheus.Desc
	quarantined  *prometheus.Desc

	up         *prometheus.Desc
	host       *prometheus.Desc
	hostMemory *prometheus.Desc
	hostLimit  *prometheus.Desc
	clients    *prometheus.Desc
	folded     *prometheus.Desc
}

func newDescs(bus string) *descs {
	constant := prometheus.Labels{"bus": bus}
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("shmbus_"+name, help, labels, constant)
	}
	d := &descs{
		bus:    bus,
		lag:    desc("subscriber_lag_messages", "Messages in the ring that the subscriber has not read; of the unnamed, the most of any.", "topic", "name", "mode"),
		gating: desc("subscriber_gating", "1 if publishers would wait for this subscriber first: it has read least of the reliable ones.", "topic", "name"),
		maxLag: desc("subscriber_max_lag_messages", "Lag at which the subscriber is detached.", "topic", "name"),

		sequences:    desc("topic_sequences_total", "Sequence numbers given: to messages, claims still open and claims given up.", "topic"),
		capacity:     desc("topic_ring_capacity_bytes", "Size of the ring.", "topic"),
		used:         desc("topic_ring_used_bytes", "Bytes of the ring that a reliable subscriber has still to read.", "topic"),
		memory:       desc("topic_memory_bytes", "Memory of the topic's regions.", "topic"),
		participants: desc("topic_participants", "Participants attached now.", "topic", "role"),
		repairs:      desc("topic_repairs_total", "Publishers that died inside the ring, after whom it was repaired.", "topic"),
		orphans:      desc("topic_orphaned_claims_total", "Claims of dead publishers that the host gave up.", "topic"),
		stalled:      desc("topic_stalled", "1 while the host waits for a stopped participant of the topic.", "topic"),
		quarantined:  desc("topic_quarantined_publishers", "Publishers that lost their connection and are not proven dead.", "topic"),

		up:         desc("up", "1 if the bus has a host that answers."),
		host:       desc("host_info", "The host of the bus: its program and version.", "program", "version"),
		hostMemory: desc("host_memory_bytes", "Memory of the regions of all topics."),
		hostLimit:  desc("host_memory_limit_bytes", "Most memory the regions of all topics may have together."),
		clients:    desc("host_clients", "Processes connected to the host."),
		folded:     desc("exporter_folded_participants", "Named participants beyond the limit, counted as if they had no name."),
	}
	add := func(r *role, prefix string, publishes, subscribes bool, labels ...string) {
		if publishes {
			for _, c := range publisherCounters {
				r.publisher = append(r.publisher, desc(prefix+c.name, c.help, labels...))
			}
		}
		if subscribes {
			for _, c := range subscriberCounters {
				r.subscriber = append(r.subscriber, desc(prefix+c.name, c.help, labels...))
			}
			r.lost = desc(prefix+lostName, lostHelp, append(labels, "reason")...)
			r.latency = desc(prefix+latencyName, latencyHelp, labels...)
		}
	}
	add(&d.publisher, "publisher_", true, false, "topic", "name")
	add(&d.subscriber, "subscriber_", false, true, "topic", "name")
	add(&d.topic, "topic_", true, true, "topic")
	return d
}

// all calls f with every series there may be.
func (d *descs) all(f func(*prometheus.Desc)) {
	for _, r := range []*role{&d.publisher, &d.subscriber, &d.topic} {
		for _, s := range append(r.publisher, r.subscriber...) {
			f(s)
		}
		for _, s := range []*prometheus.Desc{r.lost, r.latency} {
			if s != nil {
				f(s)
			}
		}
	}
	for _, s := range []*prometheus.Desc{
		d.lag, d.gating, d.maxLag, d.sequences, d.capacity, d.used, d.memory, d.participants, d.repairs, d.orphans, d.stalled, d.quarantined,
		d.up, d.host, d.hostMemory, d.hostLimit, d.clients, d.folded,
	} {
		f(s)
	}
}
