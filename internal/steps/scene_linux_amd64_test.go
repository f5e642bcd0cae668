package steps

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/shmbus/shmbus/ring"
	"github.com/shmbus/shmbus/shm"
)

// Slots. The victim has publisher slot 0 or subscriber slot 2, by its kind.
const (
	victimSlot   = 0 // publishers
	survivorSlot = 1
	ownerSlot    = 2
	otherSlot    = 3 // a second survivor, or one that is long dead
	publishers   = 4

	readerSlot   = 0 // subscribers
	lossySlot    = 1
	readerVictim = 2
	laggardSlot  = 3
	subscribers  = 4
)

// site is memory for one ring after another.
type site struct {
	regions  [3]*shm.Region
	maps     [3]*shm.Mapping
	geometry ring.Geometry
}

const capacity = 16 << 10

func newSite() (*site, error) {
	g, err := ring.Options{Capacity: capacity, Publishers: publishers, Subscribers: subscribers, ID: 1}.Geometry()
	if err != nil {
		return nil, err
	}
	s := &site{geometry: g}
	for i, size := range []int64{g.LogSize(), g.CursorSize(), 4096} {
		r, err := shm.Create("steps", size)
		if err == nil {
			err = errors.Join(r.Allocate(0, size), r.Seal())
		}
		if err == nil {
			s.regions[i] = r
			s.maps[i], err = r.Map(true)
		}
		if err != nil {
			s.close()
			return nil, err
		}
	}
	return s, nil
}

func (s *site) close() {
	for i := range s.maps {
		if s.maps[i] != nil {
			_ = s.maps[i].Unmap()
		}
		if s.regions[i] != nil {
			_ = s.regions[i].Close()
		}
	}
}

func (s *site) files() (list []uintptr) {
	for _, r := range s.regions {
		list = append(list, r.File().Fd())
	}
	return list
}

// snapshot is what a site's ring held when it last changed.
type snapshot struct {
	site  *site
	bytes [2][]byte
}

func newSnapshot(st *site) *snapshot {
	return &snapshot{st, [2][]byte{slices.Clone(st.maps[0].Bytes()), slices.Clone(st.maps[1].Bytes())}}
}

// changed reports whether the ring has changed since the last call.
func (p *snapshot) changed() (yes bool) {
	for i, old := range p.bytes {
		if now := p.site.maps[i].Bytes(); !bytes.Equal(now, old) {
			copy(old, now)
			yes = true
		}
	}
	return yes
}

// scene is one life of one ring: survivors are seated, a victim comes, makes
// its call and dies.
type scene struct {
	scenario          *scenario
	site              *site
	ring              *ring.Ring
	host              *ring.Host
	hostGen           uint32
	notes, ownerNotes notes

	generation uint32 // last one given
	base       uint64 // sequence of the first message that the survivors see
	survivor   *ring.Producer
	sent       [publishers]uint64 // messages that survivors published, by slot
	reader     *reader
	lossy      *reader
	deep       *sleeper
	waiting    *waiting

	victim, owner     *tracee
	victimAt, ownerAt assignment
	claim             func() // ends the claim of a survivor
	problems          []string
}

// reader is a surviving subscriber and all it got.
type reader struct {
	name string
	c    *ring.Consumer
	got  []message
	lost uint64
}

type message struct {
	slot   int
	number uint64
	seq    uint64
}

func (s *scene) problem(format string, args ...any) {
	if len(s.problems) < 12 {
		s.problems = append(s.problems, fmt.Sprintf(format, args...))
	}
}

// must ends the run of the scene by a panic that the worker catches: what
// failed is not the victim's doing.
func (s *scene) must(err error) {
	if err != nil {
		panic(setupError{fmt.Errorf("%w; %+v", err, s.ring.Stat())})
	}
}

type setupError struct{ error }

