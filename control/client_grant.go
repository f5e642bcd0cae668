package control

import (
	"context"
	"errors"
	"fmt"

	"github.com/shmbus/shmbus/ring"
)

// PublisherRequest asks for a publisher slot.
type PublisherRequest struct {
	Topic, Name string // Name may be ""
	// Zero: the topic's, or the default if this makes the topic.
	Capacity    uint64 // bytes
	Schema      uint32
	Publishers  int // slots
	Subscribers int // slots
	// Exclusive makes the topic with this one publisher for life: nobody else can
	// ever write its log.
	Exclusive bool
}

// SubscriberRequest asks for a subscriber slot.
type SubscriberRequest struct {
	Topic, Name string // Name may be ""
	Mode        ring.Mode
	MaxLag      uint64 // messages; 0: no limit
	Start       ring.Start
	Schema      uint32 // 0: any
	// NoWait: ErrNoTopic instead of waiting for the topic's first publisher.
	NoWait bool
}

// Grant is a slot of a ring and the mapping to use it by. The fields do not
// change. It is valid until Release, also while the bus has no host and after
// the client's Close.
type Grant struct {
	Topic string
	Slot  int
	Gen   uint32
	// Attachment is where a subscriber starts.
	Attachment ring.Attachment
	Ring       *ring.Ring
	// Guest: the slot's block lies in the guest region.
	Guest bool
	// CreatedTopic: this request made the topic.
	CreatedTopic bool

	client     *Client
	id         slotID
	attachment *attachment
	// Guarded by the client's mutex.
	left       bool
	released   bool
	orphaned   bool
	onOrphaned func()
}

// Publisher asks for a publisher slot, and makes the topic if there is none. It
// blocks until the host has answered; while there is no host, until there is one.
//
// Errors: ErrOptions and ErrSchema (both sides named), ErrExclusive, ring.ErrBadOptions,
// ErrNameInUse, ErrNoMemory (what was asked, what is available, which limit),
// ErrNoSlot, ErrTooManyTopics, ErrBadName, ErrGuest, ErrNoDescriptors,
// shm.ErrNoMembarrier, ErrHostStalled, ErrRegion, ErrClosed, ctx's.
func (c *Client) Publisher(ctx context.Context, r PublisherRequest) (*Grant, error) {
	if err := checkNames(r.Topic, "publisher", r.Name); err != nil {
		return nil, err
	}
	g, err := c.grant(ctx, r.Topic, r.Name, func(id uint64) any {
		return publishRequest{Header: NewHeader(typePublish, id), Topic: r.Topic, Name: r.Name, Capacity: r.Capacity,
			Schema: r.Schema, Publishers: r.Publishers, Subscribers: r.Subscribers, Exclusive: r.Exclusive}
	})
	if err == nil && g.Ring.Options().Exclusive {
		err = c.confirm(ctx, g)
	}
	if err != nil {
		return nil, err
	}
	return g, nil
}

// Subscriber asks for a subscriber slot. It waits for the topic, unless NoWait,
// and then is attached before the first publisher may publish. While somebody
// stopped holds the ring's lock it waits too; when ctx ends meanwhile the error
// is ErrStalled and names him.
//
// Errors: ErrNoTopic (NoWait), ErrSchema, ErrNameInUse, ErrNoSlot, ring.ErrBadStart,
// ErrBadName, ErrGuest, ErrNoDescriptors, shm.ErrNoMembarrier, ErrStalled,
// ErrHostStalled, ErrRegion, ErrClosed, ctx's.
func (c *Client) Subscriber(ctx context.Context, r SubscriberRequest) (*Grant, error) {
	if err := checkNames(r.Topic, "subscriber", r.Name); err != nil {
		return nil, err
	}
	return c.grant(ctx, r.Topic, r.Name, func(id uint64) any {
		return subscribeRequest{Header: NewHeader(typeSubscribe, id), Topic: r.Topic, Name: r.Name, Mode: modeName(r.Mode),
			MaxLag: r.MaxLag, Start: startMessageOf(r.Start), Schema: r.Schema, NoWait: r.NoWait}
	})
}

// grant asks until it has a slot. One whose connection has ended while it was
// being mapped is ours too: the next connection is installed only when it is
// noted as held, and it is offered there.
func (c *Client) grant(ctx context.Context, topic, name string, message func(id uint64) any) (*Grant, error) {
	for {
		owing := name != "" && c.awaitDisowned(ctx)
		a, err := c.do(ctx, &call{message: message, resend: true, names: true})
		if owing && errors.Is(err, ErrNameInUse) {
			if ctx.Err() == nil {
				continue // by ourselves, for all we know
			}
			err = fmt.Errorf("%w: %w", ctx.Err(), err)
		}
		if err != nil {
			return nil, err
		}
		g, err := c.accept(topic, a)
		kept := err == nil && c.keepGrant(g, a.link)
		c.doneAccepting(a)
		switch {
		case kept:
			return g, nil
		case err != nil:
			return nil, err
		case c.isClosing():
			c.unref(g.attachment)
			return nil, ErrClosed
		}
		c.unref(g.attachment)
	}
}

