package bus_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/shmbus/shmbus/bus"
	"github.com/shmbus/shmbus/bustest"
)

func TestMessageFields(t *testing.T) {
	b := bustest.New(t)
	p, s := pair(t, b, bus.PublisherConfig{Kind: 7}, bus.SubscriberConfig{})
	before := time.Now()
	publish(t, p, "first")
	p.SetKind(8)
	publish(t, p, "")
	publish(t, p, "third")
	after := time.Now()

	m := next(t, s)
	if string(m.Payload) != "first" || m.Sequence != 0 || m.Kind != 7 || m.Lost != 0 {
		t.Errorf("first message: %+v", m)
	}
	const slack = time.Millisecond // the wall clock may be slewed meanwhile
	if at := m.Time(); at.Before(before.Add(-slack)) || at.After(after.Add(slack)) {
		t.Errorf("published at %v, not between %v and %v", at, before, after)
	}
	if m.Age() < 0 {
		t.Errorf("age is %v", m.Age())
	}
	kept := m.Clone()
	m = next(t, s)
	if len(m.Payload) != 0 || m.Sequence != 1 || m.Kind != 8 {
		t.Errorf("second message: %+v", m)
	}
	expect(t, s, "third")
	if string(kept.Payload) != "first" || kept.Sequence != 0 {
		t.Errorf("the clone changed: %+v", kept)
	}
	if st := s.Stats(); st.Delivered != 3 || st.Bytes != 10 || st.Lost != 0 || st.Sequence != 3 {
		t.Errorf("subscriber's statistics: %+v", st)
	}
	if st := p.Stats(); st.Published != 3 || st.Bytes != 10 {
		t.Errorf("publisher's statistics: %+v", st)
	}
}

func TestSizes(t *testing.T) {
	b := bustest.New(t)
	p, s := pair(t, b, bus.PublisherConfig{Capacity: 64 << 10}, bus.SubscriberConfig{})
	limit := p.MaxMessage()
	if limit < 64<<10/4-64 || limit > 64<<10/4 {
		t.Fatalf("MaxMessage is %d", limit)
	}
	for _, n := range []int{0, 1, 7, 8, 31, 32, 33, 64, 1000, 4096, limit - 1, limit, limit, limit, limit, 3} {
		want := bytes.Repeat([]byte{byte(n)}, n)
		publish(t, p, string(want))
		if m := next(t, s); !bytes.Equal(m.Payload, want) {
			t.Fatalf("a message of %d bytes came as %d", n, len(m.Payload))
		}
	}
	ctx := contextOf(t)
	err := p.Publish(ctx, make([]byte, limit+1))
	if !errors.Is(err, bus.ErrTooLarge) || !strings.Contains(err.Error(), fmt.Sprint(limit)) {
		t.Errorf("Publish of %d bytes: %v, want ErrTooLarge naming %d", limit+1, err, limit)
	}
	if _, err := p.Claim(ctx, limit+1); !errors.Is(err, bus.ErrTooLarge) {
		t.Errorf("Claim of %d bytes: %v, want ErrTooLarge", limit+1, err)
	}
	if n, err := p.PublishBatch(ctx, [][]byte{{1}, make([]byte, limit+1)}); n != 0 || !errors.Is(err, bus.ErrTooLarge) {
		t.Errorf("PublishBatch with one too large: %d, %v", n, err)
	}
	publish(t, p, "goes on")
	expect(t, s, "goes on")
}

func TestStarts(t *testing.T) {
	b := bustest.New(t)
	p := openPublisher(t, b, "topic", bus.PublisherConfig{})
	for i := range 5 {
		publish(t, p, fmt.Sprint("old ", i))
	}
	subscribe := func(start bus.Start) *bus.Subscriber {
		return openSubscriber(t, b, "topic", bus.SubscriberConfig{Start: start})
	}
	zero, latest, earliest := subscribe(bus.Start{}), subscribe(bus.Latest()), subscribe(bus.Earliest())
	third, now, ago := subscribe(bus.FromSequence(3)), subscribe(bus.FromSequence(5)), subscribe(bus.FromAge(time.Hour))
	publish(t, p, "new")
	expect(t, zero, "new")
	expect(t, latest, "new")
	expect(t, earliest, "old 0")
	expect(t, third, "old 3")
	expect(t, now, "new")
	expect(t, ago, "old 0")
	_, err := b.Subscriber(contextOf(t), "topic", bus.SubscriberConfig{Start: bus.FromSequence(7)})
	if !errors.Is(err, bus.ErrStart) {
		t.Errorf("a start beyond the end: %v, want ErrStart", err)
	}
}

func TestBatch(t *testing.T) {
	b := bustest.New(t)
	p, s := pair(t, b, bus.PublisherConfig{Capacity: 4 << 10}, bus.SubscriberConfig{})
	batch := make([][]byte, 500) // many times the ring
	for i := range batch {
		batch[i] = fmt.Appendf(nil, "%d", i)
	}
	sent := result(func() error {
		n, err := p.PublishBatch(contextOf(t), batch)
		if n != len(batch) {
			err = fmt.Errorf("%d published: %w", n, err)
		}
		return err
	})
	for i := range batch {
		expect(t, s, fmt.Sprint(i))
	}
	if err := await(t, "PublishBatch", sent); err != nil {
		t.Error(err)
	}
	if n, err := p.PublishBatch(contextOf(t), nil); n != 0 || err != nil {
		t.Errorf("an empty batch: %d, %v", n, err)
	}
}

func TestMessages(t *testing.T) {
	b := bustest.New(t)
	p, s := pair(t, b, bus.PublisherConfig{}, bus.SubscriberConfig{UntilDrained: true})
	for i := range 6 {
		publish(t, p, fmt.Sprint(i))
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	var got []string
	for m, err := range s.Messages(contextOf(t)) {
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, string(m.Payload)); len(got) == 3 {
			break
		}
	}
	for m, err := range s.Messages(contextOf(t)) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(m.Payload))
	}
	if want := "[0 1 2 3 4 5]"; fmt.Sprint(got) != want {
		t.Errorf("iterated over %v, want %v", got, want)
	}
	if _, err := s.Next(contextOf(t)); err != io.EOF {
		t.Errorf("Next behind the end: %v, want io.EOF", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	calls := 0
	for _, err := range s.Messages(contextOf(t)) {
		if calls++; !errors.Is(err, bus.ErrClosed) {
			t.Errorf("iterating over a closed subscriber: %v", err)
		}
	}
	if calls != 1 {
		t.Errorf("a closed subscriber yielded %d times, want once", calls)
	}
}
