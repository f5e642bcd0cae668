package control

import (
	"errors"
	"fmt"
	"time"

	"github.com/shmbus/shmbus/ring"
)

// A corrupt ring is quarantined: the host looks at every ring now and then,
// and one that contradicts itself it condemns (see [ring.Host.Condemn]) and
// names in listings. Nobody new is let in; who is there is told by its next
// call that would wait. The topic goes when the last of them has left, or is
// removed then. Other topics do not notice.

const (
	checkEvery = time.Second
	// checkRecords is how many records of a ring are looked at each time. It
	// begins at the gating position, where a subscriber that finds them corrupt
	// stops.
	checkRecords = 1024
)

// checkTopics looks at every live ring. A first finding may be of a ring that
// was changing; the same one again is not.
func (h *host) checkTopics() {
	for _, t := range h.look() {
		h.check(t)
		h.looked(t)
	}
}

func (h *host) check(t *topic) {
	t.host.RefreshClock()
	h.mu.Lock()
	corrupt, suspect := t.corrupt != "", t.suspect
	h.mu.Unlock()
	if corrupt {
		t.condemn()
		return
	}
	found := ""
	err := t.ring.Check(checkRecords)
	if err != nil {
		found = err.Error()
	}
	h.mu.Lock()
	t.suspect = found
	h.mu.Unlock()
	if err != nil && found == suspect {
		h.quarantine(t, err)
	}
}

// condemn closes the ring to those who are in it. It is repeated, since who was
// inside may have taken the mark away.
func (t *topic) condemn() {
	t.host.Condemn()
}

// quarantine gives a topic up if err says that its ring is corrupt. The ring first:
// where a listing names the topic, nobody publishes to it any more.
func (h *host) quarantine(t *topic, err error) {
	if !errors.Is(err, ring.ErrCorrupt) {
		return
	}
	t.condemn()
	h.mu.Lock()
	first := t.corrupt == ""
	if first {
		t.corrupt = err.Error()
	}
	h.mu.Unlock()
	if first {
		h.log.Error("quarantine a corrupt topic", "topic", t.name, "error", err)
	}
}

// sound refuses a topic in quarantine. mu is held.
func (t *topic) sound() error {
	if t.corrupt == "" {
		return nil
	}
	return fmt.Errorf("%w: topic %q is in quarantine until all have left it: %s", ring.ErrCorrupt, t.name, t.corrupt)
}
