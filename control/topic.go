package control

import (
	"fmt"
	"math/rand/v2"
	"os"
	"sort"
	"time"

	"github.com/shmbus/shmbus/ring"
	"github.com/shmbus/shmbus/shm"
)

// DefaultCapacity is what a topic is made with when nobody says how large.
const DefaultCapacity = 4 << 20

// A topic is what the host knows of one ring. Its states:
//
//	(none) ──▶ making ──▶ live ──▶ gone
//	              └──▶ failed
//
//	none → making    the first publisher's request, or the first offer of a ring that
//	                 outlived its host; others who ask wait for ready
//	making → live    the same goroutine: waiting subscribers are attached by now
//	making → failed  the same: no memory, a bad region
//	live → gone      the last reference went (and the host does not keep topics), or
//	                 remove: out of the host's map at once, unmapped with the last
//	                 reference, and when the host itself does not look at it
//
// If the host dies while making, nobody else has the memory and it is gone; from
// the first grant on it lives with those who map it.
type topic struct {
	name  string
	ready chan struct{} // closed when live or failed; what follows is constant then
	err   error         // why it failed

	options  ring.Options
	geometry ring.Geometry
	regions  regionSet
	ring     *ring.Ring
	host     *ring.Host
	created  time.Time

	// Below: guarded by the host's mutex.
	live        bool
	unsealed    bool // exclusive, and its publisher has not mapped it yet; exclusive.go
	removed     bool
	refs        int // holders, and requests at work on it
	looks       int // of the host itself, or grants not yet sent, which keep it mapped and nothing else
	publishers  table
	subscribers table
	guests      table
	generation  uint32 // the last one given
	bytes       int64  // memory of all regions
	adopted     int64  // what of it was there before this host
	logBytes    int64
	stored      bool   // with the service manager, see fdstore.go
	unused      bool   // came from there, and nobody has been in it since
	stalled     string // by whom the host's own entry was held up
	stall       stall  // who stands still inside, see stall.go
	suspect     string // what the last check found, if anything
	corrupt     string // why the topic is in quarantine, see host_check.go
}

func newTopic(name string) *topic {
	return &topic{name: name, ready: make(chan struct{}), created: time.Now(),
		publishers: table{}, subscribers: table{}, guests: table{}}
}

// regionPair is a region as the host holds it: for itself, and as it gives it to
// those who may only read.
type regionPair struct {
	rw      *shm.Region
	ro      *shm.Region
	mapping *shm.Mapping
}

// regionSet are the regions of one topic; guests only in group mode.
type regionSet struct{ log, cursors, guests regionPair }

func (p *regionPair) close() {
	if p.mapping != nil {
		p.mapping.Unmap()
	}
	for _, r := range []*shm.Region{p.rw, p.ro} {
		if r != nil {
			r.Close()
		}
	}
}

func (p *regionPair) bytes() []byte {
	if p.mapping == nil {
		return nil
	}
	return p.mapping.Bytes()
}

// open maps the region for the host and opens it once more read-only. It
// needs rw.
func (p *regionPair) open() (err error) {
	if p.mapping, err = p.rw.Map(!p.rw.WritesSealed()); err != nil {
		return err
	}
	p.ro, err = p.rw.Reopen(false)
	return err
}

// close unmaps and closes everything. Nobody uses the ring any more.
func (s *regionSet) close() {
	s.log.close()
	s.cursors.close()
	s.guests.close()
}

// files returns the descriptors that a holder of this role gets, with the least
// right that will do, and their names. role "" gets no right to write.
func (s *regionSet) files(role string) (files []*os.File, names []string) {
	add := func(name string, p *regionPair, writable bool) {
		if p.rw == nil {
			return
		}
		r := p.ro
		if writable {
			r = p.rw
		}
		files, names = append(files, r.File()), append(names, name)
	}
	add(regionLog, &s.log, role == rolePublisher)
	add(regionCursors, &s.cursors, role == roleSubscriber)
	add(regionGuests, &s.guests, role == roleGuest)
	return files, names
}

// need returns the bytes that the topic takes before anybody is granted a slot.
func need(g ring.Geometry, guests bool) uint64 {
	_, data := g.DataRange()
	_, block := g.PublisherBlock(g.HostSlot())
	_, totals := g.Totals()
	n := g.LogPrefix() + block + data + g.CursorPrefix() + totals
	if guests {
		n += g.CursorPrefix()
	}
	return uint64(n)
}

// make makes the regions and the ring in them. Blocks for as long as the kernel
// clears the memory. On failure what was made is closed.
func (t *topic) make(o ring.Options, guests bool) (err error) {
	defer func() {
		if err != nil {
			t.regions.close()
			t.regions = regionSet{}
		}
	}()
	for o.ID == 0 {
		o.ID = rand.Uint64()
	}
	o.Label = t.name
	if t.geometry, err = o.Geometry(); err != nil {
		return err
	}
	g, r := t.geometry, &t.regions
	if r.log.rw, err = shm.Create("shmbus:"+t.name, g.LogSize()); err != nil {
		return err
	}
	if r.cursors.rw, err = shm.Create("shmbus-cursors:"+t.name, g.CursorSize()); err != nil {
		return err
	}
	if guests {
		if r.guests.rw, err = shm.Create("shmbus-guests:"+t.name, g.CursorSize()); err != nil {
			return err
		}
	}
	if err = t.allocate(); err != nil {
		return err
	}
	return t.format(o)
}

