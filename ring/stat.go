package ring

import (
	"math/bits"

	"github.com/shmbus/shmbus/shm"
)

// Counts says how many participants a ring has and has had.
type Counts struct {
	Publishers      int
	Subscribers     int // guests included
	PublishersEver  uint64
	SubscribersEver uint64
}

// Counts reads how many participants there are.
func (r *Ring) Counts() Counts {
	c := Counts{PublishersEver: r.log.publishersEver.Load(), SubscribersEver: r.log.subscribersEver.Load()}
	c.Publishers = bits.OnesCount64(r.log.publisherSlots.Load()) // sync(slots): behind the count; pairs with AddPublisher, RemovePublisher
	if r.options.Exclusive {
		c.SubscribersEver = r.cursors.subscribersEver.Load()
		if r.Ended() {
			c.Publishers = 0
		}
	}
	for i := range r.slots.subscriberSlots {
		c.Subscribers += bits.OnesCount64(r.slots.subscriberSlots[i].Load()) + bits.OnesCount64(r.slots.guestSlots[i].Load())
	}
	return c
}

// Stat is the state of a ring at about one moment.
type Stat struct {
	Capacity    uint64
	Position    uint64 // of the next record, as far as it is stored: at most 1/16 of the ring late
	Sequence    uint64 // of the next message, likewise
	Claimed     uint64
	Pending     uint64
	Gating      uint64 // least cursor of the reliable subscribers, Position if there is none
	GatingSlot  int    // whose that is, -1 if none
	Used        uint64 // bytes between Gating and Position
	Fenced      bool
	BiasSlot    int // publisher slot the lock is biased to, -1 if none
	Revoking    bool
	LockSlot    int // publisher slot that holds the mutex or is inside by its bias, -1 if none
	Sleeps      uint64
	SpaceSleeps uint64
}

// Stat reads the state. Read-only mappings suffice.
func (r *Ring) Stat() Stat {
	h := r.log // each word by itself, at about one moment; sync(bias), sync(mutex): pair with leaveSlow, unlock
	s := Stat{
		Capacity: r.capacity, Sequence: h.sequence.Load(), Position: h.tail.Load(), Claimed: h.claimed.Load(), Pending: h.pending.Load(),
		Fenced: r.options.Fenced, BiasSlot: -1, LockSlot: -1, Sleeps: r.cursors.sleeps.Load(), SpaceSleeps: h.spaceSleeps.Load(),
	}
	s.Position, s.Sequence = r.peekEnd(s.Position, s.Sequence)
	e := entrant{r: r, tail: s.Position}
	s.Gating, s.GatingSlot = e.gatingCursor(false)
	s.Used = s.Position - s.Gating
	if b := h.bias.Load(); b != 0 {
		id := uint32(b & identityBits)
		s.BiasSlot, s.Revoking = identitySlot(id), b&biasRevoking != 0
		if s.BiasSlot >= 0 && s.BiasSlot <= r.geometry.HostSlot() && r.publisher(s.BiasSlot).active.Load() == identityGeneration(id) {
			s.LockSlot = s.BiasSlot
		}
	}
	if m := h.mutex.Load() & identityBits; m != 0 {
		s.LockSlot = identitySlot(m)
	}
	if r.Ended() { // nobody may write there that it has left
		s.BiasSlot, s.LockSlot = -1, -1
	}
	return s
}

// peekEnd follows the records behind the stored tail, as catch-up does but
// from outside: it stops where anything looks odd.
func (r *Ring) peekEnd(tail, sequence uint64) (uint64, uint64) {
	for n := uint64(0); n < r.capacity/recordAlign && tail%recordAlign == 0; n++ {
		rec := r.at(tail)
		w := commitWord(rec.commit.Load()) // sync(commit): pairs with the publisher's commit
		seq := rec.sequence.Load()
		shm.FenceLoadLoad()
		if w.state() == stateFree || !w.of(tail) || !w.whole(tail&r.mask, r.capacity) || before(tail+r.capacity, r.log.claimed.Load()) {
			break
		}
		sequence = seq
		if w.state() != statePad {
			sequence++
		}
		tail += w.extent()
	}
	return tail, sequence
}

