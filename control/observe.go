package control

import (
	"context"
	"errors"
	"fmt"

	"github.com/shmbus/shmbus/ring"
)

// Observation is a read-only look at a topic: no slot, no cursor, nobody waits
// for it. It goes on for as long as it is not closed, also when the topic ends.
type Observation struct {
	Topic string
	Info  TopicInfo // when it was made
	Ring  *ring.Ring

	client     *Client
	attachment *attachment
}

// Close drops the mapping, if nobody else of this client observes the topic. Not
// concurrently with itself; a second one does nothing.
func (o *Observation) Close() {
	if o.attachment != nil {
		o.client.unref(o.attachment)
		o.attachment = nil
	}
}

// Observe observes every topic, by name. Those that end meanwhile are left out.
//
// Errors: ErrNoDescriptors, ErrHostStalled, ErrClosed, ctx's.
func (c *Client) Observe(ctx context.Context) ([]*Observation, error) {
	topics, err := c.Topics(ctx)
	if err != nil {
		return nil, err
	}
	var all []*Observation
	for _, t := range topics {
		o, err := c.ObserveTopic(ctx, t.Name)
		if errors.Is(err, ErrNoTopic) {
			continue
		}
		if err != nil {
			for _, o := range all {
				o.Close()
			}
			return nil, err
		}
		all = append(all, o)
	}
	return all, nil
}

// ObserveTopic observes one topic. The caller closes it.
//
// Errors: ErrNoTopic, and those of Observe.
func (c *Client) ObserveTopic(ctx context.Context, topic string) (*Observation, error) {
	if err := ValidName("topic", topic); err != nil {
		return nil, err
	}
	a, err := c.request(ctx, func(id uint64) any { return topicRequest{NewHeader(typeObserve, id), topic} })
	if err != nil {
		return nil, err
	}
	var m observedMessage
	if err := a.decode(&m); err != nil || a.kind != typeObserved {
		CloseFiles(a.files)
		return nil, fmt.Errorf("%w: %s in place of observed: %w", ErrMalformed, a.kind, err)
	}
	mapped, _, err := c.attach(topic, attachmentKey{ring: m.Ring}, m.Regions, a.files)
	if err != nil {
		return nil, err
	}
	return &Observation{Topic: topic, Info: m.Info, Ring: mapped.ring, client: c, attachment: mapped}, nil
}
