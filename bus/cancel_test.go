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

func TestCancel(t *testing.T) {
	b := bustest.New(t)
	p, s := pair(t, b, small, bus.SubscriberConfig{})
	for name, call := range map[string]func(context.Context) error{
		"Next":            func(ctx context.Context) error { _, err := s.Next(ctx); return err },
		"WaitSubscribers": func(ctx context.Context) error { return p.WaitSubscribers(ctx, 99) },
		"Subscriber": func(ctx context.Context) error {
			_, err := b.Subscriber(ctx, "never", bus.SubscriberConfig{})
			return err
		},
	} {
		ctx, cancel := context.WithCancel(contextOf(t))
		done := result(func() error { return call(ctx) })
		cancel()
		if err := await(t, name, done); !errors.Is(err, context.Canceled) {
			t.Errorf("%s cancelled: %v", name, err)
		}
		ctx, cancel = context.WithTimeout(contextOf(t), time.Millisecond)
		if err := call(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s past its deadline: %v", name, err)
		}
		cancel()
	}
	publish(t, p, "unhurt")
	expect(t, s, "unhurt")
}

// TestCancelBusy: who never runs out of messages, or of space, stops too.
func TestCancelBusy(t *testing.T) {
	b := bustest.New(t)
	p, s := pair(t, b, bus.PublisherConfig{}, bus.SubscriberConfig{})
	for range 500 {
		publish(t, p, "x")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for n := 0; ; n++ {
		if err := p.Publish(ctx, nil); errors.Is(err, context.Canceled) {
			break
		}
		if n > 64 {
			t.Fatal("Publish does not look at its context")
		}
	}
	for n := 0; ; n++ {
		if _, err := s.Next(ctx); errors.Is(err, context.Canceled) {
			break
		}
		if n > 64 {
			t.Fatal("Next does not look at its context")
		}
	}
}

// TestWaitForTopic: subscribers may come before the topic.
func TestWaitForTopic(t *testing.T) {
	b := bustest.New(t)
	subs := make(chan *bus.Subscriber)
	for range 3 {
		go func() {
			s, err := b.Subscriber(contextOf(t), "topic", bus.SubscriberConfig{})
			if err != nil {
				t.Error(err)
			}
			subs <- s
		}()
	}
	p := openPublisher(t, b, "topic", bus.PublisherConfig{})
	if err := p.WaitSubscribers(contextOf(t), 3); err != nil {
		t.Fatal(err)
	}
	publish(t, p, "first")
	for range 3 {
		s := <-subs
		if m := next(t, s); m.Sequence != 0 || string(m.Payload) != "first" {
			t.Errorf("the first message is %+v", m)
		}
	}
}

// idleTopics opens 64 subscribers on 64 idle topics; each waits in Next.
func idleTopics(t *testing.T, b *bustest.Bus, ctx context.Context) []chan error {
	t.Helper()
	done := make([]chan error, 64)
	for i := range done {
		topic := "idle-" + string(rune('A'+i/8)) + string(rune('a'+i%8))
		openPublisher(t, b, topic, small)
		s := openSubscriber(t, b, topic, bus.SubscriberConfig{})
		done[i] = result(func() error { _, err := s.Next(ctx); return err })
		bustest.Until(t, "the subscriber to sleep", func() bool { return s.Sleeps() > 0 })
	}
	return done
}

func TestIdleThreads(t *testing.T) {
	b := bustest.New(t)
	ctx, cancel := context.WithCancel(contextOf(t))
	done := idleTopics(t, b, ctx)
	if n := threads(t); n >= 20 && os.Getenv("SHMBUS_MEASURE") == "" {
		// Other tests may have left threads behind; what counts is that
		// there is none for each subscriber.
		if n >= 64 {
			t.Errorf("%d threads with 64 idle subscribers", n)
		}
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

	var times []time.Duration
	for range 200 {
		own, stop := context.WithCancel(context.Background())
		s := openSubscriber(t, b, "idle-Aa", bus.SubscriberConfig{Wait: bus.Park})
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
	t.Logf("200 cancellations: median %v, 99 %% %v, most %v", times[100], times[198], times[199])
	cancel()
	for _, d := range done {
		_ = await(t, "Next", d)
	}
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
