package control

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/shmbus/shmbus/ring"
	"github.com/shmbus/shmbus/shm"
)

// Adoption: a host that took over has no regions. Those who are attached have
// them, and offer them:
//
//	offer ──▶ validate ──▶ reopen read-write ──▶ take the host's slot ──▶ slots found
//	          (uid, memfd,   (/proc/self/fd)       (repairs what the      granted: away
//	          seals, sizes,                        last host left)             │
//	          magic, label)                                          offered: live
//
// The first offer of a topic brings it back; further ones only claim their slots,
// and must be of the same memory. If the host dies in here, the next one starts
// over: taking the host's slot is repeatable, and nothing else was written.

// offer claims a slot for a member that has come back. It owns files.
func (h *host) offer(ctx context.Context, s *session, id slotID, files []*os.File) error {
	defer CloseFiles(files) // those that adopt took are closed by now, once more is harmless
	switch {
	case s.observer:
		return fmt.Errorf("%w: offer a slot as an observer", ErrPermission)
	case s.guest != (id.Role == roleGuest):
		return fmt.Errorf("%w: offer a %s slot", ErrGuest, id.Role)
	case s.guest && len(files) > 0:
		return fmt.Errorf("%w: a guest's regions are not taken", ErrGuest)
	case !s.guest && (len(files) < 2 || len(files) > 3):
		return fmt.Errorf("%w: an offer carries log, cursors and, if there are, guests; got %d", ErrDescriptors, len(files))
	}
	var t *topic
	var err error
	if s.guest {
		t, err = h.topicOfGuest(ctx, id)
	} else {
		t, err = h.topicOfOffer(ctx, s, id, files)
	}
	if err != nil {
		return err
	}
	err = h.claim(s, t, id)
	h.unref(t)
	return err
}

// topicOfOffer returns the topic that these regions are, adopted if need be, with
// a reference.
func (h *host) topicOfOffer(ctx context.Context, s *session, id slotID, files []*os.File) (*topic, error) {
	for {
		h.mu.Lock()
		t := h.topics[id.Topic]
		if t == nil {
			t = newTopic(id.Topic)
			t.refs = 1
			h.topics[id.Topic] = t
			h.mu.Unlock()
			if err := h.adopt(t, id, files); err != nil {
				return nil, err
			}
			return t, nil
		}
		t.refs++
		h.mu.Unlock()
		err := t.await(ctx)
		if err == nil {
			err = t.same(id, files)
			if err == nil {
				h.mu.Lock()
				t.unused = false
				h.mu.Unlock()
				return t, nil
			}
		}
		h.unref(t)
		if errors.Is(err, ErrOrphaned) && h.giveWay(t) {
			continue
		}
		if ctx.Err() != nil || errors.Is(err, ErrOrphaned) || errors.Is(err, ErrRegion) {
			return nil, err
		}
		// The one before us offered something else under this name.
	}
}

