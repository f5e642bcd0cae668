package storm

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/shmbus/shmbus/bus"
)

// subscriber attaches a subscriber and reads until the mark.
func (c *child) subscriber(r Role, rng *rand.Rand, attached func()) error {
	var s *bus.Subscriber
	for s == nil {
		ctx, cancel := within(rng)
		var err error
		s, err = c.bus.Subscriber(ctx, r.Topic, r.subscriberConfig())
		cancel()
		if err != nil && !passing(err) {
			return c.violation(r.ID, "Subscriber: %v", err)
		}
	}
	return c.read(r, rng, s, attached)
}

// read tells of all messages up to the mark.
func (c *child) read(r Role, rng *rand.Rand, s *bus.Subscriber, attached func()) error {
	t := &reader{child: c, role: r, rng: rng, s: s, lie: c.spec.Break, lieAt: c.spec.BreakAt}
	c.report(Report{Kind: reportUp, Participant: r.ID, Start: s.Stats().Sequence})
	attached()
	err := t.run()
	t.tell()
	switch {
	case errors.Is(err, bus.ErrDetached) && r.MaxLag > 0:
		c.report(Report{Kind: reportNote, Participant: r.ID, Text: "detached"})
		return s.Close()
	case err != nil:
		return c.violation(r.ID, "subscriber: %v", err)
	}
	st := s.Stats()
	c.report(Report{Kind: reportEnd, Participant: r.ID, Sequence: st.Sequence, Delivered: st.Delivered, Lost: st.Lost, Aborted: st.Aborted})
	return s.Close()
}

// A reader tells of the messages of one subscriber.
type reader struct {
	child *child
	role  Role
	rng   *rand.Rand
	s     *bus.Subscriber

	got    []byte // told of next
	held   []byte // not before the next call: it may say that these views were overwritten
	torn   error  // of a message in held
	marked bool

	lie   string
	lieAt int
	seen  int
	back  []byte // a message to be told behind the next one
}

func (t *reader) run() error {
	for !t.marked {
		var err error
		if t.rng.IntN(2) == 0 {
			err = t.next(1 + t.rng.IntN(32))
		} else {
			err = t.poll()
		}
		if err != nil {
			return err
		}
		t.tell()
		if t.role.Slow && t.rng.IntN(4) == 0 {
			time.Sleep(some(t.rng, 2*time.Millisecond))
		}
	}
	// What is held is right if the subscriber was not detached meanwhile.
	if t.role.MaxLag > 0 {
		if _, err := t.s.Poll(func(bus.Message, bool) error { return nil }, 1); err != nil {
			return err
		}
		return t.release()
	}
	return nil
}

func (t *reader) next(n int) error {
	for range n {
		ctx, cancel := within(t.rng)
		m, err := t.s.Next(ctx)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := t.take(m); err != nil || t.marked {
			return err
		}
	}
	return nil
}

func (t *reader) poll() error {
	n, err := t.s.Poll(func(m bus.Message, last bool) error { return t.take(m) }, 1+t.rng.IntN(128))
	if err != nil || n > 0 {
		return err
	}
	if err := t.release(); err != nil { // an empty poll says that nothing was overwritten
		return err
	}
	t.tell()
	ctx, cancel := within(t.rng)
	defer cancel()
	if err := t.s.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// take notes one message.
func (t *reader) take(m bus.Message) error {
	if err := t.release(); err != nil {
		return err
	}
	publisher, index, err := readPayload(m.Payload)
	if err != nil && t.role.MaxLag == 0 {
		return err
	}
	t.marked = err == nil && publisher == marker
	b := event{kind: eventGot, participant: t.role.ID, a: m.Sequence, b: uint64(publisher)<<32 | uint64(index), c: m.Lost}.append(nil)
	if t.role.MaxLag > 0 {
		t.held, t.torn = b, err
		return nil
	}
	t.tellTruth(b)
	if len(t.got) >= 4096 {
		t.tell()
	}
	return nil
}

// release believes what was held.
func (t *reader) release() error {
	b, err := t.held, t.torn
	t.held, t.torn = nil, nil
	if err == nil && b != nil {
		t.tellTruth(b)
	}
	return err
}

// tellTruth notes a message, but for the one time that it is told to lie.
func (t *reader) tellTruth(b []byte) {
	t.seen++
	if t.seen == t.lieAt && !t.marked {
		if t.lie != "" {
			t.child.report(Report{Kind: reportLie, Participant: t.role.ID})
		}
		switch t.lie {
		case breakDrop:
			return
		case breakDuplicate:
			t.got = append(t.got, b...)
		case breakReorder:
			t.back = b
			return
		}
	}
	t.got = append(append(t.got, b...), t.back...)
	t.back = nil
}

func (t *reader) tell() {
	if len(t.got) > 0 {
		t.child.write(t.got)
		t.got = t.got[:0]
	}
}
