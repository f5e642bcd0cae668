//go:build linux

package bench

import (
	"context"
	"fmt"
	"strings"

	"github.com/shmbus/shmbus/bus"
	"github.com/shmbus/shmbus/ring"
)

// What users call is package bus, and that is what the shmbus rows measure.

const (
	topicThere = "there"
	topicBack  = "back"
)

// stageBus hosts a bus in the harness, so that no actor has the host's work.
func stageBus(s *stage) error {
	b, err := bus.Open(context.Background(), bus.Config{Name: "bench", Dir: s.dir, Fenced: s.cell.Mechanism == "shmbus-fenced"})
	if err != nil {
		return err
	}
	s.keep = append(s.keep, func() { b.Close() })
	return nil
}

// attachBus joins the bus for good: the process ends without leaving it.
func attachBus(a *actor) (outlet, inlet, error) {
	b, err := bus.Open(context.Background(), bus.Config{Name: "bench", Dir: a.Dir, NeverHost: true})
	if err != nil {
		return nil, nil, err
	}
	// The publisher makes a topic and then waits for the other; the subscriber
	// waits for that topic and then makes the other.
	if a.Actor < a.Cell.Publishers {
		out, err := a.busOutlet(b, topicThere)
		if err != nil || a.Cell.Pattern != RTT {
			return out, nil, err
		}
		in, err := a.busInlet(b, topicBack)
		return out, in, err
	}
	in, err := a.busInlet(b, topicThere)
	if err != nil || a.Cell.Pattern != RTT {
		return nil, in, err
	}
	out, err := a.busOutlet(b, topicBack)
	return out, in, err
}

func (a *actor) busOutlet(b *bus.Bus, topic string) (outlet, error) {
	p, err := b.Publisher(context.Background(), topic, bus.PublisherConfig{Name: fmt.Sprint("publisher", a.Actor), NoStamps: !a.Cell.Stamps, Capacity: a.Cell.capacity()})
	if err != nil {
		return nil, err
	}
	switch a.Cell.Mechanism {
	case "shmbus-batch", "shmbus-batch-unrecorded":
		a.writer.makeBatch()
		return &busBatchOutlet{p: p}, nil
	case "shmbus-claim":
		return &busClaimOutlet{p: p}, nil
	}
	return &busOutlet{p: p}, nil
}

// waitStrategies are the ways to wait by their names in a cell.
var waitStrategies = map[string]ring.WaitStrategy{"spin": ring.Spin, "park": ring.Park, "adaptive": ring.Adaptive}

func (a *actor) busInlet(b *bus.Bus, topic string) (inlet, error) {
	fan := &busFanInlet{}
	for i := range a.Cell.Subscribers {
		s, err := b.Subscriber(context.Background(), topic, bus.SubscriberConfig{Name: fmt.Sprint("subscriber", i), NoRecording: strings.HasSuffix(a.Cell.Mechanism, "-unrecorded"), Wait: waitStrategies[a.Cell.Wait]})
		if err != nil {
			return nil, err
		}
		if a.Cell.Subscribers == 1 && a.Cell.Mode != Poll {
			return &busInlet{s: s}, nil
		}
		fan.add(s, a.newChecker())
	}
	return fan, nil
}

// busOutlet publishes message by message.
type busOutlet struct{ p *bus.Publisher }

func (o *busOutlet) send(w *writer, n int) error {
	ctx := context.Background()
	for range n {
		if err := o.p.Publish(ctx, w.next()); err != nil {
			return err
		}
	}
	return nil
}

// busBatchOutlet publishes batches.
type busBatchOutlet struct{ p *bus.Publisher }

func (o *busBatchOutlet) send(w *writer, n int) error {
	for n > 0 {
		messages := w.nextBatch(n)
		if _, err := o.p.PublishBatch(context.Background(), messages); err != nil {
			return err
		}
		n -= len(messages)
	}
	return nil
}

// busClaimOutlet copies the payload into the ring itself.
type busClaimOutlet struct{ p *bus.Publisher }

func (o *busClaimOutlet) send(w *writer, n int) error {
	ctx := context.Background()
	for range n {
		p := w.next()
		c, err := o.p.Claim(ctx, len(p))
		if err != nil {
			return err
		}
		c.CopyIn(p)
		if err := c.Commit(); err != nil {
			return err
		}
	}
	return nil
}

// busInlet reads with NextInto.
type busInlet struct{ s *bus.Subscriber }

func (in *busInlet) receive(k *checker, n int) error {
	ctx := context.Background()
	var m bus.Message
	for range n {
		if err := in.s.NextInto(ctx, &m); err != nil {
			return err
		}
		if !k.next(m.Payload) {
			k.take(m.Payload)
		}
	}
	return nil
}

// busFanInlet reads for several subscribers in one goroutine, with Poll, in
// turn.
type busFanInlet struct {
	fan
	subscribers []*bus.Subscriber
	takes       []func(bus.Message, bool) error
}

func (in *busFanInlet) add(s *bus.Subscriber, k *checker) {
	in.checkers = append(in.checkers, k)
	in.subscribers = append(in.subscribers, s)
	in.takes = append(in.takes, func(m bus.Message, _ bool) error {
		if !k.next(m.Payload) {
			k.take(m.Payload)
		}
		return nil
	})
}

func (in *busFanInlet) receive(k *checker, n int) error {
	return in.all(k, n,
		func(i, max int) (int, error) { return in.subscribers[i].Poll(in.takes[i], max) },
		func(i int) error { return in.subscribers[i].Wait(context.Background()) })
}

// fan are several subscribers in one goroutine.
type fan struct{ checkers []*checker }

// settle ends the warm-up.
func (f *fan) settle() {
	for _, k := range f.checkers {
		k.settle()
	}
}

// pollAtMost keeps one subscriber from having it all before the next one has
// any: the lines it brought into the cache serve the others too.
const pollAtMost = 256

// all lets each read n messages, in turn, and adds their sums up in k. poll
// reads what is there for number i, at most max. wait waits for number i: what
// one is given the others are given too.
func (f *fan) all(k *checker, n int, poll func(i, max int) (int, error), wait func(i int) error) error {
	left := make([]int, len(f.checkers))
	for i := range left {
		left[i] = n
	}
	for busy := true; busy; {
		busy = false
		idle, last := true, 0
		for i := range left {
			if left[i] == 0 {
				continue
			}
			done, err := poll(i, min(left[i], pollAtMost))
			if err != nil {
				return err
			}
			left[i] -= done
			if left[i] > 0 {
				busy, last = true, i
			}
			idle = idle && done == 0
		}
		if busy && idle {
			if err := wait(last); err != nil {
				return err
			}
		}
	}
	k.sum = 0
	for _, c := range f.checkers {
		if k.err == nil {
			k.err = c.err
		}
		k.sum += c.sum
		k.contest = c.contest
	}
	return nil
}
