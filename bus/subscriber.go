package bus

import (
	"context"
	"errors"
	"io"
	"iter"
	"runtime"

	"github.com/shmbus/shmbus/ring"
)

// A Subscriber reads one topic in order. It is used by one goroutine at a
// time, Close excepted. A Subscriber that is collected without Close is closed
// then, but what its last message showed stays mapped for good; until that it
// holds publishers back if it is reliable. It is not collected while one of its
// messages is reachable; the Payload alone does not keep it.
type Subscriber struct {
	c *subscriber
}

// subscriber is what outlives the handle until everything is given back. It
// must not refer to the handle.
type subscriber struct {
	participant
	consumer *ring.Consumer
	config   SubscriberConfig
	clock    ring.Clock
	counter  bool // stamps are values of the processor's counter
	foreign  bool // of one that we may not read: clock makes times of them
	topic    string
	asked    uint32                   // calls that did not look at their context
	end      error                    // what says that nothing more can come; nil if it is not looked for
	drained  bool                     // it was returned
	run      *[ring.MostAhead]Message // Poll: those that come next
	final    SubscriberStats
}

// SubscriberStats are a subscriber's counters. For the messages of a topic
// from the subscriber's start on: given = Delivered + Lost + Aborted + unread.
type SubscriberStats struct {
	Delivered uint64 // messages
	Bytes     uint64 // of payload
	Lost      uint64 // messages overwritten before they could be read
	Aborted   uint64 // claims that their publisher, or the host, gave up
	WakeUps   uint64
	Parks     uint64
	Sequence  uint64 // of the next message
}

// Next returns the next message, waiting for it if need be. The view of the
// message before ends. Errors: ctx's; [ErrClosed]; [ErrDetached]; [ErrCorrupt];
// io.EOF with [SubscriberConfig].UntilDrained, once nothing more can come, and
// [ErrPublisherGone] without it where the topic is exclusive.
//
// A message that is there is returned even if ctx has ended, but ctx is looked
// at in the first call and in one of 64: who never runs out of messages stops
// too.
//
// Cost on top of the ring's: 4 loads, 2 stores; no locked instruction, no
// allocation, no system call.
func (s *Subscriber) Next(ctx context.Context) (m Message, err error) {
	err = s.NextInto(ctx, &m)
	return m, err
}

// NextInto is Next that writes the message where the caller wants it. A Message
// is eight words, and Go copies it from each function to the next: where every
// nanosecond counts, those copies cost as much as the message.
//
// With an error it leaves m as it is; its view has ended.
//
// Calls are made for what is odd only.
func (s *Subscriber) NextInto(ctx context.Context, m *Message) error {
	needContext(ctx)
	c := s.c
	if c.asked++; c.asked%askContext == 1 && ctx.Err() != nil {
		return s.ended(ctx.Err())
	}
	if odd := c.goIn(inside); odd != 0 && !c.open(odd) {
		return s.refused()
	}
	p, h, err := c.consumer.Take()
	if err != nil {
		if p, h, err = c.await(ctx, err); err != nil {
			return s.failed(err)
		}
	}
	m.Payload, m.owner = p, s
	m.Sequence, m.Lost = h.Sequence(), c.consumer.Lost()
	m.Kind, m.Publisher = h.Kind(), h.Publisher()
	m.counter, m.time = c.counter, h.Time()
	if c.foreign {
		m.time = c.clock.Time(m.time)
	}
	if c.goOut(lent) {
		c.exit(lent)
	}
	return nil
}

// Messages returns an iterator over Next. It ends behind the first error,
// which it yields unless it is io.EOF. Breaking out of it loses nothing: the
// next call goes on from there.
//
//	for m, err := range sub.Messages(ctx) {
func (s *Subscriber) Messages(ctx context.Context) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		for {
			m, err := s.Next(ctx)
			if err == io.EOF || !yield(m, err) || err != nil {
				return
			}
		}
	}
}

// Wait blocks until there may be something for Next or Poll: also loss, an
// error, or the end of the topic. The view of the message before ends. Errors:
// ctx's, [ErrClosed].
func (s *Subscriber) Wait(ctx context.Context) error {
	needContext(ctx)
	c := s.c
	if !c.enter(inside) {
		return s.refused()
	}
	defer s.leave() // also when a context panics
	if c.isDrained() {
		return nil
	}
	return translate(c.consumer.Wait(ctx, c.bus.parker))
}

