package control

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/shmbus/shmbus/ring"
	"github.com/shmbus/shmbus/shm"
)

// granted is a slot that a request has got, and a look at its topic: that keeps the
// descriptors open, and the topic no longer there than its slots do.
type granted struct {
	holder     *holder
	attachment ring.Attachment
	created    bool
}

// errTopicGone: the topic was removed between two looks at it; look again.
var errTopicGone = errors.New("control: the topic has just gone")

// replyGrant turns a granted slot into a message with descriptors. They stay open
// until it is sent, by the look of granted, which is the reply's then.
func replyGrant(head Header) func(*granted, error) (reply, error) {
	return func(g *granted, err error) (reply, error) {
		if err != nil {
			return reply{}, err
		}
		files, names := g.holder.topic.regions.files(g.holder.role)
		return reply{files: files, look: g.holder.topic, message: grantMessage{
			Header: NewHeader(typeGrant, head.ID), slotID: g.holder.id(),
			Position: g.attachment.Position, Sequence: g.attachment.Sequence,
			Created: g.created, Regions: names,
		}}, nil
	}
}

// publish grants a publisher slot and makes the topic if there is none.
func (h *host) publish(ctx context.Context, s *session, m *publishRequest) (*granted, error) {
	switch {
	case s.guest:
		return nil, fmt.Errorf("%w: publish", ErrGuest)
	case s.observer || s.member == 0:
		return nil, fmt.Errorf("%w: publish needs a member id", ErrPermission)
	}
	if err := h.await(ctx, s); err != nil {
		return nil, err
	}
	for {
		t, created, err := h.topicToPublish(ctx, m)
		if err != nil {
			return nil, err
		}
		g, err := h.grantPublisher(ctx, s, t, m)
		if err != nil && created {
			h.abandonTopic(t, err) // an exclusive one; others are live
		}
		h.unref(t)
		if errors.Is(err, errTopicGone) {
			continue
		}
		if err == nil {
			g.created = created
		}
		return g, err
	}
}

// topicToPublish finds or makes a topic and returns it live, with a reference.
func (h *host) topicToPublish(ctx context.Context, m *publishRequest) (t *topic, created bool, err error) {
	for {
		h.mu.Lock()
		if err := h.keptAside(m.Topic); err != nil {
			h.mu.Unlock()
			return nil, false, err
		}
		t := h.topics[m.Topic]
		if t == nil && !h.making {
			h.mu.Unlock()
			select {
			case <-h.whole:
				continue
			case <-ctx.Done():
				return nil, false, ctx.Err()
			}
		}
		if t == nil {
			if len(h.topics) >= h.config.MaxTopics {
				h.mu.Unlock()
				return nil, false, fmt.Errorf("%w: the limit is %d", ErrTooManyTopics, h.config.MaxTopics)
			}
			t = newTopic(m.Topic)
			t.refs = 1
			h.topics[m.Topic] = t
			h.mu.Unlock()
			return t, true, h.makeTopic(t, m)
		}
		t.refs++
		h.mu.Unlock()
		if err := t.await(ctx); err != nil {
			h.unref(t)
			if ctx.Err() != nil {
				return nil, false, err
			}
			continue // whoever made it failed, for reasons of its own
		}
		if err := t.accepts(m); err != nil {
			h.unref(t)
			return nil, false, err
		}
		return t, false, nil
	}
}