// doneAccepting lets the next connection be installed.
func (c *Client) doneAccepting(a answer) {
	if a.kind != typeGrant {
		return
	}
	c.mu.Lock()
	c.accepting--
	c.accepted.Broadcast()
	c.mu.Unlock()
}

// accept maps what a grant brought. If that fails, the slot is given back.
func (c *Client) accept(topic string, a answer) (*Grant, error) {
	var m grantMessage
	if err := a.decode(&m); err != nil || a.kind != typeGrant {
		CloseFiles(a.files)
		return nil, fmt.Errorf("%w: %s in place of a grant: %w", ErrMalformed, a.kind, err)
	}
	g := &Grant{Topic: topic, Slot: m.Slot, Gen: m.Generation, Guest: m.Role == roleGuest, CreatedTopic: m.Created,
		Attachment: ring.Attachment{Position: m.Position, Sequence: m.Sequence}, client: c, id: m.slotID}
	mapped, first, err := c.attach(topic, attachmentKey{m.Ring, m.Role}, m.Regions, a.files)
	if err == nil {
		if err = mapped.populate(m.Role, m.Slot, first); err != nil {
			c.unref(mapped)
		}
	}
	if err != nil {
		if rerr := c.tellRelease(g); rerr != nil {
			c.log.Debug("release", "error", rerr)
		}
		return nil, err
	}
	g.attachment, g.Ring = mapped, mapped.ring
	return g, nil
}

// keepGrant notes a grant as held. If its connection has ended meanwhile it is ours
// all the same: no other has been installed (see install), and it will be offered
// there.
func (c *Client) keepGrant(g *Grant, l *link) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link != nil && c.link != l || c.closing {
		return false
	}
	c.grants[g] = struct{}{}
	return true
}

func (c *Client) isClosing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closing
}

// Leave tells the host that the slot is not used any more: a publisher's is
// repaired and freed, a subscriber no longer holds anybody up. The mapping stays
// until Release. While there is no host it only forgets the slot, and the next
// host will not find it among what is offered. It waits at most a second for a
// host that does not answer, which is told as soon as it reads. Idempotent.
func (g *Grant) Leave() error {
	c := g.client
	c.mu.Lock()
	left := g.left
	g.left = true
	delete(c.grants, g)
	closing := c.closing
	c.mu.Unlock()
	if left || closing { // closing: bye says it for all
		return nil
	}
	return c.tellRelease(g)
}

// Release is Leave, and drops the mapping when nobody else of this client uses
// it in this role. Nobody uses the grant's Ring, or a view into it, any more.
// After the client's Close it only drops the mapping. Idempotent.
func (g *Grant) Release() error {
	err := g.Leave()
	c := g.client
	c.mu.Lock()
	released := g.released
	g.released = true
	c.mu.Unlock()
	if !released {
		c.unref(g.attachment)
	}
	return err
}

// tellRelease sends a release and waits a moment for its answer, after which the
// name is free.
func (c *Client) tellRelease(g *Grant) error {
	ctx, cancel := context.WithTimeout(c.ctx, releaseGrace)
	defer cancel()
	_, err := c.do(ctx, &call{message: func(id uint64) any { return releaseRequest{NewHeader(typeRelease, id), g.id} }, names: true, lasting: true})
	if err == nil || errors.Is(err, errLinkLost) || errors.Is(err, ErrClosed) || ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("release slot %d of topic %q: %w", g.Slot, g.Topic, err)
}

// offer brings a slot back to a new host. It waits for the host's answer for as long
// as the connection lives: a host that is stopped judges the offer when it goes on.
func (c *Client) offer(g *Grant) error {
	call := &call{patient: true, message: func(id uint64) any { return offerRequest{NewHeader(typeOffer, id), g.id} }}
	if !g.Guest {
		call.files = g.attachment.files()
	}
	_, err := c.do(c.ctx, call)
	return err
}

// OnOrphaned has f called, once, when the host says that a publisher's slot is not
// the grant's any more: it was given up for dead, and may be somebody else's by now,
// so nothing may be written by it. f is called at once if that was before; otherwise
// by the goroutine that comes back to a host, which it must not block. The grant is
// to be released as ever. For a subscriber f is never called: its ring says
// ring.ErrDetached.
func (g *Grant) OnOrphaned(f func()) {
	c := g.client
	c.mu.Lock()
	orphaned := g.orphaned
	g.onOrphaned = f
	c.mu.Unlock()
	if orphaned {
		f()
	}
}

// orphan notes that a publisher's slot is not ours any more.
func (c *Client) orphan(g *Grant) {
	c.mu.Lock()
	delete(c.grants, g)
	g.left, g.orphaned = true, true
	f := g.onOrphaned
	c.mu.Unlock()
	if f != nil {
		f()
	}
}
