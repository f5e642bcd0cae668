package metrics

import (
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

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
	{"blocked_seconds_total", "Time spent waiting for space in the ring, or for another publisher that slept.", func(c *ring.PublisherCounters) float64 { return seconds(c.BlockedNanos) }},
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

// series is a name, and what is fixed of what bears it.
type series struct {
	desc       *prometheus.Desc
	name, help string
	kind       dto.MetricType
	index      int // in descs.all
}

// role is the series of publishers, subscribers, or topics.
type role struct {
	publisher  []*series // in the order of publisherCounters
	subscriber []*series // in the order of subscriberCounters
	lost       *series
	latency    *series
}

// descs are all series of a collector.
type descs struct {
	all []*series // by name

	publisher  role
	subscriber role
	topic      role

	lag    *series
	gating *series
	maxLag *series

	sequences    *series
	capacity     *series
	used         *series
	memory       *series
	participants *series
	repairs      *series
	orphans      *series
	stalled      *series
	quarantined  *series

	up         *series
	host       *series
	hostMemory *series
	hostLimit  *series
	clients    *series
	folded     *series
}

func newDescs(bus string) *descs {
	constant := prometheus.Labels{"bus": bus}
	d := &descs{}
	add := func(kind dto.MetricType, name, help string, labels []string) *series {
		s := &series{desc: prometheus.NewDesc("shmbus_"+name, help, labels, constant), name: "shmbus_" + name, help: help, kind: kind}
		d.all = append(d.all, s)
		return s
	}
	gauge := func(name, help string, labels ...string) *series {
		return add(dto.MetricType_GAUGE, name, help, labels)
	}
	counter := func(name, help string, labels ...string) *series {
		return add(dto.MetricType_COUNTER, name, help, labels)
	}
	d.lag = gauge("subscriber_lag_messages", "Messages in the ring that the subscriber has not read; of the unnamed, the most of any.", "topic", "name", "mode")
	d.gating = gauge("subscriber_gating", "1 if publishers would wait for this subscriber first: it has read least of the reliable ones.", "topic", "name")
	d.maxLag = gauge("subscriber_max_lag_messages", "Lag at which the subscriber is detached.", "topic", "name")

	d.sequences = counter("topic_sequences_total", "Sequence numbers given: to messages, claims still open and claims given up.", "topic")
	d.capacity = gauge("topic_ring_capacity_bytes", "Size of the ring.", "topic")
	d.used = gauge("topic_ring_used_bytes", "Bytes of the ring that a reliable subscriber has still to read.", "topic")
	d.memory = gauge("topic_memory_bytes", "Memory of the topic's regions.", "topic")
	d.participants = gauge("topic_participants", "Participants attached now.", "topic", "role")
	d.repairs = counter("topic_repairs_total", "Publishers that died inside the ring, after whom it was repaired.", "topic")
	d.orphans = counter("topic_orphaned_claims_total", "Claims of dead publishers that the host gave up.", "topic")
	d.stalled = gauge("topic_stalled", "1 while the host waits for a stopped participant of the topic.", "topic")
	d.quarantined = gauge("topic_quarantined_publishers", "Publishers that lost their connection and are not proven dead.", "topic")

	d.up = gauge("up", "1 if the bus has a host that answers.")
	d.host = gauge("host_info", "The host of the bus: its program and version.", "program", "version")
	d.hostMemory = gauge("host_memory_bytes", "Memory of the regions of all topics.")
	d.hostLimit = gauge("host_memory_limit_bytes", "Most memory the regions of all topics may have together.")
	d.clients = gauge("host_clients", "Processes connected to the host.")
	d.folded = gauge("exporter_folded_participants", "Named participants beyond the limit, which have no series of their own.")

	fill := func(r *role, prefix string, publishes, subscribes bool, labels ...string) {
		if publishes {
			for _, c := range publisherCounters {
				r.publisher = append(r.publisher, counter(prefix+c.name, c.help, labels...))
			}
		}
		if subscribes {
			for _, c := range subscriberCounters {
				r.subscriber = append(r.subscriber, counter(prefix+c.name, c.help, labels...))
			}
			r.lost = counter(prefix+lostName, lostHelp, append(labels, "reason")...)
			r.latency = add(dto.MetricType_HISTOGRAM, prefix+latencyName, latencyHelp, labels)
		}
	}
	fill(&d.publisher, "publisher_", true, false, "topic", "name")
	fill(&d.subscriber, "subscriber_", false, true, "topic", "name")
	fill(&d.topic, "topic_", true, true, "topic")
	slices.SortFunc(d.all, func(a, b *series) int { return strings.Compare(a.name, b.name) })
	for i, s := range d.all {
		s.index = i
	}
	return d
}