// allocate gets the memory that a fresh ring needs.
func (t *topic) allocate() error {
	g, r := t.geometry, &t.regions
	if err := r.log.rw.Allocate(0, g.LogPrefix()); err != nil {
		return err
	}
	if err := r.log.rw.Allocate(g.PublisherBlock(g.HostSlot())); err != nil {
		return err
	}
	if err := r.log.rw.Allocate(g.DataRange()); err != nil {
		return err
	}
	if err := r.cursors.rw.Allocate(0, g.CursorPrefix()); err != nil {
		return err
	}
	if err := r.cursors.rw.Allocate(g.Totals()); err != nil {
		return err
	}
	if r.guests.rw == nil {
		return nil
	}
	return r.guests.rw.Allocate(0, g.CursorPrefix())
}

// format seals, maps and formats the regions and opens the ring. Guests first
// and the log region last: its magic makes it a ring.
func (t *topic) format(o ring.Options) error {
	r := &t.regions
	for _, p := range []*regionPair{&r.log, &r.cursors, &r.guests} {
		if p.rw == nil {
			continue
		}
		seal := p.rw.Seal
		if o.Exclusive && p == &r.log {
			seal = p.rw.SealSize
		}
		if err := seal(); err != nil {
			return err
		}
		if err := p.open(); err != nil {
			return err
		}
	}
	if r.guests.rw != nil {
		if err := ring.FormatGuests(r.guests.bytes(), o); err != nil {
			return err
		}
	}
	if err := ring.Format(r.log.bytes(), r.cursors.bytes(), o); err != nil {
		return err
	}
	return t.openRing()
}

// openRing opens the mapped regions as a ring and takes the host's slot in it,
// repairing what a previous host left there. The caller holds host.lock, so that
// host is gone.
func (t *topic) openRing() (err error) {
	r := &t.regions
	if t.ring, err = ring.Open(r.log.bytes(), r.cursors.bytes(), r.guests.bytes()); err != nil {
		return err
	}
	t.options = t.ring.Options()
	t.geometry = t.ring.Geometry()
	t.host = t.ring.Host(0)
	_, err = t.host.TakeOver()
	return err
}

// allocateBlock gets the memory of a holder's block.
func (t *topic) allocateBlock(role string, slot int) error {
	switch role {
	case rolePublisher:
		return t.regions.log.rw.Allocate(t.geometry.PublisherBlock(slot))
	case roleSubscriber:
		return t.regions.cursors.rw.Allocate(t.geometry.SubscriberBlock(slot))
	}
	return t.regions.guests.rw.Allocate(t.geometry.SubscriberBlock(slot))
}

// measure returns the memory that the regions have now.
func (t *topic) measure() (log, all int64) {
	log = allocatedBytes(t.regions.log.rw)
	return log, log + allocatedBytes(t.regions.cursors.rw) + allocatedBytes(t.regions.guests.rw)
}

// removeSlot takes a holder out of the ring: for a publisher the repair of what
// it left. Waits for nobody; idempotent. ring.ErrCorrupt: the ring cannot be repaired,
// and the slot stays granted in it.
func (d *holder) removeSlot() error {
	if d.role == rolePublisher {
		return d.topic.host.RemovePublisher(d.slot, d.generation)
	}
	d.topic.host.RemoveSubscriber(d.slot, d.generation, d.role == roleGuest)
	return nil
}

// info describes a live topic. The host's mutex is held.
func (t *topic) info(waiting int) TopicInfo {
	i := TopicInfo{
		Name: t.name, Capacity: t.options.Capacity, Schema: t.options.Schema,
		LogBytes: t.logBytes, CursorBytes: t.bytes - t.logBytes,
		Waiting: waiting, Created: t.created, Stalled: t.stalled, Corrupt: t.corrupt,
		Exclusive: t.options.Exclusive, Ended: t.options.Exclusive && t.ring.Ended(),
	}
	if t.stall.text != "" {
		i.Stalled, i.StalledSince = t.stall.text, t.stall.since
	}
	t.holders(func(d *holder) {
		switch {
		case d.state == holderDetached || d.state == holderLeaving:
		case d.state == holderGranting:
			i.Waiting++
		case d.role == rolePublisher:
			i.Publishers++
		default:
			i.Subscribers++
		}
		if d.unproven() {
			i.Quarantined = append(i.Quarantined, d.String())
		}
	})
	sort.Strings(i.Quarantined)
	return i
}

// accepts compares a publisher's options with the topic's; zero means the
// topic's.
func (t *topic) accepts(m *publishRequest) error {
	o := t.options
	if err := t.acceptsExclusive(m); err != nil {
		return err
	}
	if err := t.acceptsSchema(m.Schema); err != nil {
		return err
	}
	for _, c := range []struct {
		name      string
		asked, is uint64
	}{
		{"capacity", m.Capacity, o.Capacity},
		{"publishers", uint64(m.Publishers), uint64(o.Publishers)},
		{"subscribers", uint64(m.Subscribers), uint64(o.Subscribers)},
	} {
		if c.asked != 0 && c.asked != c.is {
			return fmt.Errorf("%w: topic %q has %s %d, asked for %d", ErrOptions, t.name, c.name, c.is, c.asked)
		}
	}
	return nil
}

// acceptsSchema: 0 asks for any.
func (t *topic) acceptsSchema(asked uint32) error {
	if asked != 0 && asked != t.options.Schema {
		return fmt.Errorf("%w: topic %q has schema %d, asked for %d", ErrSchema, t.name, t.options.Schema, asked)
	}
	return nil
}
