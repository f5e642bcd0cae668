package ring

import (
	"bytes"
	"errors"
	"testing"

	"pgregory.net/rapid"
)

// model is what a ring means: a list of messages, each given its number when
// it is published or claimed, and readers that go through the list.
type model struct{ list []modelMessage }

type modelMessage struct {
	payload []byte
	owner   int
	state   int
}

const (
	open = iota // claimed
	committed
	aborted
)

// reader is a place in the list.
type reader struct{ at int }

func (m *model) give(owner, state int, payload []byte) int {
	m.list = append(m.list, modelMessage{payload, owner, state})
	return len(m.list) - 1
}

// leave is the end of a publisher: what it has open is aborted.
func (m *model) leave(owner int) {
	for i := range m.list {
		if m.list[i].owner == owner && m.list[i].state == open {
			m.list[i].state = aborted
		}
	}
}

// next is the number of the next message for a reader, or -1: it steps over
// what was aborted and stops at what is open.
func (m *model) next(r *reader) int {
	for ; r.at < len(m.list) && m.list[r.at].state != open; r.at++ {
		if m.list[r.at].state == committed {
			r.at++
			return r.at - 1
		}
	}
	return -1
}

// counts says how many messages of a part of the list are in a state.
func (m *model) counts(from, to, state int) (n int) {
	for _, x := range m.list[from:to] {
		if x.state == state {
			n++
		}
	}
	return n
}

// machine drives a ring and the model side by side, single-threaded.
type machine struct {
	room      *room
	model     model
	producers [3]*Producer
	consumers [3]*Consumer
	readers   [3]reader
	claims    []modelClaim
}

type modelClaim struct {
	Claim
	number int
}

// TestModel compares random runs of several producers and consumers with the
// model.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		start := rapid.SampledFrom([]uint64{0, 1<<32 - 2048, 8<<30 - 4000&^31, ^uint64(0) - 2047}).Draw(rt, "start")
		m := &machine{room: newHeapRoom(t, Options{Start: start, Fenced: rapid.Bool().Draw(rt, "fenced")})}
		rt.Repeat(map[string]func(*rapid.T){
			"publish": m.publish, "batch": m.batch, "claim": m.claim, "end": m.end,
			"read": m.read, "read on": m.read, "poll": m.poll, "attach": m.attach, "leave": m.leave,
			"remove publisher": m.removePublisher, "new host": m.newHost, "": m.invariant,
		})
	})
}

// anyProducer returns one, which may have to be granted first.
func (m *machine) anyProducer(t *rapid.T) *Producer {
	i := rapid.IntRange(0, len(m.producers)-1).Draw(t, "producer")
	if m.producers[i] == nil {
		m.producers[i] = m.room.local(i)
		if rapid.Bool().Draw(t, "soon biased") {
			m.producers[i].alone = rebiasAfter
		}
	}
	return m.producers[i]
}

func size(t *rapid.T) int {
	return rapid.OneOf(rapid.IntRange(0, 130), rapid.IntRange(0, MaxMessage(MinCapacity))).Draw(t, "size")
}

func (m *machine) payload(number, n int) []byte { return numbered(number, n) }

// refused checks that ErrFull has a reason: something unread, or a claim.
func (m *machine) refused(t *rapid.T, err error) {
	if !errors.Is(err, ErrFull) {
		t.Fatalf("%v; %+v", err, m.room.ring.Stat())
	}
	for _, c := range m.consumers {
		if c != nil && c.options.Mode == Reliable && (int(c.sequence) < len(m.model.list) || c.published != c.position) {
			return
		}
	}
	if len(m.claims) == 0 {
		t.Fatalf("full, though all is read and no claim is open: %+v", m.room.ring.Stat())
	}
}

