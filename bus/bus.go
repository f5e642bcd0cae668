package bus

import (
	"context"
	"errors"
	"runtime"
	"sync"

	"github.com/shmbus/shmbus/control"
	"github.com/shmbus/shmbus/ring"
	"github.com/shmbus/shmbus/shm"
)

// TopicInfo is what the host says of a topic.
type TopicInfo = control.TopicInfo

// HostInfo is what the host says of itself.
type HostInfo = control.HostInfo

// A Bus is a handle on a bus: a connection to its host, or the host itself.
// All methods may be called from any goroutine.
type Bus struct {
	name   string
	client *control.Client
	parker *ring.Parker
	strong bool // this process has no membarrier: guards use fences

	life context.Context // ends with Close
	end  context.CancelFunc

	mu       sync.Mutex
	changed  sync.Cond                 // live, calls or the state of a closed participant
	live     map[*participant]struct{} // those that have not left
	calls    int                       // goroutines that need the client
	closed   bool
	closing  bool // Close is at work and will finish
	finished bool // client and parker are closed, or being closed
}

// Open joins the bus, or becomes its host if nobody is and c allows it. It
// blocks until that is done or ctx ends, which does not matter afterwards.
// Nothing needs to be cleaned up, ever: what a bus leaves behind in its
// directory when its last participant is gone, the next one uses.
//
// Errors: [ErrNoBus], [ErrNoHost], [ErrHostStalled], [ErrVersion],
// [ErrBadName], [ErrPermission], errors.ErrUnsupported where this is not Linux, or
// a 32-bit processor.
func Open(ctx context.Context, c Config) (*Bus, error) {
	config := c.control()
	client, err := control.Dial(ctx, config)
	if err != nil {
		return nil, translate(err)
	}
	b := &Bus{
		name:   config.Bus,
		client: client,
		parker: ring.NewParker(),
		strong: shm.MembarrierProcess() != nil,
		live:   make(map[*participant]struct{}),
	}
	b.changed.L = &b.mu
	b.life, b.end = context.WithCancel(context.Background())
	return b, nil
}

