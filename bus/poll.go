package bus

import (
	"runtime"

	"github.com/shmbus/shmbus/ring"
)

// Poll calls fn for up to max messages that are there, telling with last that
// no more follow for now, and returns how many there were; 0 if there is
// nothing. It never blocks. A view ends when fn returns. fn may close the
// subscriber but not call it otherwise. Poll stops behind the first message
// for which fn fails, with that error; the next call goes on behind it, and
// says if the subscriber was detached by then.
//
// Errors: fn's; [ErrClosed]; [ErrCorrupt]; io.EOF as Next; [ErrDetached], which
// says also that the views of this batch may have been overwritten.
func (s *Subscriber) Poll(fn func(m Message, last bool) error, max int) (int, error) {
	c := s.c
	if !c.enter(polling) {
		return 0, s.refused()
	}
	defer s.polled() // also when fn panics
	n, err := c.poll(fn, max)
	if n == 0 && (err == nil || err == ring.ErrEmpty) && c.isDrained() {
		return 0, c.end
	}
	if err == ring.ErrEmpty {
		err = nil
	}
	return n, translate(err)
}

func (s *Subscriber) polled() {
	s.c.consumer.Settle()
	s.c.exit(idle)
	runtime.KeepAlive(s)
}

// poll is what the ring's Poll does, written out here: one call less for each
// message. A handle closed meanwhile stops the batch.
//
// A run of messages is written before the first is handed on. Go copies a
// Message in pieces larger than those in which it was written, and a processor
// that still has those on the way to its cache waits for them: that would cost
// as much as all the rest.
func (c *subscriber) poll(fn func(Message, bool) error, max int) (int, error) {
	consumer, run := c.consumer, c.pollRun()
	for n := 0; n < max; {
		if c.isCut() {
			return n, c.cut()
		}
		some, ahead := 1, consumer.Ahead(max-n)
		if ahead > 0 {
			some = ahead
			for i := range run[:ahead] {
				p, h := consumer.Found(i)
				run[i].show(p, h)
			}
		} else {
			p, h, err := consumer.Take()
			if err != nil {
				return n, err
			}
			run[0].show(p, h)
			run[0].Lost = consumer.Lost()
		}
		for i := range some {
			if ahead > 0 {
				if c.isCut() {
					return n + i, c.cut()
				}
				if err := consumer.Accept(i, run[i].time); err != nil {
					return n + i, err
				}
			}
			if c.foreign {
				run[i].time = c.clock.Time(run[i].time)
			}
			last := false
			if i == some-1 {
				consumer.Settle()
				last = n+some == max || !consumer.More()
			}
			if err := fn(run[i], last); err != nil {
				return n + i + 1, err
			}
			if last {
				return n + some, consumer.EndPoll()
			}
		}
		n += some
	}
	return 0, nil
}

// show makes m show a record. counter and owner are as they were.
func (m *Message) show(p []byte, h ring.Header) {
	m.Payload, m.Sequence, m.Kind, m.Publisher, m.time = p, h.Sequence(), h.Kind(), h.Publisher(), h.Time()
}

// isCut reports whether the handle was closed meanwhile.
func (c *subscriber) isCut() bool { return c.closed.Load()&shutBit != 0 } // sync(bus.guard): in Poll, pairs with shut

// cut ends a batch because the handle was closed meanwhile.
func (c *subscriber) cut() error {
	if err := c.consumer.EndPoll(); err != nil {
		return err
	}
	return ErrClosed
}

func (c *subscriber) pollRun() *[ring.MostAhead]Message {
	if c.run == nil {
		c.run = new([ring.MostAhead]Message)
		for i := range c.run {
			c.run[i].counter = c.counter
		}
	}
	return c.run
}