// topicOfGuest waits until somebody with the right has brought the topic back.
func (h *host) topicOfGuest(ctx context.Context, id slotID) (*topic, error) {
	select {
	case <-h.settled:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.topics[id.Topic]
	if t == nil || !t.live {
		return nil, fmt.Errorf("%w: topic %q has gone", ErrOrphaned, id.Topic)
	}
	t.refs++
	return t, nil
}

// same reports whether offered files are the topic's own memory.
func (t *topic) same(id slotID, files []*os.File) error {
	ours, _ := t.regions.files("")
	for i := range min(len(files), len(ours)) {
		got, err := identify(files[i])
		if err != nil {
			return err
		}
		if want, err := identify(ours[i]); err != nil || got != want {
			return fmt.Errorf("%w: topic %q was made anew", ErrOrphaned, id.Topic)
		}
	}
	if t.options.ID != id.Ring {
		return fmt.Errorf("%w: topic %q has ring %#x, offered %#x", ErrOrphaned, id.Topic, t.options.ID, id.Ring)
	}
	return nil
}

// adopt brings back the topic that this goroutine has put into the map, from the
// regions of an offer. On failure the topic is gone and the reference too.
func (h *host) adopt(t *topic, id slotID, files []*os.File) error {
	err := t.reopen(id, files, os.Geteuid())
	if err == nil {
		err = t.openRing()
	}
	if err != nil {
		t.regions.close()
		t.regions = regionSet{}
		h.log.Warn("refuse an offer", "topic", id.Topic, "error", err)
		h.mu.Lock()
		t.stored = false // what is in the store is not this topic's to remove
		h.mu.Unlock()
		h.failTopic(t, explainMake(err))
		return t.err
	}
	h.storeTopic(t)
	log, all := t.measure()
	publishers, subscribers := t.ring.Publishers(), t.ring.Subscribers()
	h.mu.Lock()
	t.generation = generationGap // beyond what freed slots had, most likely; those are repaired
	t.logBytes, t.bytes = log, all
	h.countAdopted(t)
	for _, p := range publishers {
		h.found(t, rolePublisher, p.Slot, p.Gen, p.Member, p.Name)
	}
	for _, s := range subscribers {
		role := roleSubscriber
		if s.Guest {
			role = roleGuest
		}
		h.found(t, role, s.Slot, s.Gen, s.Member, s.Name)
	}
	// Before it is live: who is back may ask for a slot by the name it had.
	leaving := h.makeLeaving(func(d *holder) bool { return d.topic == t && d.state == holderAway && h.disowned(d) })
	t.live = true
	close(t.ready)
	waiting := h.waiters[t.name]
	delete(h.waiters, t.name)
	h.busy += len(waiting)
	h.mu.Unlock()
	for _, d := range leaving {
		h.drop(d)
	}
	for _, w := range waiting {
		w.result <- waitResult{again: true}
	}
	h.judgeNow()
	h.log.Info("adopted", "topic", t.name, "publishers", len(publishers), "subscribers", len(subscribers))
	return nil
}

// found notes a slot that the adopted ring has granted. mu is held.
func (h *host) found(t *topic, role string, slot int, generation uint32, member uint64, name string) {
	taken, limit := t.table(role)
	if slot < 0 || slot >= limit || taken[slot] != nil {
		return
	}
	d := &holder{topic: t, role: role, slot: slot, generation: generation, member: member, name: name, state: holderAway}
	taken[slot] = d
	t.refs++
	t.generation = max(t.generation, (generation+generationGap)%ring.MaxGeneration)
	// Somebody whose offer was refused, for want of descriptors say.
	if s := h.members[member]; s != nil && member != 0 {
		if _, ok := s.claims[d.id()]; ok {
			d.state, d.session = holderLive, s
		}
	}
}

// generationGap lies between the generations seen in an adopted ring and those
// given next. Slots that are free by now may have had later ones than those seen.
const generationGap = 4096

// disowned: its member is back and has not offered it. mu is held.
func (h *host) disowned(d *holder) bool {
	s := h.members[d.member]
	return d.member != 0 && s != nil && s.ready
}

// claim gives a slot back to its member.
func (h *host) claim(s *session, t *topic, id slotID) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	d := t.find(id)
	switch {
	case s.ended:
		return ErrClosed
	case d == nil || d.member != s.member:
		return fmt.Errorf("%w: %s slot %d of topic %q, generation %d", ErrOrphaned, id.Role, id.Slot, id.Topic, id.Generation)
	case d.state == holderAway:
		d.depart()
		d.state, d.session = holderLive, s
		return nil
	case d.state == holderMapping && !d.unwanted:
		d.depart()
		d.session = s // live when mapped is through
		return nil
	case d.state == holderLive && d.session == s:
		return nil
	}
	// A subscriber whose connection broke: it stopped gating then.
	return fmt.Errorf("%w: %s was detached when its connection ended", ErrOrphaned, d)
}

// reopen validates offered regions and opens them read-write. Not a byte is read
// before seals and size are known, nor believed before the header is checked.
func (t *topic) reopen(id slotID, files []*os.File, uid int) (err error) {
	set, options, err := checkRegions(id.Topic, id.Ring, files, nil, uid, false)
	if err != nil {
		return err
	}
	defer set.close()
	t.created = time.Now()
	t.options = options
	for i, p := range []*regionPair{&t.regions.log, &t.regions.cursors, &t.regions.guests} {
		if i >= len(set.regions) {
			break
		}
		if p.rw, err = set.regions[i].Reopen(true); err != nil {
			return fmt.Errorf("%w: %s: reopen for writing: %w", ErrRegion, regionNames[i], err)
		}
		if err = p.open(); err != nil {
			return err
		}
	}
	return nil
}

