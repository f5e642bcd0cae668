package bus

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/shmbus/shmbus/ring"
)

// askContext: a call that has nothing to wait for looks at its context only
// every so many times, and the first time. Looking costs as much as half a
// message.
const askContext = 64

// A Publisher publishes into one topic. It is used by one goroutine at a time,
// Close excepted; Shared returns one for many. A Publisher that is collected
// without Close is closed then.
type Publisher struct {
	c *publisher
}

// publisher is what outlives the handle until everything is given back. It
// must not refer to the handle.
type publisher struct {
	participant
	producer *ring.Producer
	config   PublisherConfig
	topic    string
	kind     uint32
	asked    uint32   // calls that did not look at their context
	claims   []uint64 // sequences of those not yet committed, aborted or orphaned
	stamps
	final PublisherStats
}

// PublisherStats are a publisher's counters.
type PublisherStats struct {
	Published uint64 // messages
	Bytes     uint64 // of payload
	Refused   uint64 // attempts that found the ring full
	Dropped   uint64 // messages dropped by DropNewest
	Aborted   uint64 // claims
	Blocked   time.Duration
}

// Publish publishes payload, which it copies. When it returns nil the message
// is in the ring, whole and in order, and every reliable subscriber attached
// now will see it exactly once, even if this process is killed the next
// instant; or it was dropped by [DropNewest].
//
// A full ring is met as [PublisherConfig].WhenFull says: it blocks until there
// is space or ctx ends, or returns [ErrBackpressure], or drops. When there is
// nothing to wait for, ctx is looked at in the first call and then in one of
// 64. Blocking, it also lets other publishers go first that have slept while it
// went on: for 10 ms at most. Errors: ctx's, [ErrTooLarge], [ErrBackpressure],
// [ErrClosed], [ErrStalled], [ErrCorrupt], [ErrOrphaned].
//
// Cost on top of the ring's: 5 loads, 2 stores; a reading of the processor's
// counter, or of the clock where that is none (NoStamps: neither); no locked
// instruction, no allocation, no system call.
//
// Calls are made for what is odd only.
func (p *Publisher) Publish(ctx context.Context, payload []byte) error {
	needContext(ctx)
	c := p.c
	if c.asked++; c.asked%askContext == 1 && ctx.Err() != nil {
		return p.ended(ctx.Err())
	}
	if odd := c.goIn(inside); odd != 0 && !c.open(odd) {
		return p.refused()
	}
	if !c.producer.PublishShort(payload, c.kind, c.stamp) {
		return p.failed(c.publish(ctx, payload))
	}
	if as := c.rest(); c.goOut(as) {
		c.exit(as)
	}
	runtime.KeepAlive(p)
	return nil
}

// needContext panics if there is no context: before the call goes in, so that
// who recovers from it can go on, and Close does not wait for this call.
func needContext(ctx context.Context) {
	if ctx == nil {
		panic("bus: nil Context")
	}
}

// ended is a call whose context had ended, with err, before it went in.
func (p *Publisher) ended(err error) error {
	if !p.c.enter(inside) {
		return p.refused()
	}
	return p.failed(err)
}

// failed goes out of a call that may have failed.
func (p *Publisher) failed(err error) error {
	p.leave()
	if err == nil {
		return nil
	}
	return p.c.explain(err)
}

// TryPublish publishes payload, which it copies, if there is space now, and
// returns [ErrBackpressure] if there is not, whatever WhenFull says. It waits
// 20 ms at most for another publisher to leave the ring, then it returns
// [ErrStalled]. Errors otherwise as Publish.
func (p *Publisher) TryPublish(payload []byte) error {
	c := p.c
	if !c.enter(inside) {
		return p.refused()
	}
	_, err := c.producer.TryPublish(payload, c.kind, c.stamp)
	if err != nil {
		err = c.explain(err)
	}
	c.exit(c.rest())
	runtime.KeepAlive(p)
	return err
}

// PublishBatch publishes payloads in order, entering the ring once for all
// that fit, or for each 256 KiB of them, and returns how many are in it. All
// have the same Time; other publishers' messages may come between them. A full
// ring is met as WhenFull says: Block waits for space for the rest, Fail returns
// [ErrBackpressure], DropNewest drops the rest and returns nil. When ctx ends,
// it stops before it enters the next time. If one is too large, none is
// published. Errors otherwise as Publish.
func (p *Publisher) PublishBatch(ctx context.Context, payloads [][]byte) (int, error) {
	needContext(ctx)
	c := p.c
	if !c.enter(inside) {
		return 0, p.refused()
	}
	defer p.leave() // also when a context panics
	n, err := 0, ctx.Err()
	if err == nil {
		n, err = c.producer.PublishBatch(ctx, payloads, c.kind, c.now(), c.config.WhenFull == Block)
		if err == ring.ErrFull && c.config.WhenFull == DropNewest {
			c.producer.CountDropped(uint64(len(payloads) - n))
			err = nil
		}
	}
	return n, c.explain(err)
}

// leave goes out of a call.
func (p *Publisher) leave() {
	p.c.exit(p.c.rest())
	runtime.KeepAlive(p)
}

// SetKind sets the kind of the messages that follow.
func (p *Publisher) SetKind(kind uint32) {
	if p.c.enter(inside) {
		p.c.kind = kind
	}
	p.c.exit(p.c.rest())
	runtime.KeepAlive(p)
}

