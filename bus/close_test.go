package bus_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/shmbus/shmbus/bus"
	"github.com/shmbus/shmbus/bustest"
)

// mapped reports whether this process maps a region of the topic, whose name
// no other test may use.
func mapped(t *testing.T, topic string) bool {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(maps), ":"+topic+" ")
}

func TestCloseWakes(t *testing.T) {
	for _, c := range []struct {
		name string
		call func(ctx context.Context, b *bustest.Bus, p *bus.Publisher, s *bus.Subscriber) error
	}{
		{"Next", func(ctx context.Context, _ *bustest.Bus, _ *bus.Publisher, s *bus.Subscriber) error {
			_, err := s.Next(ctx)
			return err
		}},
		{"Wait", func(ctx context.Context, _ *bustest.Bus, _ *bus.Publisher, s *bus.Subscriber) error {
			for { // participants that come and go end a Wait, too
				if err := s.Wait(ctx); err != nil {
					return err
				}
			}
		}},
		{"WaitSubscribers", func(ctx context.Context, _ *bustest.Bus, p *bus.Publisher, _ *bus.Subscriber) error {
			return p.WaitSubscribers(ctx, 99)
		}},
		{"Publish", func(ctx context.Context, _ *bustest.Bus, p *bus.Publisher, _ *bus.Subscriber) error {
			for {
				if err := p.Publish(ctx, make([]byte, 100)); err != nil {
					return err
				}
			}
		}},
		{"Claim", func(ctx context.Context, _ *bustest.Bus, p *bus.Publisher, _ *bus.Subscriber) error {
			for {
				if c, err := p.Claim(ctx, 100); err != nil {
					return err
				} else if err := c.Commit(); err != nil {
					return err
				}
			}
		}},
	} {
		for _, who := range []string{"handle", "bus"} {
			for _, wait := range []bus.WaitStrategy{bus.Adaptive, bus.Spin, bus.Park} {
				t.Run(fmt.Sprintf("%s/%s/%d", c.name, who, wait), func(t *testing.T) {
					b := bustest.New(t)
					p, s := pair(t, b, small, bus.SubscriberConfig{Wait: wait})
					done := result(func() error { return c.call(contextOf(t), b, p, s) })
					var err error
					if who == "bus" {
						err = b.Close()
					} else {
						err = errors.Join(p.Close(), s.Close())
					}
					if err != nil {
						t.Error(err)
					}
					if err := await(t, c.name, done); !errors.Is(err, bus.ErrClosed) {
						t.Errorf("%s returned %v, want ErrClosed", c.name, err)
					}
				})
			}
		}
	}
}