// await waits until the topic is live, or has failed.
func (t *topic) await(ctx context.Context) error {
	select {
	case <-t.ready:
		return t.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// makeTopic makes the ring of a topic that this goroutine has put into the map,
// and attaches those who wait for it before anybody may publish. On failure the
// topic is gone and the reference too.
func (h *host) makeTopic(t *topic, m *publishRequest) error {
	o := ring.Options{Capacity: m.Capacity, Schema: m.Schema, Publishers: m.Publishers,
		Subscribers: m.Subscribers, Fenced: h.config.Fenced, Exclusive: m.Exclusive, Counter: shm.TSCUsable(), Label: m.Topic}
	if o.Capacity == 0 {
		o.Capacity = DefaultCapacity
	}
	guests := h.dir.Group() != nil
	g, err := o.Geometry()
	if err == nil {
		err = h.reserve(t.name, need(g, guests))
	}
	if err == nil {
		err = t.make(o, guests)
		h.unreserve(need(g, guests), t)
	}
	if err != nil {
		h.failTopic(t, explainMake(err))
		return t.err
	}
	if o.Exclusive {
		h.mu.Lock()
		t.unsealed = true
		h.mu.Unlock()
		return nil
	}
	h.goLive(t, nil)
	return nil
}

// goLive attaches those who wait for a topic, and lets everybody else in, unless
// the topic has been abandoned, or its publisher, if it is exclusive, is unwanted.
func (h *host) goLive(t *topic, publisher *holder) {
	h.storeTopic(t)
	for {
		h.mu.Lock()
		if t.removed || publisher != nil && publisher.unwanted {
			h.mu.Unlock()
			return
		}
		waiting := h.waiters[t.name]
		delete(h.waiters, t.name)
		h.busy += len(waiting)
		if len(waiting) == 0 {
			t.live = true
			close(t.ready)
			h.mu.Unlock()
			return
		}
		h.mu.Unlock()
		for _, w := range waiting {
			g, err := h.grantSubscriber(w.ctx, w.session, t, w.request, true)
			w.result <- waitResult{granted: g, err: err}
		}
	}
}

// explainMake gives errors of the kernel the name that the client knows.
func explainMake(err error) error {
	switch {
	case isOutOfDescriptors(err):
		return fmt.Errorf("%w: the host (pid %d) has none left for a topic; raise its RLIMIT_NOFILE: %w", ErrNoDescriptors, os.Getpid(), err)
	case errors.Is(err, shm.ErrNoMemory):
		return fmt.Errorf("%w: %w", ErrNoMemory, err)
	}
	return err
}

// failTopic takes a topic that could not be made out of the map.
func (h *host) failTopic(t *topic, err error) {
	h.mu.Lock()
	delete(h.topics, t.name)
	t.err = err
	t.removed = true
	close(t.ready)
	h.mu.Unlock()
	h.unref(t)
}

// unref gives up a reference; the last one ends the topic, unless it is kept.
func (h *host) unref(t *topic) {
	h.mu.Lock()
	t.refs--
	gone := h.gone(t)
	if gone && h.topics[t.name] == t {
		delete(h.topics, t.name)
	}
	last := gone && t.looks == 0
	h.mu.Unlock()
	if gone {
		h.unstoreTopic(t)
	}
	if last {
		t.regions.close()
	}
}

// gone: nobody refers to the topic any more, and it is not kept. mu is held.
func (h *host) gone(t *topic) bool { return t.refs == 0 && (t.removed || !h.config.Keep) }

// look returns all live topics, for the host to look into their rings. That is no
// reference: however long a look takes, who gives up the last slot of a topic finds
// it gone. Only its memory stays mapped, until looked.
func (h *host) look() []*topic {
	var topics []*topic
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, t := range h.topics {
		if t.live {
			t.looks++
			topics = append(topics, t)
		}
	}
	return topics
}

// looked ends the look at one of them.
func (h *host) looked(t *topic) {
	h.mu.Lock()
	t.looks--
	last := t.looks == 0 && h.gone(t)
	h.mu.Unlock()
	if last {
		t.regions.close()
	}
}

// takeSlot reserves a slot and gets the memory of its block.
func (h *host) takeSlot(s *session, t *topic, role, name string) (*holder, error) {
	h.mu.Lock()
	if t.removed || s.ended {
		h.mu.Unlock()
		if t.removed {
			return nil, errTopicGone
		}
		return nil, ErrClosed
	}
	if err := t.sound(); err != nil {
		h.mu.Unlock()
		return nil, err
	}
	if err := h.roomForBlock(); err != nil {
		h.mu.Unlock()
		return nil, err
	}
	d, err := t.take(role, name, s)
	h.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if err := t.allocateBlock(role, d.slot); err != nil {
		h.drop(d)
		return nil, explainMake(err)
	}
	log, all := t.measure()
	h.mu.Lock()
	t.logBytes, t.bytes = log, all
	h.mu.Unlock()
	return d, nil
}

// settleSlot makes a slot that the ring knows live, unless its session or the
// request ended meanwhile, and begins the look of granted.
func (h *host) settleSlot(ctx context.Context, s *session, d *holder) error {
	h.mu.Lock()
	err := ctx.Err()
	if err == nil && s.ended {
		err = ErrClosed
	}
	if err == nil {
		d.state = holderLive
		d.topic.looks++
	}
	h.mu.Unlock()
	if err != nil {
		h.drop(d)
	}
	return err
}

// drop removes a slot from the ring and frees it. The caller has it to itself:
// it is granting, or the caller made it leaving.
func (h *host) drop(d *holder) {
	if err := d.removeSlot(); err != nil {
		// The ring cannot be walked: no slot of it is granted again.
		h.log.Error("repair", "topic", d.topic.name, "slot", d.slot, "error", err)
		h.quarantine(d.topic, err)
	}
	h.mu.Lock()
	taken, _ := d.topic.table(d.role)
	delete(taken, d.slot)
	h.mu.Unlock()
	if d.role == rolePublisher && d.topic.options.Exclusive {
		h.abandonTopic(d.topic, errNeverLive)
	}
	h.unref(d.topic)
}

func (h *host) grantPublisher(ctx context.Context, s *session, t *topic, m *publishRequest) (*granted, error) {
	if err := s.fits(t); err != nil {
		return nil, err
	}
	d, err := h.takeSlot(s, t, rolePublisher, m.Name)
	if err != nil {
		return nil, err
	}
	if err := t.host.AddPublisher(d.slot, d.generation, d.member, d.name); err != nil {
		h.drop(d)
		return nil, err
	}
	if err := h.settleSlot(ctx, s, d); err != nil {
		return nil, err
	}
	return &granted{holder: d}, nil
}

// fits refuses a process without membarrier on a ring that needs it.
func (s *session) fits(t *topic) error {
	if t.options.Fenced || s.membarrier {
		return nil
	}
	return fmt.Errorf("%w here, but topic %q relies on it; host the bus with `shmbus serve --fenced`", shm.ErrNoMembarrier, t.name)
}
