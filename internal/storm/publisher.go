package storm

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/shmbus/shmbus/bus"
)

// publishes is what Publisher and SharedPublisher have in common.
type publishes interface {
	Publish(context.Context, []byte) error
	TryPublish([]byte) error
	PublishBatch(context.Context, [][]byte) (int, error)
	Claim(context.Context, int) (bus.Claim, error)
	MaxMessage() int
}

// publisher attaches a publisher and publishes until it is told to finish.
func (c *child) publisher(r Role, rng *rand.Rand, attached func()) error {
	var p *bus.Publisher
	for p == nil {
		if c.finishing() {
			c.report(Report{Kind: reportLeft, Participant: r.ID})
			return nil
		}
		ctx, cancel := within(rng)
		var err error
		p, err = c.bus.Publisher(ctx, r.Topic, r.publisherConfig())
		cancel()
		if err != nil && !passing(err) {
			return c.violation(r.ID, "Publisher: %v", err)
		}
	}
	c.report(Report{Kind: reportUp, Participant: r.ID})
	attached()
	var err error
	if r.Style == styleShared {
		err = c.share(r, rng, p.Shared())
	} else {
		err = c.newWriter(r, r.ID, rng, p).run()
	}
	if err == nil {
		err = p.Close()
	}
	c.report(Report{Kind: reportLeft, Participant: r.ID})
	return err
}

// share lets two goroutines use one publisher.
func (c *child) share(r Role, rng *rand.Rand, p *bus.SharedPublisher) error {
	var both sync.WaitGroup
	var errs [2]error
	for i, id := range r.ids() {
		w := c.newWriter(r, id, rand.New(rand.NewPCG(rng.Uint64(), 0)), p)
		both.Go(func() { errs[i] = w.run() })
	}
	both.Wait()
	return errors.Join(errs[:]...)
}

// A writer is one sequence of numbered messages. It tells how far it may go
// before it publishes, and what was acknowledged after that.
type writer struct {
	child *child
	role  Role
	id    uint32
	rng   *rand.Rand
	p     publishes
	max   int // largest payload

	next  uint32 // index of the next message
	may   uint32 // told: indices below may be published
	acked uint32 // told: indices below are acknowledged
	lied  bool
	buf   []byte
	batch [][]byte
}

func (c *child) newWriter(r Role, id uint32, rng *rand.Rand, p publishes) *writer {
	max := min(p.MaxMessage(), 32<<10)
	return &writer{child: c, role: r, id: id, rng: rng, p: p, max: max, buf: make([]byte, max)}
}

// run publishes in bursts until it is told to finish.
func (w *writer) run() error {
	for !w.child.finishing() {
		every := uint32(1 + w.rng.IntN(16)) // tell after so many
		for range 1 + w.rng.IntN(32) {
			if err := w.step(); err != nil {
				return err
			}
			if w.next-w.acked >= every {
				w.ack()
			}
		}
		w.ack()
		if !w.role.Hot || w.rng.IntN(8) == 0 {
			time.Sleep(some(w.rng, 4*time.Millisecond))
		}
	}
	return nil
}

// attempt tells before n more messages may be published.
func (w *writer) attempt(n int) {
	if w.next+uint32(n) > w.may {
		w.may = w.next + uint32(n) + w.rng.Uint32N(32)
		w.child.write(event{kind: eventMay, participant: w.id, a: uint64(w.may)}.append(nil))
	}
}

// ack tells what was acknowledged.
func (w *writer) ack() {
	n := w.next
	if w.child.spec.Break == breakAck && n >= uint32(w.child.spec.BreakAt) {
		n += 1000
	}
	if n != w.acked {
		w.acked = w.next
		w.child.write(event{kind: eventAck, participant: w.id, a: uint64(n)}.append(nil))
		if n != w.next && !w.lied {
			w.lied = true
			w.child.report(Report{Kind: reportLie, Participant: w.id})
		}
	}
}

// size is small most of the time.
func (w *writer) size() int {
	most := w.max
	switch n := w.rng.IntN(64); {
	case n < 44:
		most = min(most, 96)
	case n < 63:
		most = min(most, 1024)
	}
	return minPayload + w.rng.IntN(most-minPayload+1)
}

// step publishes one message, or a few, or fails to for want of room or time.
func (w *writer) step() error {
	ctx, cancel := within(w.rng)
	defer cancel()
	if w.child.spec.Bounded {
		ctx, cancel = context.WithTimeout(ctx, 2*shortly)
		defer cancel()
	}
	switch w.role.Style {
	case styleBatch:
		return w.publishBatch(ctx)
	case styleClaim:
		return w.publishClaims(ctx)
	case styleShared:
		switch w.rng.IntN(4) {
		case 0:
			return w.publishBatch(ctx)
		case 1:
			return w.publishClaims(ctx)
		}
	}
	w.attempt(1)
	b := w.buf[:w.size()]
	fillPayload(b, w.id, w.next)
	var err error
	if w.role.Style == styleTry {
		err = w.p.TryPublish(b)
	} else {
		err = w.p.Publish(ctx, b)
	}
	if err == nil {
		w.next++
		return nil
	}
	return w.judge(err)
}

func (w *writer) publishBatch(ctx context.Context) error {
	n := 1 + w.rng.IntN(12)
	w.attempt(n)
	w.batch = w.batch[:0]
	rest := w.buf
	for i := range n {
		size := min(w.size(), len(rest))
		if size < minPayload {
			break
		}
		fillPayload(rest[:size], w.id, w.next+uint32(i))
		w.batch = append(w.batch, rest[:size])
		rest = rest[size:]
	}
	done, err := w.p.PublishBatch(ctx, w.batch)
	w.next += uint32(done)
	if err == nil && done != len(w.batch) {
		return w.child.violation(w.id, "PublishBatch published %d of %d without an error", done, len(w.batch))
	}
	return w.judge(err)
}

// publishClaims has up to three claims open at once, some of which it aborts.
func (w *writer) publishClaims(ctx context.Context) error {
	var open []bus.Claim
	var good []bool
	for range 1 + w.rng.IntN(3) {
		if len(open) > 0 {
			// Who holds a claim must not wait for space that it holds itself.
			short, cancel := context.WithTimeout(ctx, time.Millisecond)
			defer cancel()
			ctx = short
		}
		w.attempt(3)
		claim, err := w.p.Claim(ctx, min(w.size(), w.max/4+minPayload))
		if err != nil {
			if err := w.judge(err); err != nil {
				return err
			}
			break
		}
		open, good = append(open, claim), append(good, w.rng.IntN(4) != 0)
	}
	if w.rng.IntN(4) == 0 {
		time.Sleep(some(w.rng, time.Millisecond))
	}
	for i := range open {
		var err error
		if good[i] {
			fillPayload(open[i].Bytes(), w.id, w.next)
			err = open[i].Commit()
			w.next++
		} else {
			fillPayload(open[i].Bytes(), poison, w.id)
			err = open[i].Abort()
		}
		if err != nil {
			return w.child.violation(w.id, "end of a claim: %v", err)
		}
	}
	return nil
}

// judge returns err if nothing explains it. What explains it is tried again.
func (w *writer) judge(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, bus.ErrStalled):
		w.child.report(Report{Kind: reportStalled, Participant: w.id, Text: err.Error()})
		return nil
	case errors.Is(err, bus.ErrBackpressure):
		time.Sleep(some(w.rng, time.Millisecond))
		return nil
	case errors.Is(err, context.DeadlineExceeded):
		return nil
	}
	return w.child.violation(w.id, "publish: %v", err)
}