func TestCloseTwice(t *testing.T) {
	b := bustest.New(t)
	p, s := pair(t, b, small, bus.SubscriberConfig{})
	ctx := contextOf(t)
	for range 3 {
		if err := errors.Join(p.Close(), s.Close()); err != nil {
			t.Error(err)
		}
	}
	for name, call := range map[string]func() error{
		"Publish":      func() error { return p.Publish(ctx, nil) },
		"TryPublish":   func() error { return p.TryPublish(nil) },
		"PublishBatch": func() error { _, err := p.PublishBatch(ctx, [][]byte{{}}); return err },
		"Claim":        func() error { _, err := p.Claim(ctx, 1); return err },
		"Next":         func() error { _, err := s.Next(ctx); return err },
		"Poll":         func() error { _, err := s.Poll(nil, 1); return err },
		"Wait":         func() error { return s.Wait(ctx) },
	} {
		if err := call(); !errors.Is(err, bus.ErrClosed) {
			t.Errorf("%s: %v, want ErrClosed", name, err)
		}
	}
	for range 2 {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := b.Publisher(ctx, "topic", small); !errors.Is(err, bus.ErrClosed) {
		t.Errorf("Publisher on a closed bus: %v, want ErrClosed", err)
	}
	if _, err := b.Topics(ctx); !errors.Is(err, bus.ErrClosed) {
		t.Errorf("Topics of a closed bus: %v, want ErrClosed", err)
	}
}

// TestCloseUnmaps: when everything is closed nothing stays mapped, and a view
// stays mapped exactly as long as it should.
func TestCloseUnmaps(t *testing.T) {
	b := bustest.New(t)
	p, s := pairOf(t, b, "unmaps", small, bus.SubscriberConfig{})
	publish(t, p, "still here")
	m := next(t, s)
	if err := errors.Join(p.Close(), s.Close(), b.Close()); err != nil {
		t.Fatal(err)
	}
	if got := string(m.Payload); got != "still here" {
		t.Errorf("the view shows %q after Close", got)
	}
	if !mapped(t, "unmaps") {
		t.Error("nothing is mapped though a view is out")
	}
	if _, err := s.Next(contextOf(t)); !errors.Is(err, bus.ErrClosed) {
		t.Errorf("Next: %v", err)
	}
	bustest.Until(t, "everything to be unmapped", func() bool { return !mapped(t, "unmaps") })
	if st := s.Stats(); st.Delivered != 1 {
		t.Errorf("statistics after Close: %+v", st)
	}
	if st := p.Stats(); st.Published != 1 {
		t.Errorf("statistics after Close: %+v", st)
	}
}

// TestCloseLetsGo: a closed reliable subscriber holds nobody back, though its
// last view is out.
func TestCloseLetsGo(t *testing.T) {
	b := bustest.New(t)
	p, s := pair(t, b, small, bus.SubscriberConfig{})
	publish(t, p, "0")
	m := next(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for i := range 500 {
		publish(t, p, fmt.Sprint(i))
	}
	_ = len(m.Payload)
}

func TestCloseWithOpenClaim(t *testing.T) {
	b := bustest.New(t)
	p, s := pairOf(t, b, "openclaim", small, bus.SubscriberConfig{UntilDrained: true})
	ctx := contextOf(t)
	kept, err := p.Claim(ctx, 4)
	if err != nil {
		t.Fatal(err)
	}
	given, err := p.Claim(ctx, 4)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if err := p.Publish(ctx, nil); !errors.Is(err, bus.ErrClosed) {
		t.Errorf("Publish: %v, want ErrClosed", err)
	}
	copy(kept.Bytes(), "kept")
	copy(given.Bytes(), "gone")
	if err := errors.Join(kept.Commit(), given.Abort()); err != nil {
		t.Errorf("claims of a closed publisher: %v", err)
	}
	if err := given.Commit(); !errors.Is(err, bus.ErrClosed) {
		t.Errorf("a claim twice: %v", err)
	}
	expect(t, s, "kept")
	for _, err := range s.Messages(ctx) {
		t.Errorf("behind the last: %v", err) // it drains: the slot was given back
	}
	if err := errors.Join(s.Close(), b.Close()); err != nil {
		t.Error(err)
	}
	bustest.Until(t, "everything to be unmapped", func() bool { return !mapped(t, "openclaim") })
}

// TestCollected: handles that are forgotten are closed.
func TestCollected(t *testing.T) {
	b := bustest.New(t)
	keep := openPublisher(t, b, "topic", small)
	func() {
		p, err := b.Publisher(contextOf(t), "topic", small)
		if err != nil {
			t.Fatal(err)
		}
		s, err := b.Subscriber(contextOf(t), "topic", bus.SubscriberConfig{})
		if err != nil {
			t.Fatal(err)
		}
		publish(t, p, "x")
		next(t, s)
		if _, err := p.Claim(contextOf(t), 4); err != nil {
			t.Fatal(err)
		}
	}()
	bustest.Until(t, "the forgotten handles to be closed", func() bool {
		runtime.GC()
		topics, err := b.Topics(contextOf(t))
		if err != nil {
			t.Fatal(err)
		}
		return len(topics) == 1 && topics[0].Publishers == 1 && topics[0].Subscribers == 0
	})
	for range 500 { // neither the subscriber nor the claim holds anybody back
		publish(t, keep, "goes on")
	}
}

// TestCloseRaces closes handles, or the bus, while others use them.
func TestCloseRaces(t *testing.T) {
	for round := range 60 {
		t.Run(fmt.Sprint(round), func(t *testing.T) { closeRace(t, round) })
	}
	bustest.Until(t, "everything to be unmapped", func() bool { return !mapped(t, "races") })
}

func closeRace(t *testing.T, round int) {
	b := bustest.New(t)
	ctx := contextOf(t)
	var work sync.WaitGroup
	var closers []func() error
	var moved atomic.Int64
	run := func(what string, step func() error) {
		work.Go(func() {
			for {
				if err := step(); err != nil {
					if !errors.Is(err, bus.ErrClosed) {
						t.Errorf("%s: %v", what, err)
					}
					return
				}
				moved.Add(1)
			}
		})
	}
	for n := range 2 {
		c := small
		c.WhenFull = bus.WhenFull(round % 3)
		p := openPublisher(t, b, "races", c)
		s := openSubscriber(t, b, "races", bus.SubscriberConfig{Mode: bus.Mode((round + n) % 2)})
		closers = append(closers, p.Close, s.Close)
		run("publisher", func() error {
			if err := p.Publish(ctx, make([]byte, 50)); err != nil && !errors.Is(err, bus.ErrBackpressure) {
				return err
			}
			c, err := p.Claim(ctx, 10)
			if errors.Is(err, bus.ErrBackpressure) {
				return nil
			}
			if err != nil {
				return err
			}
			copy(c.Bytes(), "0123456789")
			return c.Commit()
		})
		run("subscriber", func() error {
			m, err := s.Next(ctx)
			for _, b := range m.Payload {
				_ = b
			}
			return err
		})
	}
	closers = append(closers, b.Close)
	bustest.Until(t, "some traffic", func() bool { return moved.Load() > int64(round*10) })
	for i := range closers {
		work.Go(func() {
			if err := closers[(i+round)%len(closers)](); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
	}
	work.Wait()
}

// TestConcurrentUsePanics waits until one goroutine is inside a call and then
// makes another one: two that go in at the same instant may miss each other,
// and then nothing tells that the first is still inside.
func TestConcurrentUsePanics(t *testing.T) {
	b := bustest.New(t)
	p, s := pair(t, b, small, bus.SubscriberConfig{})
	for name, c := range map[string]struct {
		blocked func(context.Context) error
		inside  func() bool
		others  []func()
	}{
		"publisher": {
			func(ctx context.Context) error { return p.WaitSubscribers(ctx, 99) },
			p.Inside,
			[]func(){
				func() { _ = p.TryPublish(nil) },
				func() { _, _ = p.Claim(contextOf(t), 1) },
				func() { p.Unread() },
			},
		},
		"subscriber": {
			func(ctx context.Context) error { _, err := s.Next(ctx); return err },
			s.Inside,
			[]func(){
				func() { _, _ = s.Next(contextOf(t)) },
				func() { _, _ = s.Poll(func(bus.Message, bool) error { return nil }, 1) },
			},
		},
	} {
		ctx, cancel := context.WithCancel(contextOf(t))
		var work sync.WaitGroup
		work.Go(func() {
			if err := c.blocked(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("%s: the call that was inside first returned %v, want that its context is over", name, err)
			}
		})
		bustest.Until(t, name+" to be inside", c.inside)
		for i, other := range c.others {
			if text := panicOf(other); !strings.Contains(text, "concurrent use") {
				t.Errorf("%s: call %d beside another one: panic %q, want one that says concurrent use", name, i, text)
			}
		}
		cancel()
		work.Wait()
	}
	publish(t, p, "still usable")
	if m, err := s.Next(contextOf(t)); err != nil || string(m.Payload) != "still usable" {
		t.Errorf("got %q, %v after the panics", m.Payload, err)
	}
}

// panicOf returns what call panics with, or "".
func panicOf(call func()) (text string) {
	defer func() {
		if v := recover(); v != nil {
			text = fmt.Sprint(v)
		}
	}()
	call()
	return ""
}
