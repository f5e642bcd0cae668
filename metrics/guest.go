package metrics

import (
	"strconv"

	"github.com/shmbus/shmbus/bus"
	"github.com/shmbus/shmbus/ring"
)

// A guest is a subscriber of another user. Whatever stands in its block it, and
// every other guest, may write as it likes: its name, mode, generation,
// sequence and counts. Only the slot is what the host has granted. A guest is
// therefore never reported under the name it says, which may be another's, nor
// among the unnamed, whose sums it could turn back.

const (
	// guestName begins what a guest is called; its slot follows. No given name
	// has a colon in it.
	guestName = "guest:"
	// mostCounted bounds the buckets of a guest's histogram: their sum stays
	// within what Prometheus takes, which drops a whole scrape for one that is
	// not.
	mostCounted = 1 << 48
)

// guests reports the guests of a topic, under their slots.
func (c *Collector) guests(e *exposition, t *bus.TopicStatistics, of *owner) {
	for i := range t.Subscribers {
		s := &t.Subscribers[i]
		if !s.Guest {
			continue
		}
		own := e.claim(of, subscribes, guestName+strconv.Itoa(s.Slot))
		if own == nil {
			continue
		}
		s.Mode, s.MaxLag = ring.Lossy, 0 // no guest is granted anything else
		for i, n := range s.Latency.Buckets {
			s.Latency.Buckets[i] = min(n, mostCounted)
		}
		c.subscriber(e, s, false, own)
	}
}

// given returns the name that was given to a participant, "" if what stands
// there is none: somebody has scribbled on it.
func given(name string) string {
	if !ring.IsName(name) {
		return ""
	}
	return name
}
