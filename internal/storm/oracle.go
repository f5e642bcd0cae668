package storm

import (
	"fmt"
	"sort"
)

// A History is what was told of one topic.
type History struct {
	Topic      string
	Publishers map[uint32]*PublisherLog
	// Anchor was attached before the first message and saw the mark. What it
	// was given is the order that all others are compared with.
	Anchor      *SubscriberLog
	Subscribers []*SubscriberLog
}

// A PublisherLog is what one publisher told.
type PublisherLog struct {
	May   uint32 // it may have published indices below this one
	Acked uint32 // Publish returned nil for those below this one
}

// A SubscriberLog is what one subscriber told.
type SubscriberLog struct {
	ID       uint32
	Lossy    bool
	Up       bool   // Start is known
	Start    uint64 // its first sequence
	Got      []Got
	Complete bool // it came to its end, and the numbers below are its last
	Marked   bool // its end is the mark
	Stats    Report
}

// Got is one message that was given to a subscriber.
type Got struct {
	Sequence         uint64
	Publisher, Index uint32
	Lost             uint32
}

// Check returns everything in h that must not be:
//
//	anchor       acknowledged ⊆ delivered ⊆ attempted; each publisher's messages in
//	             order, none missing, none twice
//	reliable     the same messages as the anchor, in the same order, from its start to
//	             wherever it was killed, none missing
//	lossy        the same, some missing, each of those counted as lost
//	who came to  given = delivered + lost + aborted; nothing is unread at the mark
//	the mark
func Check(h *History) []string {
	c := &checker{h: h}
	c.anchor()
	for _, s := range h.Subscribers {
		c.subscriber(s)
	}
	return c.found
}

// maxFound bounds what one topic can say: one mistake makes many.
const maxFound = 20

type checker struct {
	h     *History
	found []string
}

func (c *checker) add(format string, args ...any) {
	if len(c.found) < maxFound {
		c.found = append(c.found, "topic "+c.h.Topic+": "+fmt.Sprintf(format, args...))
	}
}

// anchor checks the reference against what publishers told.
func (c *checker) anchor() {
	a := c.h.Anchor
	next := map[uint32]uint32{}
	for i, g := range a.Got {
		if i > 0 && g.Sequence <= a.Got[i-1].Sequence {
			c.add("anchor: sequence %d follows %d", g.Sequence, a.Got[i-1].Sequence)
		}
		if g.Lost != 0 {
			c.add("anchor: lost %d before sequence %d", g.Lost, g.Sequence)
		}
		if g.Publisher == marker {
			if i != len(a.Got)-1 {
				c.add("anchor: %d messages behind the mark", len(a.Got)-1-i)
			}
			continue
		}
		if want := next[g.Publisher]; g.Index != want {
			c.add("anchor: publisher %d: index %d at sequence %d where %d is next: %s", g.Publisher, g.Index, g.Sequence, want, lostOrTwice(g.Index, want))
			next[g.Publisher] = max(want, g.Index+1)
			continue
		}
		next[g.Publisher]++
	}
	for id, n := range next {
		if p := c.h.Publishers[id]; p == nil {
			c.add("anchor: %d messages of publisher %d, which is not there", n, id)
		} else if n > p.May {
			c.add("anchor: publisher %d: %d delivered, no more than %d attempted", id, n, p.May)
		}
	}
	for id, p := range c.h.Publishers {
		if next[id] < p.Acked {
			c.add("anchor: publisher %d: %d acknowledged, %d delivered: acknowledged messages are lost", id, p.Acked, next[id])
		}
	}
	if !a.Complete || !a.Marked {
		c.add("anchor: did not come to the mark")
		return
	}
	c.stats("anchor", a, 0)
}

func lostOrTwice(got, want uint32) string {
	if got > want {
		return "lost or out of order"
	}
	return "twice or out of order"
}

// stats checks given = delivered + lost + aborted.
func (c *checker) stats(who string, s *SubscriberLog, lost uint64) {
	st := s.Stats
	if given := st.Sequence - s.Start; given != st.Delivered+st.Lost+st.Aborted {
		c.add("%s: given %d (from %d up to %d) is not delivered %d + lost %d + aborted %d", who, given, s.Start, st.Sequence, st.Delivered, st.Lost, st.Aborted)
	}
	if st.Delivered != uint64(len(s.Got)) {
		c.add("%s: counts %d delivered and told of %d", who, st.Delivered, len(s.Got))
	}
	if st.Lost != lost {
		c.add("%s: counts %d lost, its messages said %d", who, st.Lost, lost)
	}
}

// subscriber compares one log with the reference.
func (c *checker) subscriber(s *SubscriberLog) {
	ref := c.h.Anchor.Got
	who := fmt.Sprintf("reliable subscriber %d", s.ID)
	if s.Lossy {
		who = fmt.Sprintf("lossy subscriber %d", s.ID)
	}
	var lost uint64
	at, from := 0, s.Start // the next of the reference, the next sequence
	if s.Up {
		at = sort.Search(len(ref), func(i int) bool { return ref[i].Sequence >= s.Start })
	} else if len(s.Got) > 0 {
		c.add("%s: told of messages before its start", who)
		return
	}
	for i, g := range s.Got {
		if g.Sequence < from {
			c.add("%s: message %d has sequence %d where %d is the least: twice or out of order", who, i, g.Sequence, from)
			return
		}
		skipped := 0
		for at < len(ref) && ref[at].Sequence < g.Sequence {
			at++
			skipped++
		}
		if at == len(ref) || ref[at].Sequence != g.Sequence {
			c.add("%s: sequence %d (publisher %d, index %d) is not there for the anchor", who, g.Sequence, g.Publisher, g.Index)
			return
		}
		if r := ref[at]; r.Publisher != g.Publisher || r.Index != g.Index {
			c.add("%s: sequence %d is publisher %d, index %d; for the anchor it is %d, %d: no single order", who, g.Sequence, g.Publisher, g.Index, r.Publisher, r.Index)
			return
		}
		c.gap(who, s, g, uint64(skipped), g.Sequence-from)
		lost += uint64(g.Lost)
		at, from = at+1, g.Sequence+1
	}
	if s.Complete {
		if s.Marked && at != len(ref) {
			c.add("%s: %d messages behind its last one", who, len(ref)-at)
		}
		c.stats(who, s, lost)
	}
}

// gap checks what is missing before one message: skipped whole messages among
// the missing sequences.
func (c *checker) gap(who string, s *SubscriberLog, g Got, skipped, missing uint64) {
	switch lost := uint64(g.Lost); {
	case !s.Lossy && skipped > 0:
		c.add("%s: %d messages are missing before sequence %d", who, skipped, g.Sequence)
	case !s.Lossy && lost > 0:
		c.add("%s: says %d lost before sequence %d", who, lost, g.Sequence)
	case lost < skipped || lost > missing:
		c.add("%s: says %d lost before sequence %d, where %d messages and %d sequences are missing", who, lost, g.Sequence, skipped, missing)
	}
}