// PublisherInfo is one granted publisher slot and its counters.
type PublisherInfo struct {
	Slot         int
	Gen          uint32
	Member       uint64
	Name         string
	Published    uint64
	Bytes        uint64
	Refused      uint64
	Dropped      uint64
	Aborted      uint64
	BlockedNanos uint64
	Revocations  uint64
	Contended    uint64
	Batches      uint64
	Wakes        uint64
}

// Publishers lists the granted publisher slots. Read-only mappings suffice.
func (r *Ring) Publishers() []PublisherInfo {
	var list []PublisherInfo
	if r.Ended() {
		return nil
	}
	for set := r.log.publisherSlots.Load(); set != 0; set &= set - 1 { // sync(slots): pairs with AddPublisher
		n := bits.TrailingZeros64(set)
		if n >= r.geometry.publishers {
			break
		}
		b := r.publisher(n)
		s := &b.stats // sync(stats): pairs with count
		list = append(list, PublisherInfo{
			Slot: n, Gen: b.generation.Load(), Member: b.member, Name: nameOf(b.name, b.nameLen),
			Published: s.published.Load(), Bytes: s.bytes.Load(), Refused: s.refused.Load(), Dropped: s.dropped.Load(),
			Aborted: s.aborted.Load(), BlockedNanos: s.blockedNanos.Load(), Revocations: s.revocations.Load(),
			Contended: s.contended.Load(), Batches: s.batches.Load(), Wakes: s.wakes.Load(),
		})
	}
	return list
}

// SubscriberInfo is one granted subscriber or guest slot and its counters.
type SubscriberInfo struct {
	Slot        int
	Gen         uint32
	Member      uint64
	Name        string
	Mode        Mode
	Guest       bool
	Gating      bool // holds publishers back
	MaxLag      uint64
	Position    uint64 // its cursor: everything before is read
	Sequence    uint64 // of the next message it reads, as of its cursor
	Delivered   uint64
	Bytes       uint64
	Lost        uint64
	AbortedSeen uint64
	WakeUps     uint64
	Parks       uint64
}

// Subscribers lists the granted subscriber and guest slots. Read-only mappings
// suffice.
func (r *Ring) Subscribers() []SubscriberInfo {
	list := r.listSubscribers(nil, false)
	if r.guests != nil {
		list = r.listSubscribers(list, true)
	}
	return list
}

func (r *Ring) listSubscribers(list []SubscriberInfo, guest bool) []SubscriberInfo {
	granted := r.grantedSubscribers(guest)
	for i := range granted {
		for set := granted[i].Load(); set != 0; set &= set - 1 { // sync(slots): pairs with AddSubscriber
			n := i*64 + bits.TrailingZeros64(set)
			if n >= r.geometry.subscribers {
				break
			}
			b := r.subscriber(n, guest)
			s := &b.stats
			list = append(list, SubscriberInfo{
				Slot: n, Gen: b.generation.Load(), Member: b.member, Name: nameOf(b.name, b.nameLen), Mode: Mode(b.mode), Guest: guest,
				Gating: !guest && r.gateOf(n) != 0, MaxLag: b.maxLag, Position: b.cursor.Load(), Sequence: b.sequence.Load(),
				Delivered: s.delivered.Load(), Bytes: s.bytes.Load(), Lost: s.lostPolling.Load() + s.lostReading.Load(),
				AbortedSeen: s.aborted.Load(), WakeUps: s.wakeUps.Load(), Parks: s.parks.Load(),
			})
		}
	}
	return list
}

func (r *Ring) grantedSubscribers(guest bool) *[4]shm.Word64 {
	if guest {
		return &r.slots.guestSlots
	}
	return &r.slots.subscriberSlots
}

// publisherName returns the given name of a publisher slot, "" if it has none.
func (r *Ring) publisherName(slot int) string {
	switch {
	case slot == r.geometry.HostSlot():
		return "host"
	case slot < 0 || slot > r.geometry.HostSlot() || r.log.publisherSlots.Load()>>slot&1 == 0: // sync(slots): pairs with AddPublisher
		return ""
	}
	b := r.publisher(slot)
	return nameOf(b.name, b.nameLen)
}

func nameOf(b [nameSize]byte, n uint32) string { return string(b[:min(n, nameSize)]) }