// lay makes the ring and seats the survivors.
func (st *site) lay(sc *scenario) *scene {
	for _, m := range st.maps {
		clear(m.Bytes())
	}
	s := &scene{scenario: sc, site: st}
	o := ring.Options{Capacity: capacity, Publishers: publishers, Subscribers: subscribers, Fenced: sc.fenced, Start: sc.start - capacity, Label: "steps", ID: 0x57e95}
	log, cursors := st.maps[0].Bytes(), st.maps[1].Bytes()
	if err := ring.Format(log, cursors, o); err != nil {
		panic(setupError{err})
	}
	var err error
	s.ring, err = ring.Open(log, cursors, nil)
	if err != nil {
		panic(setupError{err})
	}
	s.notes, s.ownerNotes = notesIn(st.maps[2].Bytes(), false), notesIn(st.maps[2].Bytes(), true)
	s.takeOver()
	s.used()
	s.survivor = s.producer(survivorSlot)
	s.reader = s.subscribe("the reliable subscriber", readerSlot, ring.Reliable)
	s.lossy = s.subscribe("the lossy subscriber", lossySlot, ring.Lossy)
	if sc.setup != nil {
		sc.setup(s)
	}
	return s
}

// used lets a lap of the ring pass: the bytes ahead are another lap's records,
// not zeros.
func (s *scene) used() {
	p := s.producer(otherSlot)
	payload := bytes.Repeat([]byte{0xff}, 64-headerSize)
	for range capacity / 64 {
		_, err := p.TryPublish(payload, 0, 1)
		s.must(err)
	}
	s.must(s.host.RemovePublisher(otherSlot, s.generation))
	s.base = s.ring.Stat().Sequence
}

// takeOver makes this process the ring's host, as after the host's death.
func (s *scene) takeOver() {
	s.host = s.ring.Host(0)
	gen, err := s.host.TakeOver()
	s.must(err)
	s.host, s.hostGen = s.ring.Host(gen), gen
}

func (s *scene) nextGeneration() uint32 {
	s.generation++
	return s.generation
}

// producer grants a publisher slot and takes it in this process.
func (s *scene) producer(slot int) *ring.Producer {
	gen := s.grant(slot)
	p, err := s.ring.Producer(slot, gen)
	s.must(err)
	return p
}

func (s *scene) grant(slot int) uint32 {
	gen := s.nextGeneration()
	s.must(s.host.AddPublisher(slot, gen, uint64(gen), fmt.Sprintf("publisher-%d", slot)))
	return gen
}

func (s *scene) attach(slot int, mode ring.Mode, maxLag uint64) (uint32, ring.Attachment) {
	gen := s.nextGeneration()
	ctx, cancel := context.WithTimeout(context.Background(), hangLimit)
	defer cancel()
	at, err := s.host.AddSubscriber(ctx, ring.SubscriberSpec{Slot: slot, Gen: gen, Member: uint64(gen), Name: "subscriber", Mode: mode, MaxLag: maxLag})
	s.must(err)
	return gen, at
}

func (s *scene) subscribe(name string, slot int, mode ring.Mode) *reader {
	gen, at := s.attach(slot, mode, 0)
	c, err := s.ring.Consumer(slot, gen, at, ring.ConsumerOptions{Mode: mode})
	s.must(err)
	return &reader{name: name, c: c}
}

// seatVictim grants the victim's slot.
func (s *scene) seatVictim() {
	s.victimAt = s.seat(s.scenario.victim, victimSlot, assignment{scenario: s.scenario.name})
}

func (s *scene) seatOwner() {
	s.ownerAt = s.seat(*s.scenario.owner, ownerSlot, assignment{scenario: s.scenario.name, owner: true})
}

func (s *scene) seat(p part, slot int, a assignment) assignment {
	switch p.kind {
	case "publisher":
		a.slot = slot
		a.gen = s.grant(slot)
	case "subscriber":
		a.slot = readerVictim
		a.gen, a.at = s.attach(readerVictim, ring.Reliable, 0)
	case "lossy":
		a.slot = readerVictim
		a.gen, a.at = s.attach(readerVictim, ring.Lossy, 0)
	case "host":
		a.slot, a.gen = publishers, s.hostGen
	}
	return a
}

// publish publishes n messages of the survivor in slot with payloads of size
// bytes, without waiting, reading where the ring is full.
func (s *scene) publish(p *ring.Producer, slot, n, size int) {
	b := make([]byte, size)
	for range n {
		s.publishOne(p, slot, b)
	}
}

