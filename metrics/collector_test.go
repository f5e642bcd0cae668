package metrics

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"

	"github.com/shmbus/shmbus/bus"
	"github.com/shmbus/shmbus/bustest"
	"github.com/shmbus/shmbus/ring"
)

// family is what a registry gathered, by name.
type family map[string]*dto.MetricFamily

func gather(t *testing.T, c ...prometheus.Collector) family {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	for _, c := range c {
		registry.MustRegister(c)
	}
	all, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	f := family{}
	for _, m := range all {
		f[m.GetName()] = m
	}
	return f
}

// find returns the metric with these labels (and others).
func (f family) find(name string, labels ...string) *dto.Metric {
	for _, m := range f[name].GetMetric() {
		has := map[string]string{}
		for _, l := range m.GetLabel() {
			has[l.GetName()] = l.GetValue()
		}
		ok := true
		for i := 0; i < len(labels); i += 2 {
			v, there := has[labels[i]]
			ok = ok && there && v == labels[i+1]
		}
		if ok {
			return m
		}
	}
	return nil
}

func (f family) expect(t *testing.T, want float64, name string, labels ...string) {
	t.Helper()
	m := f.find(name, labels...)
	if m == nil {
		t.Errorf("no %s %q", name, labels)
		return
	}
	got := m.GetCounter().GetValue() + m.GetGauge().GetValue()
	if m.GetHistogram() != nil {
		got = float64(m.GetHistogram().GetSampleCount())
	}
	if got != want {
		t.Errorf("%s %q = %v, want %v", name, labels, got, want)
	}
}

// world is a bus with an observer.
type world struct {
	*bustest.Bus
	observer *bus.Observer
}

func newWorld(t *testing.T) world {
	t.Helper()
	b := bustest.New(t)
	o, err := bus.Observe(bustest.Context(t), bus.Config{Dir: b.Dir, Name: b.Name()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.Close() })
	return world{b, o}
}

func (w world) publish(t *testing.T, p *bus.Publisher, messages int) {
	t.Helper()
	for i := range messages {
		if err := p.Publish(bustest.Context(t), fmt.Appendf(nil, "%03d", i)); err != nil {
			t.Fatal(err)
		}
	}
}

func (w world) read(t *testing.T, s *bus.Subscriber, messages int) {
	t.Helper()
	for range messages {
		if _, err := s.Next(bustest.Context(t)); err != nil {
			t.Fatal(err)
		}
	}
	// Looking once more in vain stores what was counted.
	if n, err := s.Poll(func(bus.Message, bool) error { return nil }, 1); n != 0 || err != nil {
		t.Fatalf("%d more messages, %v", n, err)
	}
}

func (w world) publisher(t *testing.T, topic, name string) *bus.Publisher {
	t.Helper()
	p, err := w.Publisher(bustest.Context(t), topic, bus.PublisherConfig{Name: name, Capacity: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() }) // one that nobody refers to is closed when it is collected
	return p
}

