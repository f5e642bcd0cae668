package ring

import (
	"fmt"
	"time"

	"github.com/shmbus/shmbus/shm"
)

// Format makes a ring in two zeroed regions of the geometry's sizes, whose
// prefixes, host block and records have memory. The magic is stored last, so a
// ring half made is not a ring.
func Format(log, cursors []byte, o Options) error {
	g, err := o.Geometry()
	if err != nil {
		return err
	}
	if o.ID == 0 {
		return fmt.Errorf("%w: id 0", ErrBadOptions)
	}
	if int64(len(log)) != g.LogSize() || int64(len(cursors)) != g.CursorSize() {
		return fmt.Errorf("%w: regions of %d and %d bytes, want %d and %d", ErrBadOptions, len(log), len(cursors), g.LogSize(), g.CursorSize())
	}
	o = o.withDefaults()
	formatCursors(cursors, o, cursorMagic)
	h := shm.Overlay[logHeader](log, 0)
	h.version = LayoutVersion
	if o.Fenced {
		h.flags = flagFenced
	}
	if o.Exclusive {
		h.flags |= flagExclusive
	}
	h.capacity, h.start, h.id, h.schema = o.Capacity, o.Start, o.ID, o.Schema
	h.publishers, h.subscribers = uint32(o.Publishers), uint32(o.Subscribers)
	h.labelLen = uint32(copy(h.label[:], o.Label))
	h.created = time.Now().UnixNano()
	if o.Counter {
		h.clock = clockCounter
		refreshClock(shm.Overlay[cursorHeader](cursors, 0))
	}
	h.tail.Store(o.Start)
	h.pending.Store(o.Start)
	h.busyEnd.Store(o.Start)
	h.claimed.Store(o.Start + recordHeader)
	for i := range h.index {
		h.index[i].Store(o.Start)
	}
	h.magic.Store(logMagic) // sync(magic): pairs with Peek
	return nil
}

// FormatGuests makes the guest region of a ring, of the size of its cursor
// region.
func FormatGuests(guests []byte, o Options) error {
	g, err := o.Geometry()
	if err != nil {
		return err
	}
	if int64(len(guests)) != g.CursorSize() {
		return fmt.Errorf("%w: guest region of %d bytes, want %d", ErrBadOptions, len(guests), g.CursorSize())
	}
	formatCursors(guests, o.withDefaults(), guestMagic)
	return nil
}

func formatCursors(b []byte, o Options, magic uint64) {
	h := shm.Overlay[cursorHeader](b, 0)
	h.version, h.subscribers, h.id = LayoutVersion, uint32(o.Subscribers), o.ID
	h.magic.Store(magic) // sync(magic): pairs with Open
}

// Peek checks the header of a log region, of which the first 4096 bytes
// suffice, and returns the options the ring was made with, from one reading of
// each. [ErrNotRing], [ErrLayoutVersion] (both versions named) or
// [ErrCorrupt].
func Peek(log []byte) (Options, error) {
	if len(log) < headerPage {
		return Options{}, fmt.Errorf("%w: log region of %d bytes, want at least %d", ErrNotRing, len(log), headerPage)
	}
	h := shm.Overlay[logHeader](log, 0)
	if m := h.magic.Load(); m != logMagic { // sync(magic): pairs with Format
		return Options{}, fmt.Errorf("%w: log region has magic %#x, want %#x", ErrNotRing, m, uint64(logMagic))
	}
	if v := h.version; v != LayoutVersion {
		return Options{}, fmt.Errorf("%w: ring has layout %d, this program reads %d", ErrLayoutVersion, v, LayoutVersion)
	}
	o := Options{
		Capacity: h.capacity, Publishers: int(h.publishers), Subscribers: int(h.subscribers),
		Fenced: h.flags&flagFenced != 0, Exclusive: h.flags&flagExclusive != 0, Start: h.start, Schema: h.schema, ID: h.id,
	}
	if o.Counter = h.clock == clockCounter; h.clock > clockCounter {
		return Options{}, &CorruptError{Region: "log", Offset: 0x80, Got: h.clock, Want: "0 or 1, for publish times in nanoseconds or in ticks"}
	}
	n := h.labelLen
	if n > labelSize {
		return Options{}, &CorruptError{Region: "log", Offset: 0x34, Got: uint64(n), Want: "a label length of at most 64"}
	}
	o.Label = string(h.label[:n])
	if o.Publishers == 0 || o.Subscribers == 0 || o.ID == 0 {
		return Options{}, &CorruptError{Region: "log", Offset: 0x20, Got: o.ID, Want: "slots and an id that are not 0"}
	}
	if _, err := o.Geometry(); err != nil {
		return Options{}, &CorruptError{Region: "log", Offset: 0x10, Got: o.Capacity, Want: err.Error()}
	}
	return o, nil
}