func (m *machine) publish(t *rapid.T) {
	p := m.anyProducer(t)
	b := m.payload(len(m.model.list), size(t))
	seq, err := p.TryPublish(b, 5, 6)
	if err != nil {
		m.refused(t, err)
		return
	}
	if want := m.model.give(p.slot, committed, b); int(seq) != want {
		t.Fatalf("sequence %d, want %d", seq, want)
	}
}

func (m *machine) batch(t *rapid.T) {
	p := m.anyProducer(t)
	var list [][]byte
	for i := range rapid.IntRange(0, 6).Draw(t, "messages") {
		list = append(list, m.payload(len(m.model.list)+i, size(t)))
	}
	n, err := p.PublishBatch(tryContext, list, 5, 6, false)
	if err != nil {
		m.refused(t, err)
	} else if n != len(list) {
		t.Fatalf("%d of %d published", n, len(list))
	}
	for _, b := range list[:n] {
		m.model.give(p.slot, committed, b)
	}
}

func (m *machine) claim(t *rapid.T) {
	p := m.anyProducer(t)
	n := size(t)
	c, err := p.TryClaim(n, 5, 6)
	if err != nil {
		m.refused(t, err)
		return
	}
	number := m.model.give(p.slot, open, m.payload(len(m.model.list), n))
	if int(c.Sequence()) != number || len(c.Bytes()) != n {
		t.Fatalf("sequence %d, want %d; %d bytes, want %d", c.Sequence(), number, len(c.Bytes()), n)
	}
	m.claims = append(m.claims, modelClaim{c, number})
}

func (m *machine) end(t *rapid.T) {
	if len(m.claims) == 0 {
		t.Skip("no claim is open")
	}
	i := rapid.IntRange(0, len(m.claims)-1).Draw(t, "claim")
	c := m.claims[i]
	m.claims = append(m.claims[:i], m.claims[i+1:]...)
	x := &m.model.list[c.number]
	orphaned := x.state != open
	state, end := committed, c.Commit
	if rapid.Bool().Draw(t, "abort") {
		state, end = aborted, c.Abort
	} else if !orphaned {
		copy(c.Bytes(), x.payload) // the room is no longer ours otherwise
	}
	if err := end(); orphaned != errors.Is(err, ErrOrphaned) || !orphaned && err != nil {
		t.Fatalf("%v; the model says orphaned %t", err, orphaned)
	}
	if !orphaned {
		x.state = state
	}
}

func (m *machine) anyConsumer(t *rapid.T) int {
	i := rapid.IntRange(0, len(m.consumers)-1).Draw(t, "consumer")
	if m.consumers[i] == nil {
		t.Skip("nobody is there")
	}
	return i
}

func (m *machine) read(t *rapid.T) {
	i := m.anyConsumer(t)
	for range rapid.IntRange(1, 12).Draw(t, "messages") {
		got, err := m.consumers[i].Next()
		m.compare(t, i, got, err)
		if err != nil {
			return
		}
	}
}

func (m *machine) poll(t *rapid.T) {
	i := m.anyConsumer(t)
	ended, most := false, rapid.IntRange(1, 12).Draw(t, "most")
	n, err := m.consumers[i].Poll(func(got Record, last bool) error {
		if ended {
			t.Fatal("a message behind the last one")
		}
		ended = last
		m.compare(t, i, got, nil)
		return nil
	}, most)
	if err != nil || n > most || n > 0 && !ended && m.consumers[i].options.Mode == Reliable {
		t.Fatalf("Poll: %d of %d, %v, last %t", n, most, err, ended)
	}
}

