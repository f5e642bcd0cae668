package ring

import (
	"errors"
	"math"
	"testing"
)

// TestLossBeforeTheStart: who starts at a sequence that is no longer there is
// told how many are missing: a lossy subscriber by Lost of its first message,
// of which its counters know, a reliable one by its sequence.
func TestLossBeforeTheStart(t *testing.T) {
	for _, o := range []Options{{}, {Exclusive: true, Publishers: 1, Subscribers: 4}} {
		for _, last := range []string{"committed", "aborted"} {
			room := newHeapRoom(t, o)
			p := room.local(0)
			publish := func(n int) {
				for range n {
					if _, err := p.TryPublish([]byte("12345678"), 0, 0); err != nil {
						t.Fatal(err)
					}
				}
			}
			publish(1000)
			if last == "aborted" { // all that is there, but the very last
				for range 200 {
					c, err := p.TryClaim(8, 0, 0)
					if err != nil {
						t.Fatal(err)
					}
					if err := c.Abort(); err != nil {
						t.Fatal(err)
					}
				}
				publish(1)
			}
			given := p.sequence
			const from = 5
			for i, mode := range []Mode{Reliable, Lossy} {
				c := room.localConsumer(i, SubscriberSpec{Mode: mode, Start: Start{Kind: StartSequence, Sequence: from}})
				m, err := c.Next()
				if err != nil {
					t.Fatal(err)
				}
				s := c.Stats()
				if mode == Reliable && (m.Lost != 0 || m.Sequence <= from) {
					t.Errorf("%s, %s, exclusive %t: the first message is %d, Lost %d; want a later one than %d, 0", mode, last, o.Exclusive, m.Sequence, m.Lost, from)
				}
				if mode == Lossy && (m.Lost == 0 || m.Lost+s.Aborted != m.Sequence-from || s.Lost() != m.Lost) {
					t.Errorf("%s, %s, exclusive %t: the first message is %d, Lost %d, %d counted, %d aborted; want %d lost or aborted", mode, last, o.Exclusive, m.Sequence, m.Lost, s.Lost(), s.Aborted, m.Sequence-from)
				}
			}
			// At the end nothing is lost, and beyond it nothing begins.
			c := room.localConsumer(2, SubscriberSpec{Mode: Lossy, Start: Start{Kind: StartSequence, Sequence: given}})
			publish(1)
			if m, err := c.Next(); err != nil || m.Sequence != given || m.Lost != 0 {
				t.Errorf("%s, exclusive %t: started at the end: %d, Lost %d, %v; want %d, 0", last, o.Exclusive, m.Sequence, m.Lost, err, given)
			}
		}
	}
}

// TestStartBeyondTheEnd: there is no sequence so high that it is taken for one
// of before.
func TestStartBeyondTheEnd(t *testing.T) {
	room := newHeapRoom(t, Options{})
	p := room.local(0)
	for range 5 {
		if _, err := p.TryPublish(nil, 0, 0); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range []uint64{6, 1 << 32, 1<<63 + 4, 1<<63 + 5, 1<<63 + 6, math.MaxUint64} {
		for _, mode := range []Mode{Reliable, Lossy} {
			spec := SubscriberSpec{Gen: room.generation(), Mode: mode, Start: Start{Kind: StartSequence, Sequence: n}}
			if a, err := room.host.AddSubscriber(t.Context(), spec); !errors.Is(err, ErrBadStart) {
				t.Fatalf("%s, from %d of 5: %+v, %v, want %v", mode, n, a, err, ErrBadStart)
			}
		}
	}
}
