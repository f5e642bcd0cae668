package ring

import (
	"bytes"
	"context"
	"fmt"
	"testing"
)

// hookContext asks a function whether it has ended: that is called when the
// one whose context it is looks, and so between two entries of a batch.
type hookContext struct {
	context.Context
	hook func() error
}

func (c hookContext) Err() error { return c.hook() }

// bigBatch is a batch of messages of n bytes that takes 4 MiB of a ring.
func bigBatch(n int) [][]byte {
	batch := make([][]byte, 4<<20/extentOf(uint64(n)))
	payload := make([]byte, n)
	for i := range batch {
		batch[i] = payload
	}
	return batch
}

// batchSizes take each of the ways of a message in a batch.
var batchSizes = []int{0, 64, shortMost + 1, 1 << 10, largeCopy - 1, largeCopy}

// TestBatchLetsOthersIn: however long a batch is, and though nothing holds it
// back, others may enter after a bounded number of bytes.
func TestBatchLetsOthersIn(t *testing.T) {
	const most = batchMost + batchRun*(recordHeader+shortMost) + 2*largeCopy
	for _, n := range batchSizes {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			capacity := uint64(1 << 20)
			if n <= shortMost {
				capacity = 64 << 20 // a run of short messages ends with each 1/64 in any case
			}
			room := newHeapRoom(t, Options{Capacity: capacity})
			p, other := room.local(0), room.local(1)
			last, entries := uint64(0), 0
			enter := func() error {
				if _, err := other.TryPublish([]byte("let me in"), 0, 0); err != nil {
					t.Fatalf("entry %d: another, between two entries of the batch: %v", entries, err)
				}
				if more := other.tail - last; more > most {
					t.Errorf("entry %d: the batch went on for %d bytes, want %d at most", entries, more, most)
				}
				last = other.tail
				entries++
				return nil
			}
			batch := bigBatch(n)
			done, err := p.PublishBatch(hookContext{t.Context(), enter}, batch, 0, 0, true)
			if done != len(batch) || err != nil {
				t.Errorf("published %d of %d, %v", done, len(batch), err)
			}
			_ = enter()
			if entries < 4<<20/most {
				t.Errorf("others could enter %d times, want %d at least", entries, 4<<20/most)
			}
			if b := room.ring.Publishers()[0].Batches; b != 1 {
				t.Errorf("it counts as %d batches, want 1", b)
			}
		})
	}
}

// TestBatchStops: a batch that nothing holds back ends with its context, and
// with Interrupt; what it says it published is there, and no more.
func TestBatchStops(t *testing.T) {
	for _, n := range batchSizes {
		for name, want := range map[string]error{"context": context.Canceled, "Interrupt": ErrClosed} {
			t.Run(fmt.Sprintf("%s/%d", name, n), func(t *testing.T) {
				room := newHeapRoom(t, Options{Capacity: 1 << 20})
				p := room.local(0)
				looks := 0
				ctx := hookContext{t.Context(), func() error {
					if looks++; looks < 3 {
						return nil
					}
					if want == ErrClosed {
						p.Interrupt()
						return nil
					}
					return want
				}}
				batch := bigBatch(n)
				done, err := p.PublishBatch(ctx, batch, 0, 0, true)
				if err != want || done == 0 || done >= len(batch) {
					t.Errorf("published %d of %d, %v, want some and %v", done, len(batch), err, want)
				}
				p.Flush()
				if s := room.ring.Stat().Sequence; s != uint64(done) {
					t.Errorf("%d messages are there, want %d", s, done)
				}
			})
		}
	}
}

// TestBatchCopiesOutsideTheLock: the large messages of a batch go by claims, in
// their place between the others.
func TestBatchCopiesOutsideTheLock(t *testing.T) {
	room := newHeapRoom(t, Options{Capacity: 1 << 20})
	p, c := room.local(0), room.localConsumer(0, SubscriberSpec{})
	var batch [][]byte
	total, end := 0, p.tail
	for i, n := range []int{100, largeCopy, 1000, 10, 2 * largeCopy, largeCopy, largeCopy - 1, 8} {
		batch = append(batch, numbered(i, n))
		total += n
		end += extentOf(uint64(n))
	}
	if n, err := p.PublishBatch(t.Context(), batch, 7, 9, false); n != len(batch) || err != nil {
		t.Fatalf("published %d of %d, %v", n, len(batch), err)
	}
	last := end - extentOf(8) - extentOf(largeCopy-1) // where the last large one ends
	if busy := room.ring.log.busyEnd.Load(); busy != last || p.tail != end {
		t.Errorf("the last claim ended at %d, want %d; the batch at %d, want %d", busy, last, p.tail, end)
	}
	for i := range batch {
		m, err := c.Next()
		if err != nil || m.Sequence != uint64(i) || m.Kind != 7 || m.Time != 9 || !bytes.Equal(m.Payload, batch[i]) {
			t.Fatalf("message %d: got number %d of %d bytes, kind %d, time %d, %v", i, m.Sequence, len(m.Payload), m.Kind, m.Time, err)
		}
	}
	if s := room.ring.Publishers()[0]; s.Published != uint64(len(batch)) || s.Bytes != uint64(total) || s.Batches != 1 {
		t.Errorf("counted %d messages, %d bytes, %d batches; want %d, %d, 1", s.Published, s.Bytes, s.Batches, len(batch), total)
	}
}

// TestBatchIsRefused once, where there is no room for the rest of it.
func TestBatchIsRefused(t *testing.T) {
	for _, n := range []int{64, 900} {
		room := newHeapRoom(t, Options{})
		p := room.local(0)
		room.localConsumer(0, SubscriberSpec{})
		done, err := p.PublishBatch(t.Context(), bigBatch(n), 0, 0, false)
		if err != ErrFull || done == 0 {
			t.Errorf("%d bytes: published %d, %v, want some and %v", n, done, err, ErrFull)
		}
		if s := room.ring.Publishers()[0]; s.Refused != 1 || s.Published != uint64(done) {
			t.Errorf("%d bytes: counted %d refused, %d published; want 1, %d", n, s.Refused, s.Published, done)
		}
	}
}
