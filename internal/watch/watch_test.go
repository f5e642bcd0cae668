package watch

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/shmbus/shmbus/bus"
	"github.com/shmbus/shmbus/ring"
)

// source is a bus made up.
type source struct {
	err    error
	topics []bus.TopicStatistics
}

func (s *source) Name() string { return "default" }
func (s *source) Host(context.Context) (bus.HostInfo, error) {
	return bus.HostInfo{PID: 1, Program: "p"}, s.err
}
func (s *source) Statistics(context.Context) ([]bus.TopicStatistics, error) {
	return append([]bus.TopicStatistics(nil), s.topics...), s.err
}

// topic makes one topic whose numbers are n times those of topic(1).
func topic(n uint64) bus.TopicStatistics {
	t := bus.TopicStatistics{Info: bus.TopicInfo{Name: "orders"}}
	t.Created = time.Unix(1, 0)
	t.Capacity, t.Position, t.GatingSlot = 1000, 500, 2
	p := ring.PublisherCounters{Published: 100 * n, Bytes: 1000 * n, BlockedNanos: 1e9 * n, Revocations: 3 * n}
	s := ring.SubscriberCounters{Delivered: 90 * n, LostPolling: 7 * n, LostReading: 3 * n}
	s.Latency.Buckets[ring.BucketOf(200)] = 50 * n
	s.Latency.Buckets[ring.BucketOf(1e9)] = 40 * n
	t.Publishers = []ring.PublisherInfo{{Slot: 1, Gen: 1, Name: "desk", PublisherCounters: p}}
	t.Subscribers = []ring.SubscriberInfo{
		{Slot: 2, Gen: 1, Gating: true, Lag: 5, Position: 250, SubscriberCounters: s},
		{Slot: 2, Gen: 1, Guest: true, Mode: ring.Lossy, Lag: 9, Position: 500},
	}
	t.Totals.Publishers, t.Totals.Subscribers, t.Totals.Repairs = p, s, n
	return t
}

// TestRates: the first snapshot only remembers, the next has rates since.
func TestRates(t *testing.T) {
	src := &source{topics: []bus.TopicStatistics{topic(1)}}
	w := New(src)
	first := w.Look(t.Context())
	if first.Interval != 0 || first.Topics[0].PublishedPS != 0 || first.Topics[0].Latency.Count != 0 || first.Topics[0].Messages != 100 {
		t.Errorf("%+v", first.Topics[0])
	}
	w.at = w.at.Add(-time.Second) // as if it were a second ago
	src.topics[0] = topic(3)
	s := w.Look(t.Context())
	got := s.Topics[0]
	if s.Interval < 1 {
		t.Errorf("%v s since the snapshot before, want 1 s at least", s.Interval)
	}
	since := func(what string, rate, want float64) {
		t.Helper()
		if got := rate * s.Interval; math.Abs(got-want) > want*1e-9 {
			t.Errorf("%s: %v per second, in %v s %v, want %v", what, rate, s.Interval, got, want)
		}
	}
	since("published", got.PublishedPS, 200)
	since("bytes", got.BytesPS, 2000)
	since("delivered", got.DeliveredPS, 180)
	since("lost", got.LostPS, 20)
	since("blocked", got.Blocked, 2)
	since("of the publisher", got.Publishers[0].PublishedPS, 200)
	since("of the subscriber", got.Subscribers[0].DeliveredPS, 180)
	if got.Lost != 30 || got.Repairs != 3 || got.Lag != 9 || got.Gating != "#2" {
		t.Errorf("%+v", got)
	}
	if !got.Subscribers[0].Gates || got.Subscribers[1].Gates || got.Subscribers[0].Behind != 0.25 || got.Subscribers[1].Behind != 0 {
		t.Errorf("%+v", got.Subscribers)
	}
	if got.Latency.Count != 180 || got.Latency.P50 > 300 || got.Latency.P99 < 900*time.Millisecond {
		t.Errorf("%+v", got.Latency)
	}
	if len(got.Buckets) != BucketCount || got.Buckets[0] != 100 || got.Buckets[22] != 80 {
		t.Errorf("buckets %v", got.Buckets)
	}
}

// TestMadeAgain: a topic of the same name is not the same topic.
func TestMadeAgain(t *testing.T) {
	src := &source{topics: []bus.TopicStatistics{topic(5)}}
	w := New(src)
	w.Look(t.Context())
	again := topic(1)
	again.Created = time.Unix(2, 0)
	src.topics[0] = again
	if s := w.Look(t.Context()); s.Topics[0].PublishedPS != 0 || s.Topics[0].Latency.Count != 0 {
		t.Errorf("%+v", s.Topics[0])
	}
}

// TestProblem: without a host there is a reason and no topic, in JSON too.
func TestProblem(t *testing.T) {
	src := &source{topics: []bus.TopicStatistics{topic(1)}}
	w := New(src)
	w.Look(t.Context())
	src.err = errors.New("nobody there")
	s := w.Look(t.Context())
	b, err := json.Marshal(&s)
	if err != nil || !strings.Contains(string(b), `"host":null,"problem":"nobody there","topics":[]`) {
		t.Errorf("%s, %v", b, err)
	}
	src.err = nil
	if s := w.Look(t.Context()); s.Interval != 0 || len(s.Topics) != 1 {
		t.Errorf("%+v", s)
	}
}

// TestMessage: text as text, bytes as base64.
func TestMessage(t *testing.T) {
	for payload, want := range map[string]string{
		"héllo\n":  `"size":7,"lost":2,"payload":"héllo\n","encoding":"utf8"`,
		"\xff\x00": `"size":2,"lost":2,"payload":"/wA=","encoding":"base64"`,
	} {
		got := string(AppendMessage(nil, &bus.Message{Sequence: 3, Kind: 4, Lost: 2, Payload: []byte(payload)}))
		if !strings.Contains(got, want) || !strings.Contains(got, `"sequence":3`) || !strings.Contains(got, `"time":""`) {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
