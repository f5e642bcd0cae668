package ring

import "sync"

// grants are the slots that this host has granted, by its own notes. What a
// slot's block says of its generation is written by those who have the region,
// in the guest region by users who are trusted with nothing: it does not decide
// whether a slot is freed.
type grants struct {
	// mu is held from the look whether a slot is of a generation until it is
	// free: whoever comes second, for the same one, does nothing to the one
	// who has got the slot since.
	mu    sync.Mutex
	noted sync.Mutex // for generations alone; behind mu
	of    map[seat]uint32
}

// seat is a slot of one kind.
type seat struct {
	kind seatKind
	slot int
}

type seatKind uint8

const (
	publisherSeat seatKind = iota
	subscriberSeat
	guestSeat
)

func subscriberSeatOf(slot int, guest bool) seat {
	if guest {
		return seat{guestSeat, slot}
	}
	return seat{subscriberSeat, slot}
}

// note is called before the slot is marked as granted.
func (g *grants) note(s seat, generation uint32) {
	g.noted.Lock()
	defer g.noted.Unlock()
	if g.of == nil {
		g.of = map[seat]uint32{}
	}
	g.of[s] = generation
}

// forget undoes note: the slot is not granted, or free.
func (g *grants) forget(s seat, generation uint32) {
	g.noted.Lock()
	defer g.noted.Unlock()
	if g.of[s] == generation {
		delete(g.of, s)
	}
}

// are reports whether a granted slot is of this generation. Of those that an
// earlier host granted there is only their block to ask, and of guests not even
// that.
func (g *grants) are(s seat, generation uint32, block func() uint32) bool {
	g.noted.Lock()
	noted, ok := g.of[s]
	g.noted.Unlock()
	if ok {
		return noted == generation
	}
	return s.kind == guestSeat || block() == generation
}