// Publisher joins topic as a publisher and makes it if it is not there. It
// blocks until the host has answered or ctx ends. Errors: ctx's, [ErrOptions],
// [ErrSchema], [ErrNameInUse], [ErrNoMemory], [ErrBadName], [ErrStalled],
// [ErrClosed], and those of finding another host (Open).
func (b *Bus) Publisher(ctx context.Context, topic string, c PublisherConfig) (*Publisher, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	var p *publisher
	err := b.call(ctx, func(ctx context.Context) (err error) {
		if p, err = b.joinPublisher(ctx, topic, c); err == nil {
			err = b.keep(&p.participant)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	handle := &Publisher{c: p}
	runtime.AddCleanup(handle, func(p *publisher) { p.bus.collected(&p.participant) }, p)
	return handle, nil
}

// Subscriber joins topic as a subscriber. It waits for the topic if it is not
// there, until ctx ends, unless NoWait says otherwise; it is attached before
// the first publisher can publish. Errors: ctx's, [ErrNoTopic], [ErrSchema],
// [ErrStart], [ErrNameInUse], [ErrNoMemory], [ErrBadName], [ErrStalled],
// [ErrClosed], and those of finding another host (Open).
func (b *Bus) Subscriber(ctx context.Context, topic string, c SubscriberConfig) (*Subscriber, error) {
	var s *subscriber
	err := b.call(ctx, func(ctx context.Context) (err error) {
		if s, err = b.joinSubscriber(ctx, topic, c); err == nil {
			err = b.keep(&s.participant)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	handle := &Subscriber{c: s}
	runtime.AddCleanup(handle, func(s *subscriber) { s.bus.collected(&s.participant) }, s)
	return handle, nil
}

// Topics lists the topics of the bus, by name.
func (b *Bus) Topics(ctx context.Context) (list []TopicInfo, err error) {
	err = b.call(ctx, func(ctx context.Context) error {
		list, err = b.client.Topics(ctx)
		return err
	})
	return list, err
}

// Host tells about the host of the bus.
func (b *Bus) Host(ctx context.Context) (info HostInfo, err error) {
	err = b.call(ctx, func(ctx context.Context) error {
		info, err = b.client.Host(ctx)
		return err
	})
	return info, err
}

// Remove removes a topic that nobody is attached to and the host keeps.
// Errors: [ErrNoTopic], [ErrTopicInUse].
func (b *Bus) Remove(ctx context.Context, topic string) error {
	return b.call(ctx, func(ctx context.Context) error { return b.client.Remove(ctx, topic) })
}

// Hosting reports whether this handle is the host of the bus now.
func (b *Bus) Hosting() bool { return b.client.Hosting() }

// Close closes the handle and all its publishers and subscribers; if it is the
// host, somebody else becomes it. Blocked calls return ErrClosed, and Close
// waits until they are out. It does not wait for a Poll, which may be waiting
// for this very Close, nor for publishers with open claims: the last of these
// to end finishes what Close began. Calling it again does nothing.
func (b *Bus) Close() error {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil
	}
	b.closed, b.closing = true, true
	all := make([]*participant, 0, len(b.live))
	for p := range b.live {
		all = append(all, p)
	}
	b.mu.Unlock()
	b.end()
	var errs []error
	for _, p := range all {
		errs = append(errs, p.close())
	}
	b.mu.Lock()
	for b.calls > 0 || b.someInside() {
		b.changed.Wait()
	}
	b.closing = false
	b.mu.Unlock()
	return errors.Join(append(errs, b.finish())...)
}

// someInside reports whether a call is inside that will be out soon.
func (b *Bus) someInside() bool {
	for p := range b.live {
		if p.state.Load() == inside { // sync(bus.guard): closing the bus, pairs with out
			return true
		}
	}
	return false
}

// finish closes the client and the parker if nobody needs them any more and
// nobody else will.
func (b *Bus) finish() error {
	b.mu.Lock()
	b.changed.Broadcast()
	if !b.closed || b.closing || b.finished || b.calls > 0 || len(b.live) > 0 {
		b.mu.Unlock()
		return nil
	}
	b.finished = true
	b.mu.Unlock()
	b.parker.Close()
	return translate(b.client.Close())
}

// begin counts a goroutine that needs the client; false once the bus is closed.
func (b *Bus) begin() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	b.calls++
	return true
}

// ended is the opposite of begin.
func (b *Bus) ended() {
	b.mu.Lock()
	b.calls--
	b.mu.Unlock()
	_ = b.finish() // Close is long gone, or waits and finishes itself
}

// call runs do, which uses the client, so that Close ends it and waits for it.
func (b *Bus) call(ctx context.Context, do func(context.Context) error) error {
	if !b.begin() {
		return ErrClosed
	}
	defer b.ended()
	mine, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(b.life, cancel)()
	err := do(mine)
	if err != nil && b.life.Err() != nil && ctx.Err() == nil {
		return ErrClosed
	}
	return translate(err)
}

// keep enters a new participant; if the bus was closed meanwhile it gives
// everything back.
func (b *Bus) keep(p *participant) error {
	b.mu.Lock()
	late := b.closed
	if !late {
		b.live[p] = struct{}{}
	}
	b.mu.Unlock()
	if late {
		return errors.Join(ErrClosed, p.grant.Release())
	}
	p.grant.OnOrphaned(p.orphan)
	return nil
}

// wake makes Close look again whether calls are inside.
func (b *Bus) wake() {
	b.mu.Lock()
	b.changed.Broadcast()
	b.mu.Unlock()
}

// forget strikes out a participant that has left.
func (b *Bus) forget(p *participant) {
	b.mu.Lock()
	delete(b.live, p)
	b.mu.Unlock()
	_ = b.finish() // as in ended
}

// collected closes the participant of a handle that was collected. Leaving
// takes a word with the host, for which the runtime must not wait.
func (b *Bus) collected(p *participant) {
	if p.over() {
		return
	}
	if b.begin() {
		go func() {
			defer b.ended()
			p.abandon()
		}()
		return
	}
	p.abandon()
}
