package storm

import (
	"slices"
	"strings"
	"testing"
)

// history is one that is right: two publishers, one claim aborted (sequence 4),
// three subscribers, and the mark.
func history() *History {
	got := []Got{{0, 1, 0, 0}, {1, 2, 0, 0}, {2, 1, 1, 0}, {3, 2, 1, 0}, {5, 1, 2, 0}, {6, marker, 0, 0}}
	lossy := []Got{{1, 2, 0, 0}, {5, 1, 2, 2}, {6, marker, 0, 0}}
	return &History{
		Topic:      "topic",
		Publishers: map[uint32]*PublisherLog{1: {May: 5, Acked: 3}, 2: {May: 2, Acked: 1}},
		Anchor:     &SubscriberLog{ID: 9, Up: true, Got: got, Complete: true, Marked: true, Stats: Report{Sequence: 7, Delivered: 6, Aborted: 1}},
		Subscribers: []*SubscriberLog{
			{ID: 10, Up: true, Start: 1, Got: slices.Clone(got[1:]), Complete: true, Marked: true, Stats: Report{Sequence: 7, Delivered: 5, Aborted: 1}},
			{ID: 11, Up: true, Start: 1, Got: slices.Clone(got[1:4])}, // killed
			{ID: 12, Up: true, Start: 1, Lossy: true, Got: lossy, Complete: true, Marked: true, Stats: Report{Sequence: 7, Delivered: 3, Lost: 2, Aborted: 1}},
			{ID: 13}, // killed before it was attached
		},
	}
}

func TestCheckAcceptsWhatIsRight(t *testing.T) {
	if found := Check(history()); len(found) > 0 {
		t.Errorf("a history that is right: %q", found)
	}
}

// TestCheckFindsWhatIsWrong: each mistake is found, and named.
func TestCheckFindsWhatIsWrong(t *testing.T) {
	remove := func(l *SubscriberLog, i int) { l.Got = slices.Delete(l.Got, i, i+1) }
	for _, c := range []struct {
		name, want string
		spoil      func(*History)
	}{
		{"an acknowledged message is lost", "acknowledged messages are lost", func(h *History) { h.Publishers[1].Acked = 4 }},
		{"nobody attempted a message", "no more than 1 attempted", func(h *History) { h.Publishers[2].May = 1 }},
		{"nobody is the publisher", "which is not there", func(h *History) { delete(h.Publishers, 2) }},
		{"the anchor misses one", "lost or out of order", func(h *History) { remove(h.Anchor, 0) }},
		{"the anchor is given one twice", "twice or out of order", func(h *History) {
			h.Anchor.Got = slices.Insert(h.Anchor.Got, 4, Got{4, 2, 1, 0})
		}},
		{"two of one publisher are swapped", "lost or out of order", func(h *History) {
			h.Anchor.Got[0].Index, h.Anchor.Got[2].Index = 1, 0
		}},
		{"the anchor goes back", "sequence 0 follows 1", func(h *History) {
			h.Anchor.Got[0], h.Anchor.Got[1] = h.Anchor.Got[1], h.Anchor.Got[0]
		}},
		{"the anchor says it lost some", "anchor: lost 1", func(h *History) { h.Anchor.Got[2].Lost = 1 }},
		{"something is behind the mark", "behind the mark", func(h *History) {
			h.Anchor.Got = append(h.Anchor.Got, Got{7, 1, 3, 0})
		}},
		{"the anchor does not come to the mark", "did not come to the mark", func(h *History) { h.Anchor.Complete = false }},
		{"given is not what became of it", "is not delivered", func(h *History) { h.Anchor.Stats.Aborted = 0 }},
		{"the counter of deliveries is wrong", "told of", func(h *History) { h.Anchor.Stats.Delivered, h.Anchor.Stats.Aborted = 5, 2 }},
		{"a reliable one misses one", "1 messages are missing", func(h *History) { remove(h.Subscribers[0], 2) }},
		{"a reliable one misses its first", "1 messages are missing", func(h *History) { remove(h.Subscribers[0], 0) }},
		{"a reliable one misses its last", "behind its last one", func(h *History) {
			remove(h.Subscribers[0], 4)
		}},
		{"one that was killed misses one", "1 messages are missing", func(h *History) { remove(h.Subscribers[1], 1) }},
		{"one that was killed is given one twice", "twice or out of order", func(h *History) {
			l := h.Subscribers[1]
			l.Got = slices.Insert(l.Got, 1, l.Got[1])
		}},
		{"two orders", "no single order", func(h *History) {
			g := h.Subscribers[1].Got
			g[0].Publisher, g[1].Publisher = g[1].Publisher, g[0].Publisher
		}},
		{"an aborted claim is delivered", "is not there for the anchor", func(h *History) {
			l := h.Subscribers[1]
			l.Got = append(l.Got, Got{4, 1, 2, 0})
		}},
		{"a lossy one does not count what it lost", "says 1 lost", func(h *History) { h.Subscribers[2].Got[1].Lost = 1 }},
		{"a lossy one counts more than there was", "says 4 lost", func(h *History) { h.Subscribers[2].Got[1].Lost = 4 }},
		{"a lossy one's sum is wrong", "is not delivered", func(h *History) { h.Subscribers[2].Stats.Aborted = 0 }},
	} {
		h := history()
		c.spoil(h)
		if found := Check(h); !strings.Contains(strings.Join(found, "\n"), c.want) {
			t.Errorf("%s: got %q, want %q in it", c.name, found, c.want)
		}
	}
}

func TestPayload(t *testing.T) {
	for _, n := range []int{minPayload, minPayload + 1, 100, 4096} {
		b := make([]byte, n)
		fillPayload(b, 7, 9)
		if p, i, err := readPayload(b); p != 7 || i != 9 || err != nil {
			t.Errorf("%d bytes: publisher %d, index %d, %v", n, p, i, err)
		}
		for at := range b {
			b[at] ^= 1
			if _, _, err := readPayload(b); err == nil {
				t.Errorf("%d bytes: byte %d is wrong, and nobody noticed", n, at)
			}
			b[at] ^= 1
		}
		if _, _, err := readPayload(b[:n-1]); err == nil {
			t.Errorf("%d bytes cut short, and nobody noticed", n)
		}
		fillPayload(b, poison, 9)
		if _, _, err := readPayload(b); err == nil {
			t.Errorf("an aborted claim passes")
		}
	}
}
