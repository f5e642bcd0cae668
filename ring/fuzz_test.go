package ring

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/shmbus/shmbus/shm"
)

// Every byte of a ring can be written by some peer. Whatever is there, reading,
// attaching, publishing and repair end, with a result or with an error that
// says what is wrong, and touch nothing outside. The fuzz targets lay a good
// ring out, change what the input says, and use it.
//
// An input is a list of steps of twelve bytes:
//
//	0  what to change or to do   1  slot, mode or kind   2..3  offset or size   4..11  value

const fuzzStep = 12

type step struct {
	what, arg byte
	off       uint16
	value     uint64
}

func steps(data []byte) []step {
	var list []step
	for len(data) >= fuzzStep && len(list) < 60 {
		list = append(list, step{data[0], data[1], binary.LittleEndian.Uint16(data[2:]), binary.LittleEndian.Uint64(data[4:])})
		data = data[fuzzStep:]
	}
	return list
}

func encodeSteps(list ...step) []byte {
	var b []byte
	for _, s := range list {
		b = append(b, s.what, s.arg)
		b = binary.LittleEndian.AppendUint16(b, s.off)
		b = binary.LittleEndian.AppendUint64(b, s.value)
	}
	return b
}

// What a step does. The first ones change bytes.
const (
	editHeader     = iota // log header: add value to the word at off
	setHeader             // log header: set it
	editRecords           // records: add
	setRecords            // records: set
	setCommit             // records: a commit word that looks right: state arg, position value, length off
	editCursors           // cursor region: add
	setCursors            // cursor region: set
	setBlock              // a publisher's block: set
	doNextReliable        // and the rest use the ring
	doNextLossy
	doPoll
	doReady
	doStat
	doPublish
	doClaim
	doEndClaim
	doBatch
	doAttach
	doRemoveSubscriber
	doRemovePublisher
	doTakeOver
	stepKinds
)

// fuzzed is a ring in an arbitrary state with some participants.
type fuzzed struct {
	t         *testing.T
	ring      *Ring
	host      *Host
	publisher [2]*Producer
	gen       uint32
	reliable  *Consumer
	lossy     *Consumer
	claims    []Claim
}

func newFuzzed(t *testing.T, start uint64) *fuzzed {
	o := Options{Capacity: MinCapacity, Publishers: 3, Subscribers: 5, Start: start &^ (recordAlign - 1), ID: 7, Fenced: !shm.HaveMembarrier()}
	g, err := o.Geometry()
	if err != nil {
		t.Fatal(err)
	}
	r := layOut(t, shm.AlignedBytes(int(g.LogSize())), shm.AlignedBytes(int(g.CursorSize())), nil, o)
	f := &fuzzed{t: t, ring: r.ring, host: r.host, publisher: [2]*Producer{r.local(0), r.local(1)}, gen: 100}
	f.reliable, f.lossy = r.localConsumer(0, SubscriberSpec{MaxLag: start % 3}), r.localConsumer(1, SubscriberSpec{Mode: Lossy})
	for i := range 12 {
		if _, err := f.publisher[i%2].TryPublish(numbered(i, 40*i%300), 0, 0); err != nil {
			t.Fatal(err)
		}
		if i == 5 {
			if c, err := f.publisher[0].TryClaim(64, 0, 0); err == nil {
				f.claims = append(f.claims, c)
			}
		}
	}
	return f
}

// bounded ends the program if a run over one input does not end.
func bounded(input []byte) (stop func() bool) {
	return time.AfterFunc(30*time.Second, func() {
		fmt.Fprintf(os.Stderr, "does not end: %x\n%s\n", input, allStacks())
		os.Exit(3)
	}).Stop
}

