package bus_test

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/shmbus/shmbus/bus"
	"github.com/shmbus/shmbus/bustest"
)

// TestTopicCost prints what 1000 topics of 64 KiB cost, each with a publisher,
// a subscriber and a message read, all in this process, which also hosts them:
// memory, and the time to open them. It asserts nothing.
//
//	SHMBUS_MEASURE=1 go test ./bus -run TestTopicCost -v
func TestTopicCost(t *testing.T) {
	if os.Getenv("SHMBUS_MEASURE") == "" {
		t.Skip("set SHMBUS_MEASURE=1 to measure for some seconds")
	}
	const topics = 1000
	b := bustest.New(t)
	ctx := contextOf(t)
	var publishers []*bus.Publisher
	var subscribers []*bus.Subscriber
	var opens, attaches []time.Duration
	before := memory(t)
	for i := range topics {
		topic := fmt.Sprintf("topic-%03d", i)
		began := time.Now()
		p, err := b.Publisher(ctx, topic, bus.PublisherConfig{Capacity: 64 << 10})
		if err != nil {
			t.Fatal(err)
		}
		opened := time.Now()
		s, err := b.Subscriber(ctx, topic, bus.SubscriberConfig{})
		if err != nil {
			t.Fatal(err)
		}
		opens, attaches = append(opens, opened.Sub(began)), append(attaches, time.Since(opened))
		publishers, subscribers = append(publishers, p), append(subscribers, s)
	}
	opened := memory(t)
	for i, p := range publishers {
		if err := p.TryPublish([]byte("a message")); err != nil {
			t.Fatal(err)
		}
		if _, err := subscribers[i].Next(ctx); err != nil {
			t.Fatal(err)
		}
	}
	used := memory(t)
	for i, m := range []usage{opened, used} {
		t.Logf("%s: a topic costs %d KiB resident, %d KiB counting each page once, %d KiB of them Go's", []string{"opened", "used"}[i],
			(m.resident-before.resident)/topics, (m.proportional-before.proportional)/topics, (m.heap-before.heap)/topics)
	}
	percentiles(t, "opening a topic with its first publisher", opens)
	percentiles(t, "attaching a subscriber", attaches)
	for i := range publishers {
		if err := errors.Join(publishers[i].Close(), subscribers[i].Close()); err != nil {
			t.Fatal(err)
		}
	}
}

func percentiles(t *testing.T, what string, times []time.Duration) {
	n := len(times)
	sort.Slice(times, func(i, j int) bool { return times[i] < times[j] })
	t.Logf("%s: median %v, 90 %% %v, most %v", what, times[n/2], times[n*9/10], times[n-1])
}

// usage is memory in KiB.
type usage struct{ resident, proportional, heap int }

func memory(t *testing.T) usage {
	t.Helper()
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	u := usage{heap: int(m.HeapInuse+m.StackInuse) / 1024}
	text, err := os.ReadFile("/proc/self/smaps_rollup")
	if err != nil {
		t.Skipf("no figures of memory here: %v", err)
	}
	for line := range strings.Lines(string(text)) {
		_, _ = fmt.Sscanf(line, "Rss: %d", &u.resident)
		_, _ = fmt.Sscanf(line, "Pss: %d", &u.proportional)
	}
	return u
}
