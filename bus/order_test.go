package bus_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"

	"github.com/shmbus/shmbus/bus"
	"github.com/shmbus/shmbus/bustest"
)

// TestTotalOrder: several publishers, several subscribers, a small ring; each
// publisher's messages in order, and all subscribers see the same order.
func TestTotalOrder(t *testing.T) {
	const publishers, subscribers, each = 4, 3, 5000
	b := bustest.New(t)
	digests := make([]string, subscribers)
	var work sync.WaitGroup
	var subs []*bus.Subscriber
	var pubs []*bus.Publisher
	for range publishers { // all before the first may end, or the topic drains
		pubs = append(pubs, openPublisher(t, b, "topic", bus.PublisherConfig{Capacity: 64 << 10}))
	}
	for range subscribers {
		subs = append(subs, openSubscriber(t, b, "topic", bus.SubscriberConfig{UntilDrained: true}))
	}
	for i, s := range subs {
		work.Go(func() {
			o := newOrder(publishers)
			for m, err := range s.Messages(contextOf(t)) {
				if err == nil {
					err = o.add(&m)
				}
				if err != nil {
					t.Errorf("subscriber %d: %v", i, err)
					return
				}
			}
			digests[i] = fmt.Sprintf("%d %x", o.count, o.digest.Sum(nil))
		})
	}
	for id, p := range pubs {
		work.Go(func() {
			if err := publishMixed(t, p, id, each); err != nil {
				t.Errorf("publisher %d: %v", id, err)
			}
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	work.Wait()
	want := fmt.Sprintf("%d ", publishers*each)
	for i, d := range digests {
		if len(d) < len(want) || d[:len(want)] != want || d != digests[0] {
			t.Errorf("subscriber %d got %s, subscriber 0 %s, want %s…", i, d, digests[0], want)
		}
	}
}

// publishMixed publishes n numbered messages in every way there is.
func publishMixed(t *testing.T, p *bus.Publisher, id, n int) error {
	ctx := contextOf(t)
	for i := 0; i < n; i++ {
		switch i % 5 {
		case 0:
			c, err := p.Claim(ctx, len(numbered(id, i)))
			if err != nil {
				return err
			}
			copy(c.Bytes(), numbered(id, i))
			if err := c.Commit(); err != nil {
				return err
			}
		case 1:
			if i+1 < n {
				if _, err := p.PublishBatch(ctx, [][]byte{numbered(id, i), numbered(id, i+1)}); err != nil {
					return err
				}
				i++
				continue
			}
			fallthrough
		default:
			if err := p.Publish(ctx, numbered(id, i)); err != nil {
				return err
			}
		}
	}
	return nil
}

// TestTotalOrderBetweenProcesses is the same between real processes.
// SHMBUS_MESSAGES sets how many each publisher publishes.
func TestTotalOrderBetweenProcesses(t *testing.T) {
	const publishers, subscribers = 4, 3
	each := 5000
	if v := os.Getenv("SHMBUS_MESSAGES"); v != "" {
		each = number(v)
	}
	b := bustest.New(t)
	// Without it the topic would drain if one publisher ended before the next
	// one has come.
	keep := openPublisher(t, b, "topic", bus.PublisherConfig{Capacity: 64 << 10})
	var subs, pubs []*bustest.Process
	for range subscribers {
		subs = append(subs, bustest.Spawn(t, b, "subscriber", "topic", strconv.Itoa(publishers)))
	}
	for id := range publishers {
		pubs = append(pubs, bustest.Spawn(t, b, "publisher", "topic", strconv.Itoa(each), strconv.Itoa(id), strconv.Itoa(subscribers)))
	}
	for _, p := range pubs {
		p.Expect("started")
	}
	if err := keep.Close(); err != nil {
		t.Fatal(err)
	}
	want := subs[0].Line()
	if n, _, _ := cutNumber(want); n != publishers*each {
		t.Errorf("subscriber 0 got %s, want %d messages", want, publishers*each)
	}
	for i, s := range subs {
		if i > 0 {
			if got := s.Line(); got != want {
				t.Errorf("subscriber %d got %s, subscriber 0 %s", i, got, want)
			}
		}
		s.Wait()
	}
	for _, p := range pubs {
		p.Wait()
	}
}

func cutNumber(s string) (n int, rest string, err error) {
	_, err = fmt.Sscanf(s, "%d %s", &n, &rest)
	return n, rest, err
}

// TestLossyCounts: a lossy subscriber that is slowed on purpose, and claims
// aborted at random: every sequence given is delivered, lost, or seen aborted.
func TestLossyCounts(t *testing.T) {
	for round := range 20 {
		for _, aborts := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d/aborts=%t", round, aborts), func(t *testing.T) { lossyRound(t, aborts) })
		}
	}
}

func lossyRound(t *testing.T, aborts bool) {
	const n = 3000
	b := bustest.New(t)
	p, s := pair(t, b, bus.PublisherConfig{Capacity: 8 << 10}, bus.SubscriberConfig{Mode: bus.Lossy, UntilDrained: true})
	ctx := contextOf(t)
	done := result(func() error {
		defer p.Close()
		for i := range n {
			c, err := p.Claim(ctx, 8+rand.IntN(100))
			if err != nil {
				return err
			}
			binary.LittleEndian.PutUint64(c.Bytes(), c.Sequence())
			end := c.Commit
			// The last one is committed: an abort behind the last message is
			// of no concern to anybody.
			if aborts && i != n-1 && rand.IntN(5) == 0 {
				end = c.Abort
			}
			if err := end(); err != nil {
				return err
			}
		}
		return nil
	})
	var delivered, lost, expected uint64
	for {
		m, err := s.Next(ctx)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := binary.LittleEndian.Uint64(m.Payload); got != m.Sequence || m.Sequence < expected {
			t.Fatalf("message %d carries %d, expected at least %d", m.Sequence, got, expected)
		}
		expected = m.Sequence + 1
		delivered++
		lost += m.Lost
		for range rand.IntN(2000) { // slow
			_ = s.Topic()
		}
	}
	if err := await(t, "the publisher", done); err != nil {
		t.Fatal(err)
	}
	st := s.Stats()
	if st.Delivered != delivered || st.Lost != lost {
		t.Errorf("statistics say %d delivered and %d lost, the messages %d and %d", st.Delivered, st.Lost, delivered, lost)
	}
	if !aborts && st.Aborted != 0 {
		t.Errorf("%d aborted, none was", st.Aborted)
	}
	if st.Delivered+st.Lost+st.Aborted != n {
		t.Errorf("delivered %d + lost %d + aborted %d = %d, want %d", st.Delivered, st.Lost, st.Aborted, st.Delivered+st.Lost+st.Aborted, n)
	}
	if err := errors.Join(s.Close(), b.Close()); err != nil {
		t.Error(err)
	}
}
