package bus_test

import (
	"context"
	"errors"
	"os"
	"sort"
	"syscall"
	"testing"
	"time"

	"github.com/shmbus/shmbus/bus"
	"github.com/shmbus/shmbus/bustest"
)

// idleTopics opens 64 subscribers on 64 idle topics; each waits in Next.
func idleTopics(t *testing.T, b *bustest.Bus, ctx context.Context) []chan error {
	t.Helper()
	done := make([]chan error, 64)
	for i := range done {
		topic := "idle-" + string(rune('A'+i/8)) + string(rune('a'+i%8))
		p := openPublisher(t, b, topic, small)
		t.Cleanup(func() { _ = p.Close() }) // or it would be collected, and the topic gone
		s := openSubscriber(t, b, topic, bus.SubscriberConfig{})
		done[i] = result(func() error { _, err := s.Next(ctx); return err })
		bustest.Until(t, "the subscriber to sleep", func() bool { return s.Sleeps() > 0 })
	}
	return done
}

func TestIdleThreads(t *testing.T) {
	before := threads(t)
	b := bustest.New(t)
	ctx, cancel := context.WithCancel(contextOf(t))
	done := idleTopics(t, b, ctx)
	// Tests before this one may have left threads, which Go keeps; there must
	// not be one for each subscriber.
	if n := threads(t); n >= before+20 {
		t.Errorf("%d threads with 64 idle subscribers, %d before", n, before)
	}
	cancel()
	for _, d := range done {
		if err := await(t, "Next", d); !errors.Is(err, context.Canceled) {
			t.Errorf("Next: %v", err)
		}
	}
}

// TestIdleCost prints what 64 idle subscribers cost and how long cancelling
// takes. It asserts nothing: times depend on the machine.
//
//	SHMBUS_MEASURE=1 go test ./bus -run TestIdleCost -v
func TestIdleCost(t *testing.T) {
	if os.Getenv("SHMBUS_MEASURE") == "" {
		t.Skip("set SHMBUS_MEASURE=1 to measure for 10 seconds")
	}
	b := bustest.New(t)
	ctx, cancel := context.WithCancel(contextOf(t))
	done := idleTopics(t, b, ctx)
	const span = 10 * time.Second
	before := processorTime(t)
	<-time.After(span)
	used := processorTime(t) - before
	t.Logf("64 idle subscribers of 64 topics: %.3f %% of one processor over %v, %d threads", 100*float64(used)/float64(span), span, threads(t))

	cancellations(t, b, "idle-Aa", "among 64 others")
	cancel()
	for _, d := range done {
		_ = await(t, "Next", d)
	}
	cancellations(t, b, "idle-Aa", "alone")
}

// cancellations measures how long a sleeping Next takes to return once its
// context is cancelled.
func cancellations(t *testing.T, b *bustest.Bus, topic, where string) {
	var times []time.Duration
	for range 200 {
		own, stop := context.WithCancel(context.Background())
		s := openSubscriber(t, b, topic, bus.SubscriberConfig{Wait: bus.Park})
		woke := make(chan time.Time, 1)
		go func() {
			_, _ = s.Next(own)
			woke <- time.Now()
		}()
		bustest.Until(t, "the subscriber to sleep", func() bool { return s.Sleeps() > 0 })
		began := time.Now()
		stop()
		times = append(times, (<-woke).Sub(began))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	sort.Slice(times, func(i, j int) bool { return times[i] < times[j] })
	t.Logf("200 cancellations, %s: median %v, 99 %% %v, most %v", where, times[100], times[198], times[199])
}

func threads(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// processorTime returns what this process has used, user and system.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
