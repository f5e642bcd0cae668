package metrics

import (
	"math"
	"testing"

	"github.com/shmbus/shmbus/bus"
	"github.com/shmbus/shmbus/ring"
)

// TestGuestsName: whatever a guest writes, nobody else's series change, and the
// scrape as a whole is one that registries and Prometheus take.
func TestGuestsName(t *testing.T) {
	for _, whole := range []bool{true, false} {
		c, show := shown(whole)
		for look := range 4 {
			s := topicOf("orders")
			honest := []ring.SubscriberInfo{{Slot: 0, Gen: 1, Name: "audit", MaxLag: 9}, {Slot: 1, Gen: 1}}
			honest[0].Delivered, honest[1].Delivered = 7, 10
			named := ring.SubscriberInfo{Slot: 0, Gen: 1, Guest: true, Name: "audit", Mode: ring.Reliable, Gating: true, MaxLag: 5}
			unnamed := ring.SubscriberInfo{Slot: 1, Gen: uint32(look), Guest: true}
			named.Delivered, unnamed.Delivered = 100, uint64(look%2)<<40
			for i := range named.Latency.Buckets {
				named.Latency.Buckets[i] = math.MaxUint64 - uint64(i)
			}
			s.Subscribers = append(honest, named, unnamed)
			show([]bus.TopicStatistics{s})
			f := gather(t, c)
			const delivered = "shmbus_subscriber_delivered_messages_total"
			f.expect(t, 7, delivered, "topic", "orders", "name", "audit")
			f.expect(t, 10, delivered, "topic", "orders", "name", "")
			f.expect(t, 100, delivered, "topic", "orders", "name", "guest:0")
			f.expect(t, float64(unnamed.Delivered), delivered, "topic", "orders", "name", "guest:1")
			f.expect(t, 9, "shmbus_subscriber_max_lag_messages", "name", "audit")
			for _, m := range []string{"subscriber_max_lag_messages", "subscriber_lag_messages"} {
				if got := f.find("shmbus_"+m, "name", "guest:0", "mode", "lossy"); (got != nil) != (m == "subscriber_lag_messages") {
					t.Errorf("%s of a guest: %v", m, got)
				}
			}
			rising(t, f.find("shmbus_subscriber_delivery_latency_seconds", "name", "guest:0").GetHistogram().GetPositiveDelta())
		}
	}
}

// rising fails if a native bucket, the sum of the deltas up to it, is one that
// Prometheus refuses.
func rising(t *testing.T, deltas []int64) {
	t.Helper()
	bucket, sum := int64(0), uint64(0)
	for _, d := range deltas {
		bucket += d
		if bucket < 0 || sum+uint64(bucket) < sum {
			t.Fatalf("a bucket of %d after %d", bucket, sum)
		}
		sum += uint64(bucket)
	}
	if len(deltas) == 0 {
		t.Error("no native buckets")
	}
}

// TestGuestsAreBounded: no number of guests takes series from those who were
// given a name.
func TestGuestsAreBounded(t *testing.T) {
	a, b := topicOf("a"), topicOf("b")
	for i := range maxNamed {
		a.Subscribers = append(a.Subscribers, ring.SubscriberInfo{Slot: i, Gen: 1, Guest: true})
	}
	b.Subscribers = []ring.SubscriberInfo{{Gen: 1, Name: "audit"}}
	c, show := shown(true)
	show([]bus.TopicStatistics{a, b})
	f := gather(t, c)
	f.expect(t, 0, "shmbus_subscriber_delivered_messages_total", "topic", "b", "name", "audit")
	f.expect(t, 1, "shmbus_exporter_folded_participants")
	if m := f.find("shmbus_subscriber_lag_messages", "topic", "a", "name", ""); m != nil {
		t.Errorf("a guest is among the unnamed: %v", m)
	}
}

// TestOneNameTwice: while one with a name leaves and the next comes, a look may
// find both. Names that cannot have been given count as none.
func TestOneNameTwice(t *testing.T) {
	c, show := shown(true)
	for look := range 2 {
		s := topicOf("orders")
		for slot, name := range []string{"desk", "desk", "", "a:b", "naïve", "new\nline", "bad\xff"} {
			p := ring.PublisherInfo{Slot: slot, Gen: 1, Name: name}
			p.Published = uint64(1) << slot
			s.Publishers = append(s.Publishers, p)
			s.Subscribers = append(s.Subscribers, ring.SubscriberInfo{Slot: slot, Gen: 1, Name: name, Lag: uint64(slot)})
		}
		s.Publishers, s.Subscribers = s.Publishers[look:], s.Subscribers[look:] // the first one has left
		show([]bus.TopicStatistics{s})
		f := gather(t, c)
		f.expect(t, float64(int(1)<<look), "shmbus_publisher_published_messages_total", "name", "desk")
		f.expect(t, float64(look), "shmbus_subscriber_lag_messages", "name", "desk")
		f.expect(t, 1<<2+1<<3+1<<4+1<<5+1<<6, "shmbus_publisher_published_messages_total", "name", "")
		if n := len(f["shmbus_publisher_published_messages_total"].GetMetric()); n != 2 {
			t.Errorf("%d series of publishers", n)
		}
		f.expect(t, 0, "shmbus_exporter_folded_participants")
	}
	if given("A-z.9_") != "A-z.9_" || given("a b") != "" {
		t.Errorf("%q, %q", given("A-z.9_"), given("a b"))
	}
}
