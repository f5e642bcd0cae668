//go:build linux

package bench

import (
	"context"
	"fmt"

	"github.com/shmbus/shmbus/ring"
	"github.com/shmbus/shmbus/shm"
)

// attachment tells an actor how to attach to a ring whose regions it has.
type attachment struct {
	Publishers  []uint32 // generation of each publisher's slot, which is its number
	Subscribers []uint32
	Start       []ring.Attachment
}

// stageRing makes a ring for the way there and, for round trips, one for the
// way back, and does what a host would do.
func stageRing(s *stage) error {
	directions := 1
	if s.cell.Pattern == RTT {
		directions = 2
	}
	for i := range directions {
		a, err := s.ring(uint64(i) + 1)
		if err != nil {
			return err
		}
		s.rings = append(s.rings, a)
	}
	return nil
}

func (s *stage) ring(id uint64) (attachment, error) {
	o := ring.Options{
		Capacity: s.cell.capacity(), Publishers: s.cell.Publishers, Subscribers: s.cell.Subscribers,
		Counter: shm.TSCUsable(), Label: "bench", ID: id,
	}
	g, err := o.Geometry()
	if err != nil {
		return attachment{}, err
	}
	log, err := s.region("log", g.LogSize())
	if err != nil {
		return attachment{}, err
	}
	cursors, err := s.region("cursors", g.CursorSize())
	if err != nil {
		return attachment{}, err
	}
	if err := ring.Format(log, cursors, o); err != nil {
		return attachment{}, err
	}
	r, err := ring.Open(log, cursors, nil)
	if err != nil {
		return attachment{}, err
	}
	h := r.Host(0)
	if _, err := h.TakeOver(); err != nil {
		return attachment{}, err
	}
	var a attachment
	for i := range s.cell.Subscribers {
		start, err := h.AddSubscriber(context.Background(), ring.SubscriberSpec{Slot: i, Gen: 1, Member: 1, Name: fmt.Sprint("subscriber", i)})
		if err != nil {
			return attachment{}, err
		}
		a.Subscribers, a.Start = append(a.Subscribers, 1), append(a.Start, start)
	}
	for i := range s.cell.Publishers {
		if err := h.AddPublisher(i, 1, 1, fmt.Sprint("publisher", i)); err != nil {
			return attachment{}, err
		}
		a.Publishers = append(a.Publishers, 1)
	}
	return a, nil
}

// attachRing opens the rings and takes this actor's slots in them.
func attachRing(a *actor) (outlet, inlet, error) {
	rings := make([]*ring.Ring, len(a.Rings))
	for i := range rings {
		log, err := mapDescriptor(ownDescriptors + 2*i)
		if err != nil {
			return nil, nil, err
		}
		cursors, err := mapDescriptor(ownDescriptors + 2*i + 1)
		if err != nil {
			return nil, nil, err
		}
		if rings[i], err = ring.Open(log, cursors, nil); err != nil {
			return nil, nil, err
		}
	}
	// The publisher publishes to the first ring, and the echo to the last; the
	// other way round for the subscribers.
	first, last := 0, len(rings)-1
	publisher := a.Actor < a.Cell.Publishers
	var out outlet
	var in inlet
	var err error
	if publisher {
		out, err = a.ringOutlet(rings[first], a.Rings[first], a.Actor)
	} else {
		in, err = a.ringInlet(rings[first], a.Rings[first])
	}
	if err != nil || a.Cell.Pattern != RTT {
		return out, in, err
	}
	if publisher {
		in, err = a.ringInlet(rings[last], a.Rings[last])
	} else {
		out, err = a.ringOutlet(rings[last], a.Rings[last], 0)
	}
	return out, in, err
}

func (a *actor) ringOutlet(r *ring.Ring, t attachment, slot int) (outlet, error) {
	p, err := r.Producer(slot, t.Publishers[slot])
	if err != nil {
		return nil, err
	}
	o := &ringOutlet{p: p}
	if a.Cell.Stamps {
		o.stamp = ring.StampNow
	}
	return o, nil
}

func (a *actor) ringInlet(r *ring.Ring, t attachment) (inlet, error) {
	fan := &ringFanInlet{}
	for i := range t.Subscribers {
		c, err := r.Consumer(i, t.Subscribers[i], t.Start[i], ring.ConsumerOptions{Wait: waitStrategies[a.Cell.Wait]})
		if err != nil {
			return nil, err
		}
		if len(t.Subscribers) == 1 && a.Cell.Mode != Poll {
			return &ringInlet{c, ring.NewParker()}, nil
		}
		fan.add(c, a.newChecker())
	}
	return fan, nil
}

// ringOutlet publishes message by message.
type ringOutlet struct {
	p     *ring.Producer
	stamp int64 // the publish time, as bus gives it
}

func (o *ringOutlet) send(w *writer, n int) error {
	ctx := context.Background()
	for range n {
		if _, err := o.p.Publish(ctx, w.next(), 0, o.stamp); err != nil {
			return err
		}
	}
	return nil
}

// ringInlet reads with Take, which is what bus's Next does, and waits as its
// strategy says.
type ringInlet struct {
	c      *ring.Consumer
	parker *ring.Parker
}

func (in *ringInlet) receive(k *checker, n int) error {
	c := in.c
	for n > 0 {
		p, _, err := c.Take()
		if err == nil {
			if !k.next(p) {
				k.take(p)
			}
			n--
			continue
		}
		if err == ring.ErrEmpty {
			err = c.Wait(context.Background(), in.parker)
		}
		if err != nil {
			return err
		}
	}
	c.Release()
	return nil
}

// ringFanInlet reads for several subscribers in one goroutine, with Poll, in
// turn.
type ringFanInlet struct {
	fan
	consumers []*ring.Consumer
	takes     []func(ring.Record, bool) error
}

func (in *ringFanInlet) add(c *ring.Consumer, k *checker) {
	in.checkers = append(in.checkers, k)
	in.consumers = append(in.consumers, c)
	in.takes = append(in.takes, func(r ring.Record, _ bool) error {
		if !k.next(r.Payload) {
			k.take(r.Payload)
		}
		return nil
	})
}

func (in *ringFanInlet) receive(k *checker, n int) error {
	return in.all(k, n,
		func(i, max int) (int, error) { return in.consumers[i].Poll(in.takes[i], max) },
		func(i int) error { return in.consumers[i].Wait(context.Background(), nil) })
}
