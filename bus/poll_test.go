package bus_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/shmbus/shmbus/bus"
	"github.com/shmbus/shmbus/bustest"
)

func TestPoll(t *testing.T) {
	b := bustest.New(t)
	p, s := pair(t, b, bus.PublisherConfig{}, bus.SubscriberConfig{UntilDrained: true})
	none := func(bus.Message, bool) error { t.Error("called for nothing"); return nil }
	if n, err := s.Poll(none, 10); n != 0 || err != nil {
		t.Errorf("Poll of nothing: %d, %v", n, err)
	}
	for i := range 5 {
		publish(t, p, fmt.Sprint(i))
	}
	var got []string
	collect := func(m bus.Message, last bool) error {
		got = append(got, fmt.Sprintf("%s %t", m.Payload, last))
		return nil
	}
	if n, err := s.Poll(collect, 2); n != 2 || err != nil {
		t.Errorf("Poll of two: %d, %v", n, err)
	}
	enough := errors.New("enough")
	if n, err := s.Poll(func(m bus.Message, last bool) error { return errors.Join(collect(m, last), enough) }, 9); n != 1 || !errors.Is(err, enough) {
		t.Errorf("Poll with a failing function: %d, %v", n, err)
	}
	if n, err := s.Poll(collect, 9); n != 2 || err != nil {
		t.Errorf("Poll of the rest: %d, %v", n, err)
	}
	if want := "[0 false 1 true 2 false 3 false 4 true]"; fmt.Sprint(got) != want {
		t.Errorf("polled %v, want %v", got, want)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	bustest.Until(t, "the end of the topic", func() bool {
		n, err := s.Poll(none, 9)
		return n == 0 && err == io.EOF
	})
	if err := s.Wait(contextOf(t)); err != nil {
		t.Errorf("Wait on a drained topic: %v", err)
	}
}

// TestPollPanic: a panic in the user's function leaves the subscriber usable.
func TestPollPanic(t *testing.T) {
	b := bustest.New(t)
	p, s := pair(t, b, bus.PublisherConfig{}, bus.SubscriberConfig{})
	publish(t, p, "one")
	publish(t, p, "two")
	func() {
		defer func() { _ = recover() }()
		_, _ = s.Poll(func(bus.Message, bool) error { panic("user") }, 9)
	}()
	expect(t, s, "two")
}

// TestCloseInPoll closes from within the function that Poll calls, at each
// message of a run: nothing is taken that is not handed on.
func TestCloseInPoll(t *testing.T) {
	for _, mode := range []bus.Mode{bus.Reliable, bus.Lossy} {
		for at := range 5 {
			b := bustest.New(t)
			p, s := pair(t, b, small, bus.SubscriberConfig{Mode: mode})
			for i := range 5 {
				publish(t, p, fmt.Sprint(i))
			}
			calls := 0
			n, err := s.Poll(func(m bus.Message, _ bool) error {
				if calls == at {
					if err := b.Close(); err != nil {
						t.Error(err)
					}
				}
				if string(m.Payload) != fmt.Sprint(calls) {
					t.Errorf("got %q, want %d", m.Payload, calls)
				}
				calls++
				return nil
			}, 9)
			if calls != at+1 || n != calls || at < 4 && !errors.Is(err, bus.ErrClosed) {
				t.Errorf("%v, closed at %d: Poll called %d times and returned %d, %v, want ErrClosed", mode, at, calls, n, err)
			}
			if st := s.Stats(); st.Delivered != uint64(n) || st.Sequence != uint64(n) {
				t.Errorf("%v, closed at %d: %+v, want %d delivered, and to go on there", mode, at, st, n)
			}
		}
	}
}

// TestDetachedInPoll: who is detached while its function runs, closed or not,
// is told that the views may have been overwritten.
func TestDetachedInPoll(t *testing.T) {
	failed := errors.New("failed")
	for name, end := range map[string]func(s *bus.Subscriber) error{
		"goes on": func(*bus.Subscriber) error { return nil },
		"closes":  func(s *bus.Subscriber) error { return s.Close() },
		"fails":   func(*bus.Subscriber) error { return failed },
	} {
		b := bustest.New(t)
		p, s := pair(t, b, bus.PublisherConfig{Capacity: 4096, WhenFull: bus.Fail}, bus.SubscriberConfig{MaxLag: 30})
		for range 5 {
			publish(t, p, "mine")
		}
		if _, err := s.Poll(func(bus.Message, bool) error { return nil }, 1); err != nil {
			t.Fatal(err) // now the others are found in one look
		}
		n, err := s.Poll(func(bus.Message, bool) error {
			for range 200 {
				_ = p.TryPublish([]byte("other")) // until it has lapped the subscriber
			}
			return end(s)
		}, 9)
		if errors.Is(err, failed) {
			_, err = s.Poll(func(bus.Message, bool) error { return nil }, 9)
		}
		if n != 1 || !errors.Is(err, bus.ErrDetached) {
			t.Errorf("%s: Poll returned %d, %v, want 1, ErrDetached", name, n, err)
		}
	}
}

// TestMaxLagSparesTheDiligent: who is never more than a few messages behind is
// not detached, whatever part of the ring those are.
func TestMaxLagSparesTheDiligent(t *testing.T) {
	for _, most := range []uint64{4, 10, 100} {
		b := bustest.New(t)
		p, s := pair(t, b, bus.PublisherConfig{Capacity: 64 << 10}, bus.SubscriberConfig{MaxLag: most})
		publish(t, p, "first")
		for i := range 3000 {
			publish(t, p, fmt.Sprint(i)) // one ahead, so that it never finds nothing
			if _, err := s.Next(contextOf(t)); err != nil {
				t.Fatalf("at most %d behind: message %d: %v", most, i, err)
			}
		}
		left := 3000
		if _, err := s.Poll(func(bus.Message, bool) error {
			if left--; left > 0 {
				publish(t, p, "more")
			}
			return nil
		}, 1<<30); err != nil {
			t.Errorf("at most %d behind: Poll: %v with %d left", most, err, left)
		}
	}
}

// TestStatsWhileClosing: the counters are never those of nobody.
func TestStatsWhileClosing(t *testing.T) {
	for range 100 {
		b := bustest.New(t)
		p, s := pair(t, b, small, bus.SubscriberConfig{})
		publish(t, p, "one")
		next(t, s)
		closed := make(chan error, 1)
		go func() { closed <- s.Close() }()
		for done := false; !done; {
			select {
			case err := <-closed:
				if done = true; err != nil {
					t.Error(err)
				}
			default:
			}
			if st := s.Stats(); st.Delivered != 1 || st.Sequence != 1 {
				t.Fatalf("while it closes: %+v, want one delivered", st)
			}
		}
	}
}
