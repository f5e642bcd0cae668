package storm

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/shmbus/shmbus/bus"
)

// churnTopics are how many names churners share.
const churnTopics = 3

// churner makes topics and leaves them again, until it is told to finish. What
// it publishes comes back to it by a subscriber of its own, which it compares.
func (c *child) churner(r Role, rng *rand.Rand) error {
	for turn := uint32(0); !c.finishing(); turn++ {
		topic := fmt.Sprintf("churn-%d", rng.IntN(churnTopics))
		if err := c.churn(r, rng, topic, turn); err != nil {
			return err
		}
		c.report(Report{Kind: reportNote, Participant: r.ID, Text: "turn"})
	}
	return nil
}

// churn is one turn: join a topic, publish, read one's own, leave.
func (c *child) churn(r Role, rng *rand.Rand, topic string, turn uint32) error {
	p, err := c.bus.Publisher(context.Background(), topic, bus.PublisherConfig{Capacity: 4 << 10})
	if passing(err) {
		return nil
	}
	if err != nil {
		return c.violation(r.ID, "churn: Publisher: %v", err)
	}
	defer p.Close()
	s, err := c.bus.Subscriber(context.Background(), topic, bus.SubscriberConfig{NoWait: true, Wait: r.Wait})
	if passing(err) {
		return nil
	}
	if err != nil {
		return c.violation(r.ID, "churn: Subscriber: %v", err)
	}
	defer s.Close()
	e := &echo{id: r.ID<<16 | turn&0xffff, s: s}
	b := make([]byte, 256)
	for n := rng.Uint32N(64); e.sent < n; {
		payload := b[:minPayload+rng.IntN(240)]
		fillPayload(payload, e.id, e.sent)
		switch err := p.TryPublish(payload); {
		case err == nil:
			e.sent++
		case errors.Is(err, bus.ErrBackpressure):
			time.Sleep(100 * time.Microsecond) // others may hold it up, killed or stopped as they are
		case !errors.Is(err, bus.ErrStalled):
			return c.violation(r.ID, "churn: publish: %v", err)
		}
		if err := e.read(); err != nil {
			return c.violation(r.ID, "churn: %v", err)
		}
	}
	for e.seen < e.sent {
		if err := e.read(); err != nil {
			return c.violation(r.ID, "churn: %v", err)
		}
		if e.seen < e.sent {
			ctx, cancel := context.WithTimeout(context.Background(), shortly)
			err := s.Wait(ctx)
			cancel()
			if err != nil && !errors.Is(err, context.DeadlineExceeded) {
				return c.violation(r.ID, "churn: wait: %v", err)
			}
		}
	}
	return nil
}

// An echo is what a churner expects back.
type echo struct {
	id         uint32
	s          *bus.Subscriber
	sent, seen uint32
}

// read reads what is there, of others too.
func (e *echo) read() error {
	_, err := e.s.Poll(func(m bus.Message, last bool) error {
		publisher, index, err := readPayload(m.Payload)
		switch {
		case err != nil:
			return err
		case publisher != e.id:
			return nil
		case index != e.seen:
			return fmt.Errorf("own message %d came back where %d is next", index, e.seen)
		}
		e.seen++
		return nil
	}, 64)
	return err
}
