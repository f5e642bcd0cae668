package web

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/shmbus/shmbus/bus"
)

const (
	// mostPublishers is how many topics the bridge publishes to at once.
	mostPublishers = 64
	// publisherIdle is how long a publisher that nobody uses stays: its topic
	// stays with it.
	publisherIdle = 30 * time.Second
)

// publishers are the bridge's publishers, one for a topic: made when they are
// needed, closed when they were not for a while. All methods may be called from
// any goroutine.
type publishers struct {
	life context.Context
	join func(ctx context.Context, topic string) (*bus.SharedPublisher, error)
	idle time.Duration

	mu     sync.Mutex // never held over a call of the host
	list   map[string]*attached
	closed bool
	calls  sync.WaitGroup // of the host
}

// attached is a publisher, or becomes one.
type attached struct {
	topic string
	ready chan struct{} // closed when p or err is there
	p     *bus.SharedPublisher
	err   error
	users int // requests
	uses  int // requests so far
}

func newPublishers(life context.Context, join func(context.Context, string) (*bus.SharedPublisher, error)) *publishers {
	return &publishers{life: life, join: join, idle: publisherIdle, list: map[string]*attached{}}
}

// get returns the publisher of a topic, which stays until release is called
// once. It blocks until the host has answered or ctx ends, and not at all if
// the publisher is there. Errors: those of join, ctx's, errBusy.
func (l *publishers) get(ctx context.Context, topic string) (p *bus.SharedPublisher, release func(), err error) {
	a, err := l.use(topic)
	if err != nil {
		return nil, nil, err
	}
	select {
	case <-a.ready:
		err = a.err
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		l.release(a)
		return nil, nil, err
	}
	return a.p, func() { l.release(a) }, nil
}

// use counts a user of a topic's publisher, and has it made if it is not there.
func (l *publishers) use(topic string) (*attached, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.list[topic]
	if a == nil {
		if l.closed {
			return nil, bus.ErrClosed
		}
		if len(l.list) >= mostPublishers && !l.removeIdle() {
			return nil, fmt.Errorf("%w: it publishes to %d topics at this moment, which is the limit", errBusy, mostPublishers)
		}
		a = &attached{topic: topic, ready: make(chan struct{})}
		l.list[topic] = a
		l.calls.Go(func() { l.attach(a) })
	}
	a.users++
	a.uses++
	return a, nil
}

// attach makes the publisher. Its time is its own: others wait for it too.
func (l *publishers) attach(a *attached) {
	ctx, cancel := context.WithTimeout(l.life, hostTimeout)
	defer cancel()
	p, err := l.join(ctx, a.topic)
	if err != nil && l.life.Err() != nil {
		err = bus.ErrClosed
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	a.p, a.err = p, err
	close(a.ready)
	if err != nil && l.list[a.topic] == a {
		delete(l.list, a.topic) // the next one tries again
	}
}

// release takes a use back. The last one leaves the publisher for a while.
func (l *publishers) release(a *attached) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a.users--
	if a.users > 0 || l.list[a.topic] != a {
		return
	}
	uses := a.uses
	time.AfterFunc(l.idle, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if a.uses == uses {
			l.remove(a)
		}
	})
}

// drop forgets the publisher of a topic that is of no more use, if it is this
// one still.
func (l *publishers) drop(topic string, p *bus.SharedPublisher) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a := l.list[topic]; a != nil && a.p == p {
		l.remove(a)
	}
}

// removeIdle removes one that nobody uses, if there is one. Under mu.
func (l *publishers) removeIdle() bool {
	for _, a := range l.list {
		if a.users == 0 {
			l.remove(a)
			return true
		}
	}
	return false
}

// remove forgets a publisher and has it closed. Under mu.
func (l *publishers) remove(a *attached) {
	if l.list[a.topic] != a || l.closed {
		return
	}
	delete(l.list, a.topic)
	l.calls.Go(func() {
		<-a.ready
		if a.err == nil {
			_ = a.p.Close() // there is nobody to tell
		}
	})
}

// wait makes no more publishers and waits until nothing is asked of the host
// for them; life is over. Those that are there end with their bus.
func (l *publishers) wait() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.calls.Wait()
}