func (s *scene) publishOne(p *ring.Producer, slot int, b []byte) {
	fillMessage(b, slot, s.sent[slot])
	until := time.Now().Add(hangLimit)
	for {
		_, err := p.TryPublish(b, 0, 1)
		switch {
		case err == nil:
			s.sent[slot]++
			return
		case err == ring.ErrFull:
			s.drain()
		case !errors.Is(err, ring.ErrStalled):
			s.must(err)
		}
		if time.Now().After(until) {
			s.must(fmt.Errorf("%w: publisher %d made no progress in %v: %w", errHung, slot, hangLimit, err))
		}
	}
}

// bias publishes until the ring is biased to p.
func (s *scene) bias(p *ring.Producer, slot int) {
	for range 1000 {
		if s.ring.Stat().BiasSlot == slot {
			return
		}
		s.publish(p, slot, 1, minMessage)
		s.drain()
	}
	s.must(errors.New("1000 messages, and the ring is not biased to their publisher"))
}

// drain lets both readers read all there is.
func (s *scene) drain() {
	s.drainOne(s.reader)
	s.drainOne(s.lossy)
}

func (s *scene) drainOne(r *reader) {
	for {
		m, err := r.c.Next()
		if err == ring.ErrEmpty {
			return
		}
		if err != nil {
			panic(violation{fmt.Errorf("%s: %w; %+v", r.name, err, s.ring.Stat())})
		}
		slot, n, err := checkMessage(m.Payload)
		if err != nil || int(m.Publisher) != slot {
			panic(violation{fmt.Errorf("%s: sequence %d of publisher %d: %w, of slot %d", r.name, m.Sequence, m.Publisher, err, slot)})
		}
		r.lost += m.Lost
		r.got = append(r.got, message{slot, n, m.Sequence})
	}
}

// violation is what a survivor found broken.
type violation struct{ error }

// sleeper is a subscriber as the layout's description makes one: it sleeps on
// the doorbell, without a bound and without looking again.
type sleeper struct {
	woken chan error
}

// sleepDeep puts a sleeper to sleep and returns when it is announced.
func (s *scene) sleepDeep() {
	log, cursors := s.site.maps[0].Bytes(), s.site.maps[1].Bytes()
	doorbell := shm.Overlay[shm.Word32](log, offDoorbell)
	value := doorbell.Load()
	shm.Overlay[shm.Word64](cursors, offSleeps).Add(1)
	if !s.scenario.fenced {
		s.must(shm.Membarrier())
	}
	s.deep = &sleeper{woken: make(chan error, 1)}
	go func() {
		for doorbell.Load() == value {
			if err := shm.FutexWait(doorbell, value, hangLimit/2); errors.Is(err, shm.ErrTimeout) {
				s.deep.woken <- err
				return
			}
		}
		s.deep.woken <- nil
	}()
}

// waiting is a call of a survivor that may block, made beside everything else.
type waiting struct {
	done   chan struct{}
	failed any
}

func beside(f func()) *waiting {
	w := &waiting{done: make(chan struct{})}
	go func() {
		defer close(w.done)
		defer func() { w.failed = recover() }()
		f()
	}()
	return w
}

func (w *waiting) end(what string) {
	select {
	case <-w.done:
	case <-time.After(2 * hangLimit):
		panic(violation{fmt.Errorf("%w: %s", errHung, what)})
	}
	if w.failed != nil {
		panic(w.failed)
	}
}

// waitForRoom lets a second survivor publish into the full ring; it is asleep,
// or about to be, when this returns.
func (s *scene) waitForRoom(size int) {
	p := s.producer(otherSlot)
	before := s.ring.Stat().SpaceSleeps
	s.waiting = beside(func() {
		b := make([]byte, size)
		fillMessage(b, otherSlot, s.sent[otherSlot])
		ctx, cancel := context.WithTimeout(context.Background(), hangLimit)
		defer cancel()
		_, err := p.Publish(ctx, b, 0, 1)
		s.must(err)
		s.sent[otherSlot]++
	})
	for s.ring.Stat().SpaceSleeps == before {
		select {
		case <-s.waiting.done:
			s.must(errors.New("the ring was to be full, but is not"))
		default:
			nap()
		}
	}
}
