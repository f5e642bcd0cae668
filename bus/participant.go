package bus

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/shmbus/shmbus/control"
)

// participant is what a Publisher and a Subscriber have in common: a slot of a
// topic and the mapping that goes with it, given back in two steps. First it
// leaves: the host takes the slot back and publishers no longer wait for it.
// Then it unmaps. What may happen when, once it is closed:
//
//	               subscriber        publisher
//	call inside    neither           neither
//	views out      leaves            neither: others must not write where a claim is being filled
//	idle           leaves, unmaps    leaves, unmaps
//	collected      leaves, unmaps    leaves, unmaps: a claim would have kept it
//	forgotten      leaves            as collected
//
// A forgotten one was collected without Close. A message keeps its subscriber
// from being collected, but its payload does not: who keeps that alone may be
// reading it when a forgotten subscriber is. So the memory stays mapped then if
// a view was out. It would be a fault otherwise, which ends the program; so the
// view shows the message until publishers, who do not wait for it any more,
// write over it. The price is one mapping a topic for as long as the program
// runs: all of a Bus share it.
type participant struct {
	guard
	bus       *Bus
	grant     *control.Grant
	publisher bool
	maps      bool   // what is lent is mapped memory that may be read without the handle
	interrupt func() // makes a blocked call return
	retire    func() // the last look at the mapped memory: flush, keep the statistics

	orphaned atomic.Bool // the host gave the slot up; closed is set, or about to be

	mu       sync.Mutex
	left     bool
	unmapped bool
}

// close marks and wakes, and gives back what it may now. Any goroutine. Only
// the first call does anything.
func (p *participant) close() error {
	if !p.shut() {
		return nil
	}
	p.interrupt()
	return p.settle(false)
}

// abandon closes for a handle that was collected: no call is inside and no
// message or claim is reachable.
func (p *participant) abandon() {
	forgotten := p.shut()
	if forgotten {
		p.interrupt()
	}
	_ = p.settle(!forgotten || !p.maps) // there is nobody to tell
}

// errGivenUp is what calls of an orphaned publisher return.
var errGivenUp = fmt.Errorf("%w: the host has given this publisher's slot up; close it and join again", ErrOrphaned)

// orphan stops a publisher whose slot is not its own any more. It does not block: it is
// called by the goroutine that comes back to a host, which Close waits for.
func (p *participant) orphan() {
	p.orphaned.Store(true) // sync(bus.orphan): before closed, pairs with explain
	if p.bus.begin() {
		go func() {
			defer p.bus.ended()
			_ = p.close() // there is nobody to tell
		}()
	}
}

// explain gives the error of a call its name here, and an orphaned publisher, which was
// stopped and not closed, its own. Cold path.
func (p *participant) explain(err error) error {
	err = translate(err)
	if err != nil && p.orphaned.Load() && errors.Is(err, ErrClosed) { // sync(bus.orphan): pairs with orphan
		return errGivenUp
	}
	return err
}

// exit goes out of a call.
func (p *participant) exit(as uint32) {
	if p.out(as) {
		_ = p.settle(false) // Close, which returned long ago, would have to say it
	}
}

// settle gives back what a closed participant may give back in the state it
// is in. unseen says that nobody looks at what is out.
func (p *participant) settle(unseen bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	state := p.state.Load() // sync(bus.guard): settling, pairs with enter and out
	if state == inside || state == polling {
		return nil // its way out leads here again
	}
	free := state == idle || unseen
	if p.unmapped || !free && (p.publisher || p.left) {
		p.bus.wake()
		return nil
	}
	var err error
	first := !p.left
	if first {
		p.left = true
		p.retire()
		err = p.grant.Leave()
	}
	if free {
		p.unmapped = true
		if e := p.grant.Release(); err == nil {
			err = e
		}
	}
	if first {
		p.bus.forget(p)
	}
	return translate(err)
}

// over reports whether everything is given back.
func (p *participant) over() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.unmapped
}
