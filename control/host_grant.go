package control

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/shmbus/shmbus/ring"
	"github.com/shmbus/shmbus/shm"
)

// granted is a slot that a request has got.
type granted struct {
	holder     *holder
	attachment ring.Attachment
	created    bool
}

// waiter is a subscriber of a topic that is not there.
type waiter struct {
	session *session
	ctx     context.Context
	request *subscribeRequest
	result  chan waitResult // buffered
}

type waitResult struct {
	granted *granted
	err     error
	again   bool // the topic is there; ask as if it always had been
}

// errTopicGone: the topic was removed between two looks at it; look again.
var errTopicGone = errors.New("control: the topic has just gone")

// replyGrant turns a granted slot into a message with descriptors. The slot keeps
// them open: it is not dropped before its connection ends.
func replyGrant(head Header) func(*granted, error) (reply, error) {
	return func(g *granted, err error) (reply, error) {
		if err != nil {
			return reply{}, err
		}
		files, names := g.holder.topic.regions.files(g.holder.role)
		return reply{files: files, message: grantMessage{
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
		t := h.topics[m.Topic]
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
		Subscribers: m.Subscribers, Fenced: h.config.Fenced, Label: m.Topic}
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
	for {
		h.mu.Lock()
		waiting := h.waiters[t.name]
		delete(h.waiters, t.name)
		if len(waiting) == 0 {
			t.live = true
			close(t.ready)
			h.mu.Unlock()
			return nil
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
	last := t.refs == 0 && (t.removed || !h.config.Keep)
	if last && h.topics[t.name] == t {
		delete(h.topics, t.name)
	}
	h.mu.Unlock()
	if last {
		t.regions.close()
	}
}

// memory is what all topics have now. mu is held.
func (h *host) memory() uint64 {
	n := int64(0)
	for _, t := range h.topics {
		n += t.bytes
	}
	return uint64(n)
}

// reserve checks that a new topic fits: into the host's own limit, and into what
// the machine and the cgroup have.
func (h *host) reserve(name string, n uint64) error {
	available, limit, err := AvailableMemory()
	h.mu.Lock()
	defer h.mu.Unlock()
	used := h.memory() + h.reserved
	free := h.maxMemory - min(h.maxMemory, used)
	if n > free {
		return fmt.Errorf("%w: topic %q needs %d bytes, %d are available (limit: the host's maximum of %d, of which %d are used)",
			ErrNoMemory, name, n, free, h.maxMemory, used)
	}
	if err == nil && n+h.reserved > available {
		return fmt.Errorf("%w: topic %q needs %d bytes, %d are available (limit: %s)",
			ErrNoMemory, name, n, available-min(available, h.reserved), limit)
	}
	h.reserved += n
	return nil
}

// unreserve counts what the topic has in place of what was reserved.
func (h *host) unreserve(n uint64, t *topic) {
	log, all := int64(0), int64(0)
	if t.regions.log.rw != nil {
		log, all = t.measure()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reserved -= n
	t.logBytes, t.bytes = log, all
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
	const block = 4096
	if used := h.memory() + h.reserved; used+block > h.maxMemory {
		h.mu.Unlock()
		return nil, fmt.Errorf("%w: a slot needs %d bytes, %d are available (limit: the host's maximum of %d)",
			ErrNoMemory, block, h.maxMemory-min(h.maxMemory, used), h.maxMemory)
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
// request ended meanwhile.
func (h *host) settleSlot(ctx context.Context, s *session, d *holder) error {
	h.mu.Lock()
	err := ctx.Err()
	if err == nil && s.ended {
		err = ErrClosed
	}
	if err == nil {
		d.state = holderLive
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
	err := d.removeSlot()
	h.mu.Lock()
	if taken, _ := d.topic.table(d.role); err == nil {
		delete(taken, d.slot)
	} else {
		// The ring cannot be walked. The slot is used no more, its name may be.
		d.name = ""
	}
	h.mu.Unlock()
	if err != nil {
		h.log.Error("repair", "topic", d.topic.name, "slot", d.slot, "error", err)
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

// subscribe grants a subscriber slot, waiting for the topic if it has to.
func (h *host) subscribe(ctx context.Context, s *session, m *subscribeRequest) (*granted, error) {
	mode, err := parseMode(m.Mode)
	switch {
	case err != nil:
		return nil, err
	case s.guest && mode != ring.Lossy:
		return nil, fmt.Errorf("%w: subscribe reliably", ErrGuest)
	case s.observer:
		return nil, fmt.Errorf("%w: subscribe as an observer", ErrPermission)
	case !s.guest && s.member == 0 && mode != ring.Lossy:
		return nil, fmt.Errorf("%w: a reliable subscription needs a member id", ErrPermission)
	}
	for {
		t, w, err := h.topicToSubscribe(ctx, s, m)
		if err != nil {
			return nil, err
		}
		if w != nil {
			if res := h.awaitTopic(ctx, w); !res.again {
				return res.granted, res.err
			}
			continue
		}
		g, err := h.subscribeLive(ctx, s, t, m)
		h.unref(t)
		if !errors.Is(err, errTopicGone) {
			return g, err
		}
	}
}

// topicToSubscribe returns a live topic with a reference, or the waiter that it
// has put in line for one.
func (h *host) topicToSubscribe(ctx context.Context, s *session, m *subscribeRequest) (*topic, *waiter, error) {
	for {
		h.mu.Lock()
		t := h.topics[m.Topic]
		switch {
		case t != nil && t.live:
			t.refs++
			h.mu.Unlock()
			return t, nil, nil
		case !m.NoWait:
			w := &waiter{session: s, ctx: ctx, request: m, result: make(chan waitResult, 1)}
			h.waiters[m.Topic] = append(h.waiters[m.Topic], w)
			h.mu.Unlock()
			err := s.send(waitingMessage{NewHeader(typeWaiting, m.ID), waitTopic,
				fmt.Sprintf("topic %q has no publisher yet", m.Topic)})
			if err != nil {
				return nil, w, nil // the session's end cancels it
			}
			return nil, w, nil
		}
		here := h.serving && s.ready
		h.mu.Unlock()
		switch {
		case t != nil:
			if err := t.await(ctx); err != nil && ctx.Err() != nil {
				return nil, nil, err
			}
		case here:
			return nil, nil, fmt.Errorf("%w: %q", ErrNoTopic, m.Topic)
		default:
			if err := h.await(ctx, s); err != nil {
				return nil, nil, err
			}
		}
	}
}

func (h *host) subscribeLive(ctx context.Context, s *session, t *topic, m *subscribeRequest) (*granted, error) {
	if err := h.await(ctx, s); err != nil {
		return nil, err
	}
	return h.grantSubscriber(ctx, s, t, m, false)
}

// awaitTopic waits in line. If the request ends while the slot is being given,
// the slot is taken back.
func (h *host) awaitTopic(ctx context.Context, w *waiter) waitResult {
	select {
	case res := <-w.result:
		return res
	case <-ctx.Done():
	}
	h.mu.Lock()
	line := h.waiters[w.request.Topic]
	for i, other := range line {
		if other == w {
			line = append(line[:i:i], line[i+1:]...)
			if h.waiters[w.request.Topic] = line; len(line) == 0 {
				delete(h.waiters, w.request.Topic)
			}
			h.mu.Unlock()
			return waitResult{err: ctx.Err()}
		}
	}
	h.mu.Unlock()
	res := <-w.result // out of the line: an answer is on its way
	if res.granted != nil && h.withdraw(res.granted.holder) {
		h.drop(res.granted.holder)
	}
	return waitResult{err: ctx.Err()}
}

// withdraw makes a live slot leaving; false if it is not live any more.
func (h *host) withdraw(d *holder) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if d.state != holderLive {
		return false
	}
	d.state = holderLeaving
	return true
}

// grantSubscriber attaches a subscriber. fresh: the topic has no messages yet, so
// every start is its beginning.
func (h *host) grantSubscriber(ctx context.Context, s *session, t *topic, m *subscribeRequest, fresh bool) (*granted, error) {
	if err := t.acceptsSchema(m.Schema); err != nil {
		return nil, err
	}
	if err := s.fits(t); err != nil {
		return nil, err
	}
	mode, _ := parseMode(m.Mode)
	start, _ := m.Start.parse()
	if fresh {
		start = ring.Start{}
	}
	role := roleSubscriber
	if s.guest {
		role = roleGuest
	}
	d, err := h.takeSlot(s, t, role, m.Name)
	if err != nil {
		return nil, err
	}
	a, err := h.attach(ctx, s, m.ID, d, ring.SubscriberSpec{Slot: d.slot, Gen: d.generation, Member: d.member,
		Name: d.name, Mode: mode, MaxLag: m.MaxLag, Guest: s.guest, Start: start})
	if err != nil {
		h.drop(d)
		return nil, err
	}
	if err := h.settleSlot(ctx, s, d); err != nil {
		return nil, err
	}
	return &granted{holder: d, attachment: a}, nil
}

// attach enters the ring's lock. Whoever is stopped inside is waited for as long
// as the client likes, and named to it.
func (h *host) attach(ctx context.Context, s *session, id uint64, d *holder, spec ring.SubscriberSpec) (ring.Attachment, error) {
	for {
		try, cancel := context.WithTimeout(ctx, stalledNotice)
		a, err := d.topic.host.AddSubscriber(try, spec)
		cancel()
		stalled := ""
		if errors.Is(err, ring.ErrStalled) {
			stalled = err.Error()
		}
		h.mu.Lock()
		d.topic.stalled = stalled
		h.mu.Unlock()
		if stalled == "" || ctx.Err() != nil {
			return a, err
		}
		if err := s.send(waitingMessage{NewHeader(typeWaiting, id), waitStalled, stalled}); err != nil {
			return a, err
		}
	}
}