// regionNames are the regions in the order in which they are sent.
var regionNames = []string{regionLog, regionCursors, regionGuests}

// checkedRegions are descriptors that passed checkRegions.
type checkedRegions struct{ regions []*shm.Region }

func (c checkedRegions) close() {
	for _, r := range c.regions {
		r.Close()
	}
}

// checkRegions validates descriptors from a peer: each a memfd of uid (-1: any),
// sealed and of the size that the log region's header says, which carries the
// topic's name and the ring's id. writer: for the publisher of an exclusive topic,
// whose log is not sealed against writing before it has mapped it. It owns files,
// also when it fails.
//
// Errors: ErrRegion, ErrLayout, ErrNoDescriptors.
func checkRegions(topic string, id uint64, files []*os.File, names []string, uid int, writer bool) (c checkedRegions, o ring.Options, err error) {
	defer func() {
		if err != nil {
			c.close()
			CloseFiles(files)
			c = checkedRegions{}
		}
	}()
	if names == nil {
		names = regionNames[:min(len(files), len(regionNames))]
	}
	if len(files) != len(names) || len(files) < 2 || len(files) > len(regionNames) || names[0] != regionLog || names[1] != regionCursors {
		return c, o, fmt.Errorf("%w: %d descriptors for regions %q", ErrRegion, len(files), names)
	}
	for i, f := range files {
		r, err := checkRegion(f, uid)
		if err != nil {
			return c, o, regionError(names[i], err)
		}
		c.regions = append(c.regions, r)
	}
	if o, err = peekRegion(c.regions[0]); err != nil {
		return c, o, regionError(regionLog, err)
	}
	g, err := o.Geometry()
	if err != nil {
		return c, o, regionError(regionLog, err)
	}
	for i, r := range c.regions {
		want := g.CursorSize()
		if i == 0 {
			want = g.LogSize()
		}
		check := r.Check
		if i == 0 && o.Exclusive {
			check = func(want int64) error { return r.CheckExclusive(want, writer) }
		}
		if err := check(want); err != nil {
			return c, o, regionError(names[i], err)
		}
	}
	if o.Label != topic || o.ID != id {
		return c, o, fmt.Errorf("%w: the log region is of topic %q, ring %#x; want topic %q, ring %#x", ErrRegion, o.Label, o.ID, topic, id)
	}
	return c, o, nil
}

// checkRegion checks one descriptor by itself: a sealed memfd of uid.
func checkRegion(f *os.File, uid int) (*shm.Region, error) {
	who, err := identify(f)
	if err != nil {
		return nil, err
	}
	if uid >= 0 && int(who.uid) != uid {
		return nil, fmt.Errorf("it belongs to uid %d, want %d", who.uid, uid)
	}
	r, err := shm.FromFile(f)
	if err != nil {
		return nil, err
	}
	// Its own size: only the seals are in question yet. Without them the memory
	// could shrink while it is looked at.
	if err := r.Check(r.Size()); err != nil && r.CheckExclusive(r.Size(), true) != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// peekRegion reads the header of a sealed region.
func peekRegion(r *shm.Region) (ring.Options, error) {
	m, err := r.Map(false)
	if err != nil {
		return ring.Options{}, err
	}
	defer m.Unmap()
	return ring.Peek(m.Bytes())
}

func regionError(name string, err error) error {
	switch {
	case errors.Is(err, ring.ErrLayoutVersion):
		return fmt.Errorf("%w: %w", ErrLayout, err)
	case isOutOfDescriptors(err):
		return fmt.Errorf("%w: %s region: %w", ErrNoDescriptors, name, err)
	case errors.Is(err, syscall.ENOMEM):
		return fmt.Errorf("%w: %s region: raise RLIMIT_AS of this process (ulimit -v): %w", ErrNoMemory, name, err)
	}
	return fmt.Errorf("%w: %s: %w", ErrRegion, name, err)
}