// Ring is one process's view of a ring. What it knows of sizes is its own
// copy, made when it was opened; no later write by a peer can move a bound.
// Producers, consumers and the host work through it. It owns no memory: the
// regions stay mapped until everything made from it is done.
type Ring struct {
	options  Options
	geometry Geometry
	log      *logHeader
	cursors  *cursorHeader
	guests   *cursorHeader // nil without guests
	gates    *gateWords    // in the log header; of an exclusive ring in the cursor header
	slots    *slotWords    // likewise

	logBytes, cursorBytes, guestBytes []byte

	data     shm.Span
	mask     uint64 // of a record's offset: whatever a position says, its header lies within data
	capacity uint64
	dataOff  uint64
}

// Open returns a view of the ring in these regions; guests may be nil. The
// regions must be exactly of the ring's sizes and belong together. Errors are
// those of [Peek].
func Open(log, cursors, guests []byte) (*Ring, error) {
	o, err := Peek(log)
	if err != nil {
		return nil, err
	}
	g, err := o.Geometry()
	if err != nil {
		return nil, err
	}
	if int64(len(log)) != g.LogSize() {
		return nil, &CorruptError{Region: "log", Offset: 0x10, Got: uint64(len(log)), Want: fmt.Sprintf("a region of %d bytes", g.LogSize())}
	}
	off, n := g.DataRange()
	r := &Ring{
		options: o, geometry: g, log: shm.Overlay[logHeader](log, 0),
		logBytes: log, cursorBytes: cursors, guestBytes: guests,
		data: shm.NewSpan(log[off : off+n]), mask: (o.Capacity - 1) &^ (recordAlign - 1), capacity: o.Capacity, dataOff: uint64(off),
	}
	if r.cursors, err = openCursors(cursors, o, g); err != nil {
		return nil, err
	}
	r.gates, r.slots = &r.log.gateWords, &r.log.slotWords
	if o.Exclusive {
		r.gates, r.slots = &r.cursors.gateWords, &r.cursors.slotWords
	}
	if guests != nil {
		if r.guests, err = openGuests(guests, g); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// openGuests looks at the size only. What stands in the guest region users may
// have written who are trusted with nothing, and must not keep others out.
func openGuests(b []byte, g Geometry) (*cursorHeader, error) {
	if int64(len(b)) != g.CursorSize() {
		return nil, &CorruptError{Region: "guests", Got: uint64(len(b)), Want: fmt.Sprintf("a region of %d bytes", g.CursorSize())}
	}
	return shm.Overlay[cursorHeader](b, 0), nil
}

func openCursors(b []byte, o Options, g Geometry) (*cursorHeader, error) {
	if int64(len(b)) != g.CursorSize() {
		return nil, &CorruptError{Region: "cursors", Got: uint64(len(b)), Want: fmt.Sprintf("a region of %d bytes", g.CursorSize())}
	}
	h := shm.Overlay[cursorHeader](b, 0)
	if m := h.magic.Load(); m != cursorMagic { // sync(magic): pairs with formatCursors
		return nil, fmt.Errorf("%w: the cursor region has magic %#x, want %#x", ErrNotRing, m, uint64(cursorMagic))
	}
	if v := h.version; v != LayoutVersion {
		return nil, fmt.Errorf("%w: the cursor region has layout %d, this program reads %d", ErrLayoutVersion, v, LayoutVersion)
	}
	if id := h.id; id != o.ID {
		return nil, &CorruptError{Region: "cursors", Offset: 0x10, Got: id, Want: fmt.Sprintf("the log region's id %#x", o.ID)}
	}
	if n := h.subscribers; int(n) != o.Subscribers {
		return nil, &CorruptError{Region: "cursors", Offset: 0x0c, Got: uint64(n), Want: fmt.Sprintf("the log region's %d subscribers", o.Subscribers)}
	}
	return h, nil
}

// Options returns what the ring was made with.
func (r *Ring) Options() Options { return r.options }

// Geometry returns where the parts of the ring are.
func (r *Ring) Geometry() Geometry { return r.geometry }

// publisher returns the block of a publisher slot, the host's included.
func (r *Ring) publisher(slot int) *publisherBlock {
	off, _ := r.geometry.PublisherBlock(slot)
	return shm.Overlay[publisherBlock](r.logBytes, int(off))
}

// subscriber returns the block of a subscriber slot, or of a guest's.
func (r *Ring) subscriber(slot int, guest bool) *subscriberBlock {
	off, _ := r.geometry.SubscriberBlock(slot)
	if guest {
		return shm.Overlay[subscriberBlock](r.guestBytes, int(off))
	}
	return shm.Overlay[subscriberBlock](r.cursorBytes, int(off))
}

// corrupt describes a commit word that cannot be at this position.
func (r *Ring) corrupt(position uint64, w commitWord, want string) error {
	return &CorruptError{Region: "log", Offset: r.dataOff + position&r.mask, Got: uint64(w), Want: fmt.Sprintf("%s of position %d", want, position)}
}
