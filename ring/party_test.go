package ring

import (
	"context"
	"fmt"
)

// publisher and subscriber are a Producer and a Consumer at some member of a
// site. A method fails the test if what it is for cannot be done at all;
// errors that a test may want are returned.

type publisher struct {
	room *room
	at   *member
	slot int
	gen  uint32
	now  int64
}

// publisher grants slot i and makes its producer, in one process or another.
func (r *room) publisher(i int) *publisher {
	r.t.Helper()
	p := &publisher{room: r, at: r.site.members[i%len(r.site.members)], slot: i, gen: r.generation()}
	err := r.host.AddPublisher(i, p.gen, uint64(p.gen), fmt.Sprintf("publisher-%d", i))
	if err == nil {
		err = p.call(r.t.Context(), request{Op: "producer", Gen: p.gen}).err()
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return p
}

func (p *publisher) call(ctx context.Context, q request) reply {
	q.Slot, q.Job.Now = p.slot, max(q.Job.Now, p.now)
	return p.at.call(ctx, q)
}

func (p *publisher) try(payload []byte) (uint64, error) {
	a := p.call(p.room.t.Context(), request{Op: "publish", Payload: payload})
	return a.Seq, a.err()
}

// must publishes without waiting and fails the test if that fails.
func (p *publisher) must(payload []byte) uint64 {
	p.room.t.Helper()
	seq, err := p.try(payload)
	if err != nil {
		p.room.t.Fatalf("TryPublish of %d bytes: %v; %+v", len(payload), err, p.room.ring.Stat())
	}
	return seq
}

// fill publishes messages of n bytes until the ring is full and returns how
// many there were.
func (p *publisher) fill(n int) int {
	p.room.t.Helper()
	for count := 0; ; count++ {
		switch _, err := p.try(numbered(count, n)); {
		case is(err, ErrFull):
			return count
		case err != nil:
			p.room.t.Fatalf("filling, after %d: %v", count, err)
		}
	}
}

func (p *publisher) publish(ctx context.Context, payload []byte) (uint64, error) {
	a := p.call(ctx, request{Op: "publish", Payload: payload, Wait: true})
	return a.Seq, a.err()
}

func (p *publisher) batch(ctx context.Context, wait bool, payloads ...[]byte) (int, error) {
	a := p.call(ctx, request{Op: "batch", Payloads: payloads, Wait: wait})
	return a.N, a.err()
}

func (p *publisher) interrupt() { p.call(p.room.t.Context(), request{Op: "interrupt", Wait: true}) }

// remove is the clean leave, or the repair once the process is dead.
func (p *publisher) remove() {
	p.room.t.Helper()
	if err := p.room.host.RemovePublisher(p.slot, p.gen); err != nil {
		p.room.t.Fatal(err)
	}
}

// claimed is a claim at a member.
type claimed struct {
	p   *publisher
	id  int
	seq uint64
}

func (p *publisher) claim(n int) (claimed, error) {
	a := p.call(p.room.t.Context(), request{Op: "claim", N: n})
	return claimed{p, a.N, a.Seq}, a.err()
}

func (p *publisher) mustClaim(n int) claimed {
	p.room.t.Helper()
	c, err := p.claim(n)
	if err != nil {
		p.room.t.Fatalf("TryClaim(%d): %v; %+v", n, err, p.room.ring.Stat())
	}
	return c
}

func (c claimed) commit(payload []byte) error {
	return c.p.call(c.p.room.t.Context(), request{Op: "endclaim", N: c.id, Payload: payload, Wait: true}).err()
}

func (c claimed) abort() error {
	return c.p.call(c.p.room.t.Context(), request{Op: "endclaim", N: c.id}).err()
}

type subscriber struct {
	room   *room
	at     *member
	slot   int
	gen    uint32
	attach Attachment
	guest  bool
}

// subscriber attaches slot i, beginning in the other process than publisher i.
func (r *room) subscriber(i int, mode Mode) *subscriber {
	r.t.Helper()
	s, err := r.attach(i, SubscriberSpec{Mode: mode}, Park)
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

func (r *room) attach(i int, spec SubscriberSpec, wait WaitStrategy) (*subscriber, error) {
	r.t.Helper()
	spec.Slot, spec.Gen, spec.Name = i, r.generation(), fmt.Sprintf("subscriber-%d", i)
	s := &subscriber{room: r, at: r.site.members[(i+1)%len(r.site.members)], slot: i, gen: spec.Gen, guest: spec.Guest}
	var err error
	if s.attach, err = r.host.AddSubscriber(r.t.Context(), spec); err != nil {
		return nil, err
	}
	q := request{Op: "consumer", Slot: i, Gen: s.gen, Attach: s.attach, Options: ConsumerOptions{Mode: spec.Mode, Guest: spec.Guest, Wait: wait, UntilDrained: true}}
	if err := s.at.call(r.t.Context(), q).err(); err != nil {
		r.t.Fatal(err)
	}
	return s, nil
}

func (s *subscriber) call(ctx context.Context, q request) reply {
	q.Slot = s.slot
	if s.guest {
		q.Slot += guestKey
	}
	return s.at.call(ctx, q)
}

func (s *subscriber) next() (Record, error) {
	a := s.call(s.room.t.Context(), request{Op: "next"})
	if a.Failed != nil {
		return Record{}, a.err()
	}
	return a.Records[0], nil
}

// must reads the next message and fails the test if there is none.
func (s *subscriber) must() Record {
	s.room.t.Helper()
	m, err := s.next()
	if err != nil {
		s.room.t.Fatalf("Next: %v; %+v", err, s.room.ring.Stat())
	}
	return m
}

// empty fails the test if there is anything to read.
func (s *subscriber) empty() {
	s.room.t.Helper()
	if m, err := s.next(); !is(err, ErrEmpty) {
		s.room.t.Fatalf("Next: %+v, %v, want nothing", m, err)
	}
}

func (s *subscriber) poll(most int) reply {
	return s.call(s.room.t.Context(), request{Op: "poll", N: most})
}

func (s *subscriber) wait(ctx context.Context) error {
	return s.call(ctx, request{Op: "wait"}).err()
}

func (s *subscriber) release() (Stats, bool) {
	a := s.call(s.room.t.Context(), request{Op: "release"})
	return a.Stats, a.Flag
}

func (s *subscriber) interrupt() { s.call(s.room.t.Context(), request{Op: "interrupt"}) }

func (s *subscriber) remove() { s.room.host.RemoveSubscriber(s.slot, s.gen, s.guest) }
