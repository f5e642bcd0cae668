package control

import (
	"context"
	"errors"
	"fmt"

	"github.com/shmbus/shmbus/ring"
)

// Exclusive topics: one publisher for life, and nobody else can ever map the log
// region for writing, root included, nor this host. The seals that say so can be
// added only behind the publisher's mapping, so such a topic is made in two steps:
//
//	publish ──▶ make, seal the sizes, grant ──▶ publisher maps and seals ──▶ mapped ──▶ live
//	            (the host writes the log now,                                 (the host maps it
//	            and never again)                                              anew, read-only)
//
// Subscribers are attached, and others may look, once it is live; the publisher
// publishes once mapped is answered. If the publisher goes before that, the topic
// was never there. If the host dies, the publisher offers a log that is sealed, and
// the next host has the same right to it as the last one: to read. All that hosts
// write is in the cursor region, see ring/exclusive.go.

// mapped makes an exclusive topic live at the word of its publisher.
func (h *host) mapped(s *session, id slotID) error {
	h.mu.Lock()
	t := h.topics[id.Topic]
	var d *holder
	if t != nil && (t.live || t.unsealed) {
		d = t.find(id)
	}
	switch {
	case d == nil || d.session != s || d.state != holderLive && !t.live || d.role != rolePublisher || !t.options.Exclusive:
		h.mu.Unlock()
		return fmt.Errorf("%w: %s slot %d of topic %q, generation %d, is not of an exclusive topic of yours", ErrOrphaned, id.Role, id.Slot, id.Topic, id.Generation)
	case t.live:
		h.mu.Unlock()
		return nil
	}
	t.unsealed = false
	t.refs++
	d.state = holderMapping
	h.mu.Unlock()
	err := t.closeLog()
	if err == nil {
		h.goLive(t, d)
	} else {
		h.abandonTopic(t, err)
	}
	if !h.settleMapped(d, err != nil) && err == nil {
		err = fmt.Errorf("%w: %s of topic %q was given up meanwhile", ErrOrphaned, d, id.Topic)
	}
	h.unref(t)
	return err
}

// settleMapped ends the state in which nobody but mapped may drop a publisher, and
// drops it if that failed or somebody would have meanwhile. It reports whether the
// publisher is still there.
func (h *host) settleMapped(d *holder, failed bool) bool {
	h.mu.Lock()
	switch {
	case failed || d.unwanted:
		d.depart()
		d.state = holderLeaving
	case d.session.ended:
		d.state = holderAway
	default:
		d.state = holderLive
	}
	there := d.state != holderLeaving
	h.mu.Unlock()
	if !there {
		h.drop(d)
	}
	return there
}

// closeLog gives up the host's right to write the log, with everybody else's. If
// that fails the ring is as it was, for the publisher's slot to be removed from it.
func (t *topic) closeLog() error {
	r := &t.regions
	if err := r.log.rw.SealWrites(); err != nil {
		return err
	}
	mapping, err := r.log.rw.Map(false)
	if err != nil {
		return err
	}
	again, err := ring.Open(mapping.Bytes(), r.cursors.bytes(), r.guests.bytes())
	if err != nil {
		mapping.Unmap()
		return err
	}
	host := again.Host(0)
	if _, err := host.TakeOver(); err != nil {
		mapping.Unmap()
		return err
	}
	r.log.mapping.Unmap()
	r.log.mapping, t.ring, t.host = mapping, again, host
	return nil
}

// abandonTopic takes an exclusive topic that is not live out of the map. Whoever
// holds a reference gives it up.
func (h *host) abandonTopic(t *topic, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if t.live || t.removed {
		return
	}
	if h.topics[t.name] == t {
		delete(h.topics, t.name)
	}
	t.err = err
	t.removed = true
	t.unsealed = false
	close(t.ready)
}

// errNeverLive: the publisher of an exclusive topic went before it had mapped it.
var errNeverLive = errors.New("control: the publisher of the exclusive topic has gone before it began")

// acceptsExclusive refuses a publisher where there is, or was, the one there can be.
func (t *topic) acceptsExclusive(m *publishRequest) error {
	switch {
	case t.options.Exclusive && t.ring.Ended():
		return fmt.Errorf("%w: the one publisher of topic %q has gone; remove the topic (shmbus rm) to make it anew", ErrExclusive, t.name)
	case t.options.Exclusive:
		return fmt.Errorf("%w: topic %q has its one publisher", ErrExclusive, t.name)
	case m.Exclusive:
		return fmt.Errorf("%w: topic %q is there and not exclusive", ErrOptions, t.name)
	}
	return nil
}

// confirm tells the host that an exclusive topic's log is mapped. From its answer on
// subscribers are there.
func (c *Client) confirm(ctx context.Context, g *Grant) error {
	_, err := c.request(ctx, func(id uint64) any { return mappedRequest{NewHeader(typeMapped, id), g.id} })
	if err != nil {
		return errors.Join(fmt.Errorf("make topic %q exclusive: %w", g.Topic, err), g.Release())
	}
	return nil
}
