package storm

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"

	"github.com/shmbus/shmbus/bus"
)

// keeper is the child that is never killed. It makes the topics of a round and
// keeps them, reads all of each, and publishes the marks.
type keeper struct {
	*child
	roles   []Role
	reading sync.WaitGroup
}

func (k *keeper) run(commands <-chan command) error {
	k.report(Report{Kind: reportReady})
	for cmd := range commands {
		var err error
		switch cmd.Do {
		case commandTopics:
			err = k.topics(cmd.Roles)
		case commandMark:
			err = k.mark()
		default:
			k.command(cmd)
		}
		if err != nil {
			return err
		}
	}
	return k.bus.Close()
}

// topics makes a topic for each role and subscribes to it before anybody else
// knows its name.
func (k *keeper) topics(roles []Role) error {
	k.roles = roles
	for i, r := range roles {
		maker, err := k.publisher(r)
		if err != nil {
			return err
		}
		s, err := k.subscribe(r)
		if err != nil {
			return err
		}
		if err := maker.Close(); err != nil {
			return k.violation(r.ID, "close of the maker: %v", err)
		}
		rng := rand.New(rand.NewPCG(k.spec.Seed, uint64(i)))
		attached := make(chan struct{})
		k.reading.Go(func() { _ = k.read(r, rng, s, func() { close(attached) }) }) // it has told what is wrong
		<-attached
	}
	k.report(Report{Kind: reportReady})
	return nil
}

func (k *keeper) publisher(r Role) (*bus.Publisher, error) {
	for {
		p, err := k.bus.Publisher(context.Background(), r.Topic, bus.PublisherConfig{Capacity: r.Capacity})
		if err == nil {
			return p, nil
		}
		if !passing(err) {
			return nil, k.violation(r.ID, "keeper: Publisher: %v", err)
		}
	}
}

func (k *keeper) subscribe(r Role) (*bus.Subscriber, error) {
	for {
		s, err := k.bus.Subscriber(context.Background(), r.Topic, r.subscriberConfig())
		if err == nil {
			return s, nil
		}
		if !passing(err) {
			return nil, k.violation(r.ID, "keeper: Subscriber: %v", err)
		}
	}
}

// mark publishes the mark into each topic and waits until all are read.
func (k *keeper) mark() error {
	b := make([]byte, minPayload)
	fillPayload(b, marker, 0)
	for _, r := range k.roles {
		p, err := k.publisher(r)
		if err != nil {
			return err
		}
		for {
			if err = p.Publish(context.Background(), b); !errors.Is(err, bus.ErrStalled) {
				break
			}
		}
		if err != nil {
			return k.violation(r.ID, "keeper: publish the mark: %v", err)
		}
		if err := p.Close(); err != nil {
			return k.violation(r.ID, "keeper: close of the marker: %v", err)
		}
	}
	k.reading.Wait()
	k.report(Report{Kind: reportReady})
	return nil
}
