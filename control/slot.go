package control

import (
	"fmt"

	"github.com/shmbus/shmbus/ring"
)

// A holder is one granted slot, as the host keeps it. Its states, and who may
// make each step (always under the host's mutex, the ring's part outside of it):
//
//	granting ──▶ live ──▶ leaving ──▶ (removed; the slot is free)
//	    │          │ ▲        ▲
//	    └──────────│─│────────┤
//	               ▼ │        │
//	             away ────────┤
//	               detached ──┘
//
//	free → granting      request goroutine: the slot and the given name are taken
//	granting → live      the same, once the ring knows the slot; then the grant is sent
//	granting → leaving   the same: the ring refused, or the client left meanwhile
//	live → away          session's end without a bye: a publisher may still write
//	live → detached      session's end without a bye: a subscriber; its ring slot is
//	                     removed (it no longer gates), the number stays taken while
//	                     its process may still write the block
//	live → leaving       release, bye
//	away → live          an offer of the same member
//	away → leaving       proof of death (pidfd, or the member's lock is gone), or the
//	                     member came back without offering it
//	detached → leaving   likewise; or a release
//	(adoption) → away    a slot found granted in the ring of an adopted topic
//	live → mapping       mapped, of an exclusive topic's publisher (not in the picture).
//	                     The goroutine that serves it walks the ring and maps it anew:
//	                     nobody else drops it, who would have makes it unwanted
//	mapping → live       the same goroutine, once the topic is live
//	mapping → away       the same: its session has ended meanwhile
//	mapping → leaving    the same: it is unwanted, or the log could not be mapped
//
// If the host dies at any of these steps, its successor finds in the ring either
// no slot (before granting reached it, after leaving was through) or a granted one,
// which it judges like any other: offered again, or ready without it, or dead.
// Removal in the ring is idempotent, so a half-made one is made again.
type holder struct {
	topic      *topic
	role       string
	slot       int
	generation uint32
	member     uint64
	name       string
	state      holderState
	unwanted   bool // mapping, and to be dropped after that
	// session is the connection it lives on; the last one when away or
	// detached; nil if adopted and never claimed.
	session *session
}

type holderState uint8

const (
	holderGranting holderState = iota
	holderLive
	holderMapping
	holderAway
	holderDetached
	holderLeaving
)

func (d *holder) id() slotID {
	return slotID{Topic: d.topic.name, Ring: d.topic.options.ID, Role: d.role, Slot: d.slot, Generation: d.generation}
}

// String names it for people.
func (d *holder) String() string {
	s := fmt.Sprintf("%s slot %d", d.role, d.slot)
	if d.name != "" {
		s = fmt.Sprintf("%s %q (slot %d)", d.role, d.name, d.slot)
	}
	if d.session != nil && d.session.peer != nil {
		s += fmt.Sprintf(" of pid %d", d.session.peer.PID)
	}
	return s
}

// unproven reports that the slot is granted to a publisher which is connected
// to nobody and which nothing proves dead.
func (d *holder) unproven() bool { return d.role == rolePublisher && d.state == holderAway }

// table holds the taken slots of one role of one topic.
type table map[int]*holder

// take reserves the lowest free slot. The host's mutex is held.
func (t *topic) take(role, name string, s *session) (*holder, error) {
	taken, limit := t.table(role)
	if name != "" {
		if d := t.named(role, name); d != nil {
			return nil, fmt.Errorf("%w: %q in topic %q is held by %s", ErrNameInUse, name, t.name, d)
		}
	}
	for slot := range limit {
		if taken[slot] != nil {
			continue
		}
		t.generation = t.generation%ring.MaxGeneration + 1
		d := &holder{topic: t, role: role, slot: slot, generation: t.generation,
			member: s.member, name: name, session: s, state: holderGranting}
		taken[slot] = d
		t.refs++
		t.unused = false
		return d, nil
	}
	return nil, fmt.Errorf("%w: all %d %s slots of topic %q are taken", ErrNoSlot, limit, role, t.name)
}

// named returns the holder of a given name, which is unique among publishers, among
// subscribers and among guests: a guest takes no name from a subscriber. One that is
// leaving has given it up.
func (t *topic) named(role, name string) *holder {
	taken, _ := t.table(role)
	for _, d := range taken {
		if d.name == name && d.state != holderLeaving {
			return d
		}
	}
	return nil
}

// table returns the slots of a role that are taken, and how many there are.
func (t *topic) table(role string) (table, int) {
	switch role {
	case rolePublisher:
		return t.publishers, t.geometry.Publishers()
	case roleSubscriber:
		return t.subscribers, t.geometry.Subscribers()
	}
	if t.regions.guests.rw == nil {
		return t.guests, 0
	}
	return t.guests, t.geometry.Subscribers()
}

// holders calls f for every slot of the topic that is taken.
func (t *topic) holders(f func(*holder)) {
	for _, taken := range []table{t.publishers, t.subscribers, t.guests} {
		for _, d := range taken {
			f(d)
		}
	}
}

// find returns the holder of exactly this slot and generation, or nil.
func (t *topic) find(id slotID) *holder {
	if t.options.ID != id.Ring {
		return nil
	}
	taken, _ := t.table(id.Role)
	if d := taken[id.Slot]; d != nil && d.generation == id.Generation {
		return d
	}
	return nil
}
