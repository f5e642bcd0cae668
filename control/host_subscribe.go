package control

import (
	"context"
	"errors"
	"fmt"

	"github.com/shmbus/shmbus/ring"
)

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

// subscribe grants a subscriber slot, waiting for the topic if it has to.
func (h *host) subscribe(ctx context.Context, s *session, m *subscribeRequest) (*granted, error) {
	defer m.placed()
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
		if err := h.keptAside(m.Topic); err != nil {
			h.mu.Unlock()
			return nil, nil, err
		}
		switch {
		case t != nil && t.live:
			t.refs++
			h.mu.Unlock()
			return t, nil, nil
		case !m.NoWait:
			w := &waiter{session: s, ctx: ctx, request: m, result: make(chan waitResult, 1)}
			h.waiters[m.Topic] = append(h.waiters[m.Topic], w)
			h.busy--
			h.mu.Unlock()
			m.placed()
			err := s.send(waitingMessage{NewHeader(typeWaiting, m.ID), waitTopic,
				fmt.Sprintf("topic %q has no publisher yet", m.Topic)})
			if err != nil {
				return nil, w, nil // the session's end cancels it
			}
			return nil, w, nil
		}
		// A topic that is not there may be one whose participants, alive but
		// starved, have not come back to a new host.
		here := h.making && s.ready
		h.mu.Unlock()
		m.placed()
		switch {
		case t != nil:
			if err := t.await(ctx); err != nil && ctx.Err() != nil {
				return nil, nil, err
			}
		case here:
			return nil, nil, fmt.Errorf("%w: %q", ErrNoTopic, m.Topic)
		default:
			if err := h.awaitWhole(ctx, s); err != nil {
				return nil, nil, err
			}
		}
	}
}

func (h *host) subscribeLive(ctx context.Context, s *session, t *topic, m *subscribeRequest) (*granted, error) {
	m.placed()
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
			h.busy++
			h.mu.Unlock()
			return waitResult{err: ctx.Err()}
		}
	}
	h.mu.Unlock()
	res := <-w.result // out of the line: an answer is on its way
	if res.granted != nil {
		if h.withdraw(res.granted.holder) {
			h.drop(res.granted.holder)
		}
		h.looked(res.granted.holder.topic)
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
			stalled = h.nameStalled(d.topic, err)
		}
		h.mu.Lock()
		d.topic.stalled = stalled
		h.mu.Unlock()
		if stalled == "" || ctx.Err() != nil {
			h.quarantine(d.topic, err)
			return a, err
		}
		if err := s.send(waitingMessage{NewHeader(typeWaiting, id), waitStalled, stalled}); err != nil {
			return a, err
		}
	}
}