// Topic returns the topic's name.
func (p *Publisher) Topic() string { return p.c.topic }

// MaxMessage returns the largest payload in bytes: a quarter of the ring less
// a record header.
func (p *Publisher) MaxMessage() int { return p.c.producer.MaxMessage() }

// WaitSubscribers blocks until the topic has at least n subscribers, or ctx
// ends. Errors: ctx's, [ErrClosed].
func (p *Publisher) WaitSubscribers(ctx context.Context, n int) error {
	needContext(ctx)
	c := p.c
	if !c.enter(inside) {
		return p.refused()
	}
	defer p.leave() // also when a context panics
	return c.explain(c.producer.WaitCounts(ctx, func(now ring.Counts) bool { return now.Subscribers >= n }))
}

// Unread returns how many messages the topic was given while it never had a
// subscriber: nobody has read them, and when the last participant leaves they
// go with the topic, unless the host keeps topics (HostInfo.Keep). It is 0
// once there has been a subscriber; what one that left did not read is not
// known.
func (p *Publisher) Unread() uint64 {
	c := p.c
	var n uint64
	if c.enter(inside) {
		if now := c.grant.Ring.Counts(); now.Subscribers == 0 && now.SubscribersEver == 0 {
			n = c.grant.Ring.Stat().Sequence
		}
	}
	c.exit(c.rest())
	runtime.KeepAlive(p)
	return n
}

// Stats returns this publisher's counters, after Close the last ones.
func (p *Publisher) Stats() PublisherStats {
	c := p.c
	if !c.enter(inside) {
		c.exit(c.rest())
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.left {
			return c.final
		}
		return c.stats() // claims are out: the memory is still there
	}
	s := c.stats()
	c.exit(c.rest())
	runtime.KeepAlive(p)
	return s
}

// Close gives the slot back. Blocked calls return ErrClosed. While a claim is
// open, slot and memory stay: others must not write where it is being filled,
// and subscribers wait for it, until it is committed or aborted or the handle
// is collected. Any goroutine may call it at any time, and more than once.
func (p *Publisher) Close() error {
	err := p.c.close()
	runtime.KeepAlive(p)
	return err
}

// refused goes out of a call on a closed handle.
func (p *Publisher) refused() error {
	return p.failed(ErrClosed)
}

// rest is the state between calls.
func (c *publisher) rest() uint32 {
	if len(c.claims) > 0 {
		return lent
	}
	return idle
}

// publish publishes by any way, as WhenFull says.
func (c *publisher) publish(ctx context.Context, payload []byte) error {
	if c.config.WhenFull != Block {
		return c.publishOrNot(ctx, payload)
	}
	_, err := c.producer.Publish(ctx, payload, c.kind, c.stamp)
	return err
}

// publishOrNot publishes if there is space, by Fail or DropNewest.
func (c *publisher) publishOrNot(ctx context.Context, payload []byte) error {
	_, err := c.producer.TryPublish(payload, c.kind, c.stamp)
	for again(ctx, &err) {
		_, err = c.producer.TryPublish(payload, c.kind, c.stamp)
	}
	if err == ring.ErrFull && c.config.WhenFull == DropNewest {
		c.producer.CountDropped(1)
		return nil
	}
	return err
}

// again reports whether to try once more: what must not wait for space may
// wait for the lock, but the ring gives that up early. Once ctx has ended, err
// says so too.
func again(ctx context.Context, err *error) bool {
	if *err == nil || !errors.Is(*err, ring.ErrStalled) {
		return false
	}
	if ended := ctx.Err(); ended != nil {
		*err = fmt.Errorf("%w: %w", *err, ended)
		return false
	}
	return true
}

func (c *publisher) stats() PublisherStats {
	for _, i := range c.grant.Ring.Publishers() {
		if i.Slot == c.grant.Slot && i.Gen == c.grant.Gen {
			return PublisherStats{
				Published: i.Published, Bytes: i.Bytes, Refused: i.Refused, Dropped: i.Dropped,
				Aborted: i.Aborted, Blocked: time.Duration(i.BlockedNanos),
			}
		}
	}
	return PublisherStats{}
}

// retireNow is the last look at the ring. It does not enter it: the lock may
// be held by somebody stopped, and whoever enters next finds the true end.
func (c *publisher) retireNow() { c.final = c.stats() }

// joinPublisher gets a slot from the host and makes the publisher of it.
func (b *Bus) joinPublisher(ctx context.Context, topic string, cfg PublisherConfig) (*publisher, error) {
	g, err := b.client.Publisher(ctx, cfg.request(topic))
	if err != nil {
		return nil, err
	}
	c := &publisher{config: cfg, topic: topic, kind: cfg.Kind, stamps: newStamps(g.Ring, cfg.NoStamps)}
	if c.producer, err = g.Ring.Producer(g.Slot, g.Gen); err != nil {
		return nil, errors.Join(err, g.Release())
	}
	c.producer.UseParker(b.parker)
	c.participant = participant{
		bus: b, grant: g, publisher: true,
		interrupt: c.producer.Interrupt, retire: c.retireNow,
	}
	c.arm(b.strong)
	return c, nil
}