// Topic returns the topic's name.
func (s *Subscriber) Topic() string { return s.c.topic }

// Stats returns the counters, after Close the last ones. The view of the
// message before stays valid.
func (s *Subscriber) Stats() SubscriberStats {
	c := s.c
	c.mu.Lock()
	left := c.left
	final := c.final
	c.mu.Unlock()
	if left {
		return final
	}
	view := c.state.Load() // sync(bus.guard): the owner's own, pairs with out
	open := c.enter(inside)
	if open {
		final = c.stats()
	}
	c.exit(view)
	if !open { // since we looked; whoever was the first to settle has kept them
		c.mu.Lock()
		final = c.final
		c.mu.Unlock()
	}
	runtime.KeepAlive(s)
	return final
}

// Close gives the slot back: publishers no longer wait for this subscriber. A
// blocked call returns ErrClosed. The view of the last message stays mapped
// until the next call, which returns ErrClosed, or until the handle is
// collected, but what it shows may be overwritten from now on. Any goroutine may
// call it at any time, and more than once.
func (s *Subscriber) Close() error {
	err := s.c.close()
	runtime.KeepAlive(s)
	return err
}

// refused goes out of a call on a closed handle; the last view ends.
func (s *Subscriber) refused() error { return s.failed(ErrClosed) }

// ended is a call whose context had ended, with err, before it went in; the
// last view ends all the same.
func (s *Subscriber) ended(err error) error {
	if !s.c.enter(inside) {
		return s.refused()
	}
	return s.failed(err)
}

// failed goes out of a call that returns no view.
func (s *Subscriber) failed(err error) error {
	s.leave()
	return translate(err)
}

// leave goes out of a call; no view is out.
func (s *Subscriber) leave() {
	s.c.exit(idle)
	runtime.KeepAlive(s)
}

// await waits for a record after Next found none, for the reason err.
func (c *subscriber) await(ctx context.Context, err error) ([]byte, ring.Header, error) {
	for err == ring.ErrEmpty {
		if c.isDrained() {
			return nil, ring.Header{}, c.end
		}
		if err = c.consumer.Wait(ctx, c.bus.parker); err != nil {
			break
		}
		var p []byte
		var h ring.Header
		if p, h, err = c.consumer.Take(); err == nil {
			return p, h, nil
		}
	}
	return nil, ring.Header{}, err
}

// isDrained reports that nothing more can come, once and for all.
func (c *subscriber) isDrained() bool {
	if c.end != nil && !c.drained {
		c.drained = c.consumer.Drained()
	}
	return c.drained
}

func (c *subscriber) stats() SubscriberStats {
	i := c.consumer.Stats()
	return SubscriberStats{
		Delivered: i.Delivered, Bytes: i.Bytes, Lost: i.Lost(), Aborted: i.Aborted,
		WakeUps: i.WakeUps, Parks: i.Parks, Sequence: c.consumer.Position().Sequence,
	}
}

// retireNow is the last look at the ring: where we have read to, and the
// counters, for whoever looks at the slot before it is granted again.
func (c *subscriber) retireNow() {
	c.consumer.Release()
	c.run = nil // views of what will be unmapped
	c.final = c.stats()
}

// joinSubscriber gets a slot from the host and makes the subscriber of it.
func (b *Bus) joinSubscriber(ctx context.Context, topic string, cfg SubscriberConfig) (*subscriber, error) {
	g, err := b.client.Subscriber(ctx, cfg.request(topic))
	if err != nil {
		return nil, err
	}
	c := &subscriber{config: cfg, topic: topic, clock: g.Ring.Clock()}
	c.counter, c.foreign = c.clock.Counter(), c.clock.Foreign()
	switch {
	case cfg.UntilDrained:
		c.end = io.EOF
	case g.Ring.Options().Exclusive:
		c.end = ErrPublisherGone
	}
	c.consumer, err = g.Ring.Consumer(g.Slot, g.Gen, g.Attachment, ring.ConsumerOptions{
		Mode: cfg.Mode, Guest: g.Guest, Wait: cfg.Wait, UntilDrained: cfg.UntilDrained, NoRecording: cfg.NoRecording,
	})
	if err != nil {
		return nil, errors.Join(err, g.Release())
	}
	c.participant = participant{
		bus: b, grant: g, maps: cfg.Mode == Reliable,
		interrupt: c.consumer.Interrupt, retire: c.retireNow,
	}
	c.arm(b.strong)
	return c, nil
}