func (w world) subscriber(t *testing.T, topic string, c bus.SubscriberConfig) *bus.Subscriber {
	t.Helper()
	s, err := w.Subscriber(bustest.Context(t), topic, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // as publishers
	return s
}

// TestCountsAreExact compares every count with what was done: of the named, of
// the sum of the unnamed, and of topics, also after participants have left.
func TestCountsAreExact(t *testing.T) {
	w := newWorld(t)
	whole, own := NewBusCollector(w.observer), NewCollector(w.Bus.Bus)
	p := w.publisher(t, "orders", "desk")
	q := w.publisher(t, "orders", "")
	r := w.publisher(t, "orders", "")
	s := w.subscriber(t, "orders", bus.SubscriberConfig{Name: "audit"})
	u := w.subscriber(t, "orders", bus.SubscriberConfig{})
	v := w.subscriber(t, "orders", bus.SubscriberConfig{Mode: bus.Lossy})
	w.publish(t, p, 10)
	w.publish(t, q, 20)
	w.publish(t, r, 30)
	w.read(t, s, 60)
	w.read(t, u, 60)
	w.read(t, v, 60)

	check := func(f family) {
		t.Helper()
		f.expect(t, 10, "shmbus_publisher_published_messages_total", "topic", "orders", "name", "desk")
		f.expect(t, 30, "shmbus_publisher_published_bytes_total", "topic", "orders", "name", "desk")
		f.expect(t, 50, "shmbus_publisher_published_messages_total", "topic", "orders", "name", "")
		f.expect(t, 60, "shmbus_subscriber_delivered_messages_total", "topic", "orders", "name", "audit")
		f.expect(t, 180, "shmbus_subscriber_delivered_bytes_total", "topic", "orders", "name", "audit")
		f.expect(t, 120, "shmbus_subscriber_delivered_messages_total", "topic", "orders", "name", "")
		f.expect(t, 60, "shmbus_subscriber_delivery_latency_seconds", "topic", "orders", "name", "audit")
		f.expect(t, 120, "shmbus_subscriber_delivery_latency_seconds", "topic", "orders", "name", "")
		f.expect(t, 0, "shmbus_subscriber_lag_messages", "topic", "orders", "name", "audit", "mode", "reliable")
	}
	check(gather(t, own))
	f := gather(t, whole)
	check(f)
	totals := func(f family) {
		t.Helper()
		f.expect(t, 60, "shmbus_topic_published_messages_total", "topic", "orders")
		f.expect(t, 180, "shmbus_topic_published_bytes_total", "topic", "orders")
		f.expect(t, 180, "shmbus_topic_delivered_messages_total", "topic", "orders")
		f.expect(t, 180, "shmbus_topic_delivery_latency_seconds", "topic", "orders")
		f.expect(t, 60, "shmbus_topic_sequences_total", "topic", "orders")
	}
	totals(f)
	f.expect(t, 1, "shmbus_up", "bus", "test")
	f.expect(t, 3, "shmbus_topic_participants", "topic", "orders", "role", "publisher")
	f.expect(t, 3, "shmbus_topic_participants", "topic", "orders", "role", "subscriber")
	if f.find("shmbus_topic_published_messages_total").GetCounter().GetCreatedTimestamp().GetSeconds() == 0 {
		t.Error("no created timestamp")
	}

	// The unnamed that leave stay in the sum, the named take their series along.
	w.publish(t, p, 5)
	w.read(t, s, 5)
	w.read(t, u, 5)
	gather(t, whole) // sees them last
	if err := u.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	f = gather(t, whole)
	f.expect(t, 125, "shmbus_subscriber_delivered_messages_total", "topic", "orders", "name", "")
	if f.find("shmbus_subscriber_delivered_messages_total", "name", "audit") != nil {
		t.Error("the series of audit outlives it")
	}
	f.expect(t, 190, "shmbus_topic_delivered_messages_total", "topic", "orders")
}

// TestLagAndGate: who has read least is named.
func TestLagAndGate(t *testing.T) {
	w := newWorld(t)
	p := w.publisher(t, "orders", "desk")
	fast := w.subscriber(t, "orders", bus.SubscriberConfig{Name: "fast"})
	w.subscriber(t, "orders", bus.SubscriberConfig{Name: "slow"})
	w.publish(t, p, 7)
	w.read(t, fast, 7)
	f := gather(t, NewBusCollector(w.observer))
	f.expect(t, 0, "shmbus_subscriber_lag_messages", "name", "fast")
	f.expect(t, 7, "shmbus_subscriber_lag_messages", "name", "slow")
	f.expect(t, 0, "shmbus_subscriber_gating", "name", "fast")
	f.expect(t, 1, "shmbus_subscriber_gating", "name", "slow")
	if used := f.find("shmbus_topic_ring_used_bytes").GetGauge().GetValue(); used != 7*64 {
		t.Errorf("%v bytes used, want %d", used, 7*64)
	}
}

// TestNamesAreBounded: past the limit the named have no series, and are in no
// sum that goes back when they get some.
func TestNamesAreBounded(t *testing.T) {
	crowded := func(topic string, named int) bus.TopicStatistics {
		s := topicOf(topic)
		for i := range named {
			p := ring.PublisherInfo{Slot: i, Gen: 1, Name: fmt.Sprintf("p%d", i)}
			p.Published = 10
			s.Publishers = append(s.Publishers, p)
		}
		s.Subscribers = []ring.SubscriberInfo{{Gen: 1, Name: "audit", Lag: 5}}
		unnamed := ring.PublisherInfo{Slot: named, Gen: 1}
		unnamed.Published = 3
		s.Publishers = append(s.Publishers, unnamed)
		return s
	}
	b := crowded("b", maxNamed-1)
	looks := [][]bus.TopicStatistics{{b}, {crowded("a", 1), b}, {b}} // the last ones of b lose their series, and get them back
	c, show := shown(true)
	for i, topics := range looks {
		show(topics)
		f := gather(t, c)
		f.expect(t, 3, "shmbus_publisher_published_messages_total", "topic", "b", "name", "")
		f.expect(t, float64(len(topics)-1)*2, "shmbus_exporter_folded_participants")
		if lag := f.find("shmbus_subscriber_lag_messages", "topic", "b", "name", ""); (lag != nil) != (len(topics) > 1) {
			t.Errorf("look %d: lag of those without series: %v", i, lag)
		}
		if got, want := len(f["shmbus_publisher_published_messages_total"].GetMetric()), maxNamed-1+len(topics); got != want {
			t.Errorf("look %d: %d series of publishers, want %d", i, got, want)
		}
	}
}

// topicOf is a topic with nobody on it.
func topicOf(name string) bus.TopicStatistics {
	s := bus.TopicStatistics{Info: bus.TopicInfo{Name: name}}
	s.Created = time.Unix(1, 0)
	return s
}

// shown is a collector that reads what it is shown.
func shown(whole bool) (*Collector, func([]bus.TopicStatistics)) {
	var now []bus.TopicStatistics
	read := func(context.Context) (reading, error) { return reading{&bus.HostInfo{}, now}, nil }
	return newCollector("test", whole, read), func(topics []bus.TopicStatistics) { now = topics }
}

// TestLint holds the names to the conventions.
func TestLint(t *testing.T) {
	w := newWorld(t)
	w.publish(t, w.publisher(t, "orders", "desk"), 1)
	w.subscriber(t, "orders", bus.SubscriberConfig{Name: "audit", MaxLag: 10})
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(NewBusCollector(w.observer))
	problems, err := testutil.GatherAndLint(registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	all, err := registry.Gather()
	if err != nil || len(all) < 40 {
		t.Fatalf("%d families, %v", len(all), err)
	}
	for _, m := range all {
		if !strings.HasPrefix(m.GetName(), "shmbus_") {
			t.Errorf("%s does not begin with shmbus_", m.GetName())
		}
	}
}

// TestNoHost: without a host there is shmbus_up 0, and no stale numbers.
func TestNoHost(t *testing.T) {
	w := newWorld(t)
	if err := w.Bus.Bus.Close(); err != nil {
		t.Fatal(err)
	}
	c := newCollector("test", true, NewBusCollector(w.observer).read)
	f := gather(t, c)
	f.expect(t, 0, "shmbus_up", "bus", "test")
	if len(f) != 1 {
		t.Errorf("%d families, want only shmbus_up", len(f))
	}
}
