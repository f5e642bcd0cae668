package ring

import (
	"math/bits"
	"slices"
	"time"

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
	s.Gating, s.GatingSlot, _ = e.gatingCursor(false)
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

// PublisherCounters are what publishers count.
type PublisherCounters struct {
	Published    uint64 // messages
	Bytes        uint64 // of payload
	Refused      uint64 // attempts that found the ring full
	Dropped      uint64 // messages, by the publisher's own policy
	Aborted      uint64 // claims
	BlockedNanos uint64 // slept for space, or for the turn of another
	Revocations  uint64 // of another's bias
	Contended    uint64 // times that somebody else was inside
	Batches      uint64 // calls of PublishBatch that published something, one more for each wait within
	Wakes        uint64 // times that sleeping subscribers were woken
	Stalls       uint64 // waits for somebody inside that were given up
}

// PublisherInfo is one granted publisher slot and its counters.
type PublisherInfo struct {
	Slot   int
	Gen    uint32
	Member uint64
	Name   string
	PublisherCounters
}

// Publishers lists the granted publisher slots. Read-only mappings suffice.
func (r *Ring) Publishers() []PublisherInfo { return r.listPublishers(nil, 0) }

// listPublishers leaves out the slot whose identity is folded: it has left.
func (r *Ring) listPublishers(list []PublisherInfo, folded uint64) []PublisherInfo {
	if r.Ended() {
		return list
	}
	for set := r.log.publisherSlots.Load(); set != 0; set &= set - 1 { // sync(slots): pairs with AddPublisher
		n := bits.TrailingZeros64(set)
		if n >= r.geometry.publishers {
			break
		}
		b := r.publisher(n)
		i := PublisherInfo{Slot: n, Gen: b.generation.Load(), Member: b.member, Name: nameOf(b.name, b.nameLen)}
		if foldedIdentity(foldedPublisher, n, i.Gen) == folded {
			continue
		}
		i.add(&b.stats)
		list = append(list, i)
	}
	return list
}

// SubscriberCounters are what subscribers count. They are stored at the end of
// a batch and before any wait.
type SubscriberCounters struct {
	Delivered   uint64 // messages
	Bytes       uint64 // of payload
	LostPolling uint64 // messages overwritten before they were read
	LostReading uint64 // messages lost with one overwritten while it was read
	AbortedSeen uint64 // claims given up, stepped over
	WakeUps     uint64 // ends of sleeps
	Parks       uint64 // sleeps
	Spins       uint64 // times that it looked again for a while before a sleep
	Latency     Histogram
}

// Lost is the sum of both kinds of loss.
func (c *SubscriberCounters) Lost() uint64 { return c.LostPolling + c.LostReading }

// SubscriberInfo is one granted subscriber or guest slot and its counters.
type SubscriberInfo struct {
	Slot     int
	Gen      uint32
	Member   uint64
	Name     string
	Mode     Mode
	Guest    bool
	Gating   bool // holds publishers back
	MaxLag   uint64
	Position uint64 // its cursor: everything before is read
	Sequence uint64 // of the next message it reads, as of its cursor
	Lag      uint64 // messages it has not read; only of Statistics
	SubscriberCounters
}

// Subscribers lists the granted subscriber and guest slots. Read-only mappings
// suffice.
func (r *Ring) Subscribers() []SubscriberInfo {
	list := r.listSubscribers(nil, false, 0)
	if r.guests != nil {
		list = r.listSubscribers(list, true, 0)
	}
	return list
}

// listSubscribers leaves out the slot whose identity is folded: it has left.
func (r *Ring) listSubscribers(list []SubscriberInfo, guest bool, folded uint64) []SubscriberInfo {
	granted := r.grantedSubscribers(guest)
	n := 0
	for i := range granted {
		n += bits.OnesCount64(granted[i].Load()) // sync(slots): only for the size; pairs with AddSubscriber
	}
	list = slices.Grow(list, n) // an element has a histogram in it: not copied from one slice to the next
	for i := range granted {
		for set := granted[i].Load(); set != 0; set &= set - 1 { // sync(slots): pairs with AddSubscriber
			n := i*64 + bits.TrailingZeros64(set)
			if n >= r.geometry.subscribers {
				break
			}
			b := r.subscriber(n, guest)
			gen := b.generation.Load()
			if !guest && foldedIdentity(foldedSubscriber, n, gen) == folded {
				continue
			}
			list = append(list, SubscriberInfo{
				Slot: n, Gen: gen, Member: b.member, Name: nameOf(b.name, b.nameLen), Mode: Mode(b.mode), Guest: guest,
				Gating: !guest && r.gateOf(n) != 0, MaxLag: b.maxLag, Position: b.cursor.Load(), Sequence: b.sequence.Load(),
			})
			list[len(list)-1].add(&b.stats, &b.buckets)
		}
	}
	return list
}

// Statistics is all there is to know of a ring, at about one moment.
type Statistics struct {
	Stat
	Counts
	Created     time.Time
	Publishers  []PublisherInfo
	Subscribers []SubscriberInfo
	Totals      Totals
}

// Statistics reads everything into s, whose slices it uses again. Everybody is
// counted once, whoever leaves meanwhile. Read-only mappings suffice; nobody is
// held up. Cost: about a microsecond a subscriber.
func (r *Ring) Statistics(s *Statistics) {
	for range maxReadings {
		word := r.cursors.folded.Load() // sync(folded): before what it is about; pairs with free
		s.Totals = Totals{}
		r.totalsBlock(word >> foldedCount).read(&s.Totals)
		s.Publishers = r.listPublishers(s.Publishers[:0], word&foldedBits)
		s.Subscribers = r.listSubscribers(s.Subscribers[:0], false, word&foldedBits)
		shm.FenceLoadLoad()
		if r.cursors.folded.Load() == word {
			break
		}
	}
	if r.guests != nil {
		s.Subscribers = r.listSubscribers(s.Subscribers, true, 0)
	}
	s.Stat, s.Counts = r.Stat(), r.Counts() // after the subscribers, so that no lag is below zero
	s.Created = time.Unix(0, r.log.created)
	s.Totals.addPublisher(r.publisher(r.geometry.HostSlot()))
	switch {
	case !r.options.Exclusive:
		for i := range s.Publishers {
			s.Totals.Publishers.Add(&s.Publishers[i].PublisherCounters)
		}
	case s.PublishersEver > 0:
		s.Totals.addPublisher(r.publisher(0)) // which stays when it has left
	}
	for i := range s.Subscribers {
		c := &s.Subscribers[i]
		if before(c.Sequence, s.Sequence) {
			c.Lag = s.Sequence - c.Sequence
		}
		if !c.Guest {
			s.Totals.Subscribers.Add(&c.SubscriberCounters)
		}
	}
}

// maxReadings is how often Statistics begins again. Participants do not come
// and go so quickly.
const maxReadings = 100

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

// nameOf returns the name in a block, "" if it is none that is given: others may
// have written there, and names go to terminals and into labels.
func nameOf(b [nameSize]byte, n uint32) string {
	name := string(b[:min(n, nameSize)])
	if !IsName(name) {
		return ""
	}
	return name
}

// IsName reports whether a participant can have been given this name, or none:
// it has no characters but A-Z a-z 0-9 . _ -.
func IsName(name string) bool {
	for _, c := range []byte(name) {
		if alnum := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'; !alnum && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}
