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

// batchSize is how many messages shmbus-batch publishes at once.
const batchSize = 32

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
		Capacity: capacityFor(s.cell.Size), Publishers: s.cell.Publishers, Subscribers: s.cell.Subscribers,
		Fenced: s.cell.Mechanism == "shmbus-fenced", Label: "bench", ID: id,
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
	o := ringOutlet{p: p, stamps: a.Cell.Stamps}
	switch a.Cell.Mechanism {
	case "shmbus-batch":
		b := &batchOutlet{ringOutlet: o}
		for range batchSize {
			b.writers = append(b.writers, newWriter(a.Cell.Size, 0).payload)
		}
		return b, nil
	case "shmbus-claim":
		return &claimOutlet{o}, nil
	}
	return &o, nil
}

func (a *actor) ringInlet(r *ring.Ring, t attachment) (inlet, error) {
	wait := map[string]ring.WaitStrategy{"spin": ring.Spin, "park": ring.Park, "adaptive": ring.Adaptive}[a.Cell.Wait]
	in := &ringInlet{parker: ring.NewParker()}
	for i := range t.Subscribers {
		c, err := r.Consumer(i, t.Subscribers[i], t.Start[i], ring.ConsumerOptions{Wait: wait})
		if err != nil {
			return nil, err
		}
		in.consumers = append(in.consumers, c)
	}
	if len(in.consumers) > 1 {
		return newFanInlet(in.consumers, a), nil
	}
	return in, nil
}

// ringOutlet publishes message by message.
type ringOutlet struct {
	p      *ring.Producer
	stamps bool
}

// stamp is the publish time, as bus gives it.
func (o *ringOutlet) stamp() int64 {
	if o.stamps {
		return shm.Now()
	}
	return 0
}

func (o *ringOutlet) send(w *writer, n int) error {
	ctx := context.Background()
	for range n {
		if _, err := o.p.Publish(ctx, w.next(), 0, o.stamp()); err != nil {
			return err
		}
	}
	return nil
}

// batchOutlet publishes batches.
type batchOutlet struct {
	ringOutlet
	writers [][]byte // a buffer for each message of a batch
}

func (o *batchOutlet) send(w *writer, n int) error {
	for n > 0 {
		batch := o.writers[:min(n, batchSize)]
		for _, p := range batch {
			w.fill(p)
		}
		done, err := o.p.PublishBatch(context.Background(), batch, 0, o.stamp(), true)
		if err != nil {
			return err
		}
		n -= done
	}
	return nil
}

// claimOutlet copies the payload into the ring itself, outside the lock.
type claimOutlet struct{ ringOutlet }

func (o *claimOutlet) send(w *writer, n int) error {
	ctx := context.Background()
	for range n {
		p := w.next()
		c, err := o.p.Claim(ctx, len(p), 0, o.stamp())
		if err != nil {
			return err
		}
		copy(c.Bytes(), p)
		if err := c.Commit(); err != nil {
			return err
		}
	}
	return nil
}

// ringInlet reads with Next, and waits as its strategy says.
type ringInlet struct {
	consumers []*ring.Consumer
	parker    *ring.Parker
}

func (in *ringInlet) receive(k *checker, n int) error {
	c := in.consumers[0]
	for n > 0 {
		r, err := c.Next()
		if err == ring.ErrEmpty {
			if err = c.Wait(context.Background(), in.parker); err == nil {
				continue
			}
		}
		if err != nil {
			return err
		}
		k.take(r.Payload)
		n--
	}
	c.Release()
	return nil
}

// fanInlet reads for several subscribers in one goroutine, with Poll, in turn.
// When nobody had anything it waits for the first that is not through.
type fanInlet struct {
	subscribers []*fanSubscriber
}

type fanSubscriber struct {
	consumer *ring.Consumer
	checker  *checker
	take     func(ring.Record, bool) error
	left     int
}

func newFanInlet(consumers []*ring.Consumer, a *actor) *fanInlet {
	f := &fanInlet{}
	for _, c := range consumers {
		s := &fanSubscriber{consumer: c, checker: newChecker(a.Cell, amount{warm: a.Warm, count: a.Count})}
		s.take = func(r ring.Record, _ bool) error {
			s.checker.take(r.Payload)
			return nil
		}
		f.subscribers = append(f.subscribers, s)
	}
	return f
}

// pollAtMost keeps one subscriber from having it all before the next one has
// any: the lines it brought into the cache serve the others too.
const pollAtMost = 256

func (f *fanInlet) receive(k *checker, n int) error {
	for _, s := range f.subscribers {
		s.left = n
	}
	for busy := true; busy; {
		busy = false
		idle := true
		for _, s := range f.subscribers {
			if s.left == 0 {
				continue
			}
			done, err := s.consumer.Poll(s.take, min(s.left, pollAtMost))
			if err != nil && err != ring.ErrEmpty {
				return err
			}
			s.left -= done
			busy = busy || s.left > 0
			idle = idle && done == 0
		}
		if busy && idle {
			shm.Pause(16)
		}
	}
	// Each has read the same: the sums of all must be that many times one.
	k.sum = 0
	for _, s := range f.subscribers {
		if k.err == nil {
			k.err = s.checker.err
		}
		k.sum += s.checker.sum
		k.share = s.checker.share
	}
	return nil
}