// tolerable are the errors that arbitrary bytes may lead to.
func tolerable(err error) bool {
	for _, e := range []error{nil, ErrEmpty, ErrCorrupt, ErrDetached, ErrFull, ErrStalled, ErrOrphaned, ErrNoSlot, ErrBadStart, ErrClosed, ErrTooLarge} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func (f *fuzzed) tolerate(what string, err error) {
	f.t.Helper()
	if !tolerable(err) {
		f.t.Fatalf("%s: %v", what, err)
	}
	if errors.Is(err, ErrStalled) {
		// Nobody is inside; whoever claims to be would stall all that follows.
		f.ring.log.mutex.Store(0)
		f.ring.log.bias.Store(0)
	}
}

// word returns a word of a region at off, which is rounded and bounded.
func fuzzWord(b []byte, off uint16) *shm.Word64 {
	return shm.Overlay[shm.Word64](b, int(off)%len(b)&^7)
}

func (f *fuzzed) run(s step) {
	r := f.ring
	dataOff, n := r.geometry.DataRange()
	records := r.logBytes[dataOff : dataOff+n]
	block, _ := r.geometry.PublisherBlock(int(s.arg) % (r.geometry.HostSlot() + 1))
	switch s.what % stepKinds {
	case editHeader:
		w := fuzzWord(r.logBytes[:headerPage], s.off)
		w.Store(w.Load() + s.value)
	case setHeader:
		fuzzWord(r.logBytes[:headerPage], s.off).Store(s.value)
	case editRecords:
		w := fuzzWord(records, s.off)
		w.Store(w.Load() + s.value)
	case setRecords:
		fuzzWord(records, s.off).Store(s.value)
	case setCommit:
		rec := r.at(s.value &^ (recordAlign - 1))
		rec.commit.Store(uint64(packCommit(uint64(s.arg%6), s.value&^(recordAlign-1), uint64(s.off))))
	case editCursors:
		w := fuzzWord(r.cursorBytes, s.off)
		w.Store(w.Load() + s.value)
	case setCursors:
		fuzzWord(r.cursorBytes, s.off).Store(s.value)
	case setBlock:
		fuzzWord(r.logBytes[block:block+blockSize], s.off).Store(s.value)
	default:
		f.use(s)
	}
}

func (f *fuzzed) use(s step) {
	p := f.publisher[s.arg%2]
	switch s.what % stepKinds {
	case doNextReliable:
		f.next(f.reliable)
	case doNextLossy:
		f.next(f.lossy)
	case doPoll:
		for _, c := range []*Consumer{f.reliable, f.lossy} {
			_, err := c.Poll(func(Record, bool) error { return nil }, int(s.off%40))
			f.tolerate("Poll", err)
		}
	case doReady:
		f.reliable.ready()
		f.lossy.ready()
		f.reliable.Drained()
		f.lossy.Release()
	case doStat:
		_ = f.ring.Stat()
		_, _ = f.ring.Publishers(), f.ring.Subscribers()
		f.tolerate("Check", f.ring.Check(int(s.off)))
	case doPublish:
		_, err := p.TryPublish(make([]byte, s.off%1200), 0, int64(s.value))
		f.tolerate("TryPublish", err)
		p.mayFit(s.value)
	case doClaim:
		c, err := p.TryClaim(int(s.off%1200), 0, 0)
		f.tolerate("TryClaim", err)
		if err == nil {
			f.inside(c.Bytes(), c.position)
			f.claims = append(f.claims, c)
		}
	case doEndClaim:
		if len(f.claims) > 0 {
			i := int(s.arg) % len(f.claims)
			if s.off%2 == 0 {
				f.tolerate("Commit", f.claims[i].Commit())
			} else {
				f.tolerate("Abort", f.claims[i].Abort())
			}
		}
	case doBatch:
		_, err := p.PublishBatch(tryContext, [][]byte{nil, make([]byte, s.off%900), {1}}, 0, 0, false)
		f.tolerate("PublishBatch", err)
	default:
		f.administer(s)
	}
}

func (f *fuzzed) administer(s step) {
	slot := int(s.arg % 5)
	switch s.what % stepKinds {
	case doAttach:
		f.gen++
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		spec := SubscriberSpec{Slot: slot, Gen: f.gen, Mode: Mode(s.off % 2), Start: Start{StartKind(s.off / 2 % 4), s.value, time.Duration(s.value)}}
		a, err := f.host.AddSubscriber(ctx, spec)
		f.tolerate("AddSubscriber", err)
		if err == nil {
			c, err := f.ring.Consumer(slot, f.gen, a, ConsumerOptions{Mode: spec.Mode})
			f.tolerate("Consumer", err)
			if err == nil {
				f.next(c)
			}
		}
	case doRemoveSubscriber:
		f.host.RemoveSubscriber(slot, f.ring.subscriber(slot, false).generation.Load(), false)
		f.host.Detach(slot, f.ring.log.gateGenerations[slot].Load())
	case doRemovePublisher:
		i := int(s.arg % 2)
		gen := f.ring.publisher(i).generation.Load()
		f.tolerate("RemovePublisher", f.host.RemovePublisher(i, gen))
		f.gen++
		if f.host.AddPublisher(i, f.gen, 0, "again") == nil {
			p, err := f.ring.Producer(i, f.gen)
			f.tolerate("Producer", err)
			if err == nil {
				f.publisher[i] = p
			}
		}
	case doTakeOver:
		h := f.ring.Host(0)
		_, err := h.TakeOver()
		f.tolerate("TakeOver", err)
		f.host = h
	}
}

// next reads a record, which must lie inside.
func (f *fuzzed) next(c *Consumer) {
	m, err := c.Next()
	f.tolerate("Next", err)
	if err == nil {
		if c.options.Mode == Reliable {
			f.inside(m.Payload, c.position-extentOf(uint64(len(m.Payload))))
		} else if len(m.Payload) > MaxMessage(f.ring.capacity) {
			f.t.Fatalf("a message of %d bytes", len(m.Payload))
		}
	}
}

// inside checks that a view is where a record at position has its payload.
func (f *fuzzed) inside(view []byte, position uint64) {
	f.t.Helper()
	off, n := f.ring.geometry.DataRange()
	records := f.ring.logBytes[off : off+n]
	at := int(position&f.ring.mask) + recordHeader
	if at+len(view) > len(records) || len(view) > 0 && &view[0] != &records[at] {
		f.t.Fatalf("a view of %d bytes at position %d is not inside", len(view), position)
	}
}

// seedSteps are changes that matter: each to a word that something relies on.
func seedSteps() [][]step {
	const end = 1 << 40
	var list [][]step
	for _, off := range []uint16{0x200, 0x208, 0x228, 0x280, 0x300, 0x380, 0x388, 0x390, 0x398, 0x3a0, 0x400, 0x600, 0x608, 0x800} {
		for _, v := range []uint64{1, 32, 4095, 1 << 33, end, 1 << 63, ^uint64(0)} {
			list = append(list, []step{{what: editHeader, off: off, value: v}}, []step{{what: setHeader, off: off, value: v}})
		}
	}
	for _, state := range []byte{0, 1, 2, 3, 4, 5} {
		for _, n := range []uint16{0, 1, 992, 993, 4064, 65535} {
			list = append(list, []step{{what: setCommit, arg: state, off: n, value: 64}})
		}
	}
	for off := uint16(0); off < 256; off += 8 {
		list = append(list, []step{{what: setRecords, off: off, value: end + uint64(off)}})
	}
	for _, off := range []uint16{0x1000, 0x1008, 0x1080, 0x1098, 0x2000} {
		list = append(list, []step{{what: setCursors, off: off, value: end}}, []step{{what: editCursors, off: off, value: 33}})
	}
	return append(list, []step{{what: setBlock, arg: 1, value: 2}, {what: setHeader, off: 0x280, value: biasOwned | uint64(identityOf(1, 2))}})
}

func addSeeds(f *testing.F, use ...byte) {
	for i, edits := range seedSteps() {
		list := edits
		for n, what := range use {
			list = append(list, step{what: what, arg: byte(i + n), off: uint16(i * 37), value: uint64(i)})
		}
		f.Add(encodeSteps(list...), uint64(i%7)<<29-64*uint64(i%5))
	}
}

// FuzzReader: consumers over arbitrary bytes.
func FuzzReader(f *testing.F) {
	addSeeds(f, doNextReliable, doNextLossy, doPoll, doReady, doNextReliable, doNextLossy, doPoll, doStat)
	f.Fuzz(func(t *testing.T, data []byte, start uint64) {
		defer bounded(data)()
		z := newFuzzed(t, start)
		for _, s := range steps(data) {
			if k := s.what % stepKinds; k > doStat {
				continue
			}
			z.run(s)
		}
		for range 20 {
			z.next(z.reliable)
			z.next(z.lossy)
		}
	})
}

// FuzzRepair: publishing, attaching and repair over arbitrary rings.
func FuzzRepair(f *testing.F) {
	addSeeds(f, doRemovePublisher, doPublish, doClaim, doTakeOver, doAttach, doBatch, doEndClaim, doRemoveSubscriber, doPublish, doAttach)
	f.Fuzz(func(t *testing.T, data []byte, start uint64) {
		defer bounded(data)()
		z := newFuzzed(t, start)
		stalls := 0
		for _, s := range steps(data) {
			before := z.ring.log.mutex.Load() | uint32(z.ring.log.bias.Load())
			z.run(s)
			if before != 0 {
				if stalls++; stalls > 3 { // each may take a moment
					z.ring.log.mutex.Store(0)
					z.ring.log.bias.Store(0)
				}
			}
		}
		z.run(step{what: doRemovePublisher})
		z.run(step{what: doRemovePublisher, arg: 1})
		z.run(step{what: doTakeOver})
		for i := range byte(8) {
			z.run(step{what: doPublish, arg: i, off: uint16(i) * 100})
			z.run(step{what: doPoll, off: 5})
		}
	})
}

// FuzzAttach: opening regions with arbitrary headers.
func FuzzAttach(f *testing.F) {
	r := newHeapRoom(f, Options{Label: "seed", Publishers: 2, Subscribers: 3})
	good, cursors := r.ring.logBytes[:0x800], r.ring.cursorBytes[:0x80]
	f.Add(good, cursors, uint32(0))
	f.Add([]byte{}, []byte{}, uint32(1))
	for off := 0; off < 0x80; off += 4 {
		for _, v := range []uint32{0, 1, 65, 1 << 31, ^uint32(0)} {
			b := append([]byte(nil), good...)
			binary.LittleEndian.PutUint32(b[off:], v)
			f.Add(b, cursors, v)
			b = append([]byte(nil), cursors...)
			binary.LittleEndian.PutUint32(b[off%0x20:], v)
			f.Add(good, b, v)
		}
	}
	f.Fuzz(func(t *testing.T, header, cursorHeader []byte, cut uint32) {
		defer bounded(header)()
		page := shm.AlignedBytes(headerPage)
		copy(page, header)
		if cut%3 == 1 {
			page = page[:cut%headerPage]
		}
		o, err := Peek(page)
		if !attachable(err) {
			t.Fatalf("Peek: %v", err)
		}
		if err != nil || o.Capacity > 1<<20 {
			return
		}
		g, err := o.Geometry()
		if err != nil {
			t.Fatalf("Peek returned options that are not: %v", err)
		}
		log, cur := shm.AlignedBytes(int(g.LogSize())), shm.AlignedBytes(int(g.CursorSize()))
		copy(log, header)
		copy(cur, cursorHeader)
		if cut%3 == 2 {
			log = log[:len(log)-int(cut%headerPage)]
		}
		ring, err := Open(log, cur, nil)
		if !attachable(err) {
			t.Fatalf("Open: %v", err)
		}
		if err == nil {
			attachTo(t, ring)
		}
	})
}

func attachable(err error) bool {
	return err == nil || errors.Is(err, ErrNotRing) || errors.Is(err, ErrLayoutVersion) || errors.Is(err, ErrCorrupt)
}

// attachTo uses a ring that was opened, as its host and all others would.
func attachTo(t *testing.T, ring *Ring) {
	z := &fuzzed{t: t, ring: ring, host: ring.Host(0), gen: 1}
	may := func(what string, err error) bool {
		if !tolerable(err) && !errors.Is(err, ErrNoBarrier) {
			t.Fatalf("%s: %v", what, err)
		}
		return err == nil
	}
	_ = ring.Stat()
	_, _, _ = ring.Publishers(), ring.Subscribers(), ring.Counts()
	_, err := z.host.TakeOver()
	if !may("TakeOver", err) {
		return
	}
	for _, p := range ring.Publishers() {
		may("RemovePublisher", z.host.RemovePublisher(p.Slot, p.Gen))
	}
	for _, s := range ring.Subscribers() {
		z.host.RemoveSubscriber(s.Slot, s.Gen, s.Guest)
	}
	ring.log.mutex.Store(0) // or all that follows takes its time
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	a, err := z.host.AddSubscriber(ctx, SubscriberSpec{Gen: 9, Start: Start{Kind: StartEarliest}})
	if may("AddSubscriber", err) {
		if c, err := ring.Consumer(0, 9, a, ConsumerOptions{}); may("Consumer", err) {
			z.next(c)
		}
	}
	if err := z.host.AddPublisher(0, 9, 1, "p"); may("AddPublisher", err) {
		if p, err := ring.Producer(0, 9); may("Producer", err) {
			_, err := p.TryPublish(make([]byte, 100), 0, 0)
			may("TryPublish", err)
		}
	}
}