// compare checks one result of a consumer against the model.
func (m *machine) compare(t *rapid.T, i int, got Record, err error) {
	c, r := m.consumers[i], &m.readers[i]
	from := r.at
	if err != nil {
		if !errors.Is(err, ErrEmpty) {
			t.Fatalf("%v: %v; %+v", c.options.Mode, err, m.room.ring.Stat())
		}
		want := m.model.next(r)
		if c.resyncing || c.carry > 0 {
			r.at = from // some are lost, and told with the next message
		} else if want >= 0 {
			t.Fatalf("%v: empty, want %d; %+v", c.options.Mode, want, m.room.ring.Stat())
		}
		return
	}
	want := m.model.next(r)
	if c.options.Mode == Lossy && got.Lost > 0 {
		want = int(got.Sequence)
		gone := want - from - m.model.counts(from, min(want, len(m.model.list)), aborted)
		if int(got.Lost) < gone || int(got.Lost) > want-from {
			t.Fatalf("%d lost from %d to %d, of which %d were not aborted", got.Lost, from, want, gone)
		}
		r.at = want + 1
	}
	if want < 0 || int(got.Sequence) != want || c.options.Mode == Reliable && got.Lost != 0 {
		t.Fatalf("%v: sequence %d, lost %d, want %d", c.options.Mode, got.Sequence, got.Lost, want)
	}
	x := m.model.list[want]
	if x.state != committed || !bytes.Equal(got.Payload, x.payload) || int(got.Publisher) != x.owner || got.Kind != 5 || got.Time != 6 {
		t.Fatalf("message %d: %d bytes by %d, want %d by %d in state %d", want, len(got.Payload), got.Publisher, len(x.payload), x.owner, x.state)
	}
}

func (m *machine) attach(t *rapid.T) {
	i := rapid.IntRange(0, len(m.consumers)-1).Draw(t, "consumer")
	if m.consumers[i] != nil {
		t.Skip("is there")
	}
	spec := SubscriberSpec{
		Mode:  rapid.SampledFrom([]Mode{Reliable, Lossy}).Draw(t, "mode"),
		Start: Start{Kind: rapid.SampledFrom([]StartKind{StartLatest, StartEarliest, StartSequence}).Draw(t, "start")},
	}
	spec.Start.Sequence = uint64(rapid.IntRange(0, len(m.model.list)).Draw(t, "sequence"))
	c := m.room.localConsumer(i, spec)
	at := int(c.sequence)
	if at > len(m.model.list) || spec.Start.Kind == StartLatest && at != len(m.model.list) || spec.Start.Kind == StartSequence && at < int(spec.Start.Sequence) {
		t.Fatalf("%+v begins at %d of %d", spec.Start, at, len(m.model.list))
	}
	m.consumers[i], m.readers[i] = c, reader{at}
}

func (m *machine) leave(t *rapid.T) {
	i := m.anyConsumer(t)
	c := m.consumers[i]
	m.room.host.RemoveSubscriber(i, c.generation, false)
	m.consumers[i] = nil
}

func (m *machine) removePublisher(t *rapid.T) {
	i := rapid.IntRange(0, len(m.producers)-1).Draw(t, "producer")
	p := m.producers[i]
	if p == nil {
		t.Skip("nobody is there")
	}
	if err := m.room.host.RemovePublisher(i, p.generation); err != nil {
		t.Fatal(err)
	}
	m.model.leave(i)
	m.producers[i] = nil
}

func (m *machine) newHost(t *rapid.T) {
	h := m.room.ring.Host(0)
	if _, err := h.TakeOver(); err != nil {
		t.Fatal(err)
	}
	m.room.host = h
}

// invariant holds between all steps: everything given is accounted for.
func (m *machine) invariant(t *rapid.T) {
	if st := m.room.ring.Stat(); int(st.Sequence) != len(m.model.list) || st.LockSlot != -1 {
		t.Fatalf("%d given, stat %+v", len(m.model.list), st)
	}
	if err := m.room.ring.Check(1 << 20); err != nil {
		t.Fatal(err)
	}
	for i, c := range m.consumers {
		if c == nil || c.resyncing {
			continue
		}
		s := c.Stats()
		if done := int(s.Delivered + s.Lost() + s.Aborted); done > len(m.model.list) || c.options.Mode == Reliable && s.Lost() != 0 {
			t.Fatalf("consumer %d: %+v of %d", i, s, len(m.model.list))
		}
	}
}
