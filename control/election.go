package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"time"
)

// Election: whoever gets host.lock hosts. There is no vote and no message among
// the survivors; the kernel gives the lock to one, and takes it back from the
// dead. A contender that dies
//
//	before it listens    the lock is free again; the next one gets it
//	after it listens     likewise; its socket refuses, which is as good as none
//	while it adopts      likewise; offers are made again, see adopt.go
//
// A contender that is stopped holds the lock: nobody can tell it from a slow one,
// so nobody takes it over, and joins fail with ErrHostStalled and its pid.

// jitter spreads the survivors, so that one takes the lock and the others find it
// listening.
func jitter() time.Duration { return time.Millisecond + rand.N(19*time.Millisecond) }

// connect finds the host, or becomes it and then connects to itself. first: for
// Dial, which reports what stands in the way; coming back tries until ctx ends.
func (c *Client) connect(ctx context.Context, first bool) (*link, error) {
	began := time.Now()
	for {
		l, err := c.greet(ctx, !first)
		if err == nil {
			return l, nil
		}
		if errors.Is(err, ErrNoHost) && c.mayHost() {
			started, hostErr := c.tryHost()
			if started {
				continue
			}
			if hostErr != nil {
				err = hostErr
			}
		}
		if !first && errors.Is(err, ErrNoHost) {
			if gone := c.dir.Check(); gone != nil {
				err = gone
			}
		}
		wait := jitter()
		late := ctx.Err()
		if d, ok := ctx.Deadline(); ok && !time.Now().Before(d) {
			late = context.DeadlineExceeded // the timer of ctx is not the only one
		}
		switch waited := time.Since(began); {
		case late != nil && first:
			return nil, c.explainConnect(err, late)
		case late != nil:
			return nil, late
		case !first && isFinal(err):
			c.log.Warn("come back", "error", err)
			wait += 100 * time.Millisecond
			if errors.Is(err, ErrNoBus) {
				c.failCalls(err)
			}
		case !first && waited > longAway:
			wait += 100 * time.Millisecond
		case !first:
		case isFinal(err):
			return nil, err
		case errors.Is(err, ErrNoHost) && !c.mayHost() && waited > noHostGrace && c.dir.HostPID() == 0:
			return nil, err
		case waited > 2*stallAfter:
			if errors.Is(err, ErrNoHost) {
				err = fmt.Errorf("%w: pid %d holds %s/%s but does not listen", ErrHostStalled, c.dir.HostPID(), c.dir, LockName)
			}
			return nil, err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

// failCalls ends all that is asked for: the directory was removed, and no host will
// come to it.
func (c *Client) failCalls(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, call := range c.calls {
		delete(c.calls, id)
		call.finish(answer{err: err})
	}
}

// explainConnect says what was in the way when the caller's context ended.
func (c *Client) explainConnect(err, ctxErr error) error {
	switch {
	case errors.Is(err, ErrNoHost):
		return c.errWaiting(ctxErr)
	case errors.Is(err, ctxErr):
		return err
	}
	return fmt.Errorf("%w: %w", err, ctxErr)
}

// tryHost becomes the host if nobody is.
func (c *Client) tryHost() (bool, error) {
	lock, ok, err := c.dir.TryHostLock()
	if !ok {
		return false, err
	}
	c.mu.Lock()
	last := c.host
	c.mu.Unlock()
	if last != nil {
		last.close() // it had lost its lock
	}
	ln, err := Listen(c.dir)
	if err != nil {
		lock.Release()
		return false, err
	}
	h, err := newHost(c.dir, lock, ln, c.memberID(), true, c.config.Host, c.log)
	if err != nil {
		return false, err
	}
	c.mu.Lock()
	c.host = h
	c.mu.Unlock()
	return true, nil
}

// greet connects and says hello. returning: offers will follow.
func (c *Client) greet(ctx context.Context, returning bool) (*link, error) {
	bounded, cancel := context.WithTimeout(ctx, 2*stallAfter)
	defer cancel()
	conn, err := dialHost(bounded, c.dir)
	if err != nil {
		return nil, err
	}
	l := &link{conn: conn, down: make(chan struct{}), began: time.Now()}
	if err := c.hello(bounded, l, returning); err != nil {
		conn.Close()
		return nil, err
	}
	return l, nil
}

func (c *Client) hello(ctx context.Context, l *link, returning bool) error {
	// Its deadline is theirs. When ctx is cancelled the connection ends: a deadline in
	// the past would be replaced by that of the next call.
	stop := context.AfterFunc(ctx, func() {
		if errors.Is(ctx.Err(), context.Canceled) {
			l.conn.Close()
		}
	})
	defer stop()
	deadline, _ := ctx.Deadline()
	err := l.conn.Send(deadline, helloRequest{Header: NewHeader(typeHello, c.lastID.Add(1)), Member: c.memberID(),
		Program: programName(), Observer: c.config.Observer, Returning: returning, Membarrier: !c.barred})
	if err != nil && !errors.Is(err, io.EOF) {
		return c.unanswered(l, err)
	}
	raw, files, err := l.conn.Receive(deadline)
	if err != nil {
		return c.unanswered(l, err)
	}
	CloseFiles(files)
	head, err := DecodeHeader(raw)
	switch {
	case err != nil:
		return err
	case head.Type == typeError:
		return decodeError(raw)
	case head.Type != typeWelcome:
		return fmt.Errorf("%w: %q in place of welcome", ErrMalformed, head.Type)
	}
	var m welcomeMessage
	if err := (answer{raw: raw, kind: head.Type}).decode(&m); err != nil {
		return err
	}
	l.pid = m.PID
	return nil
}

// unanswered: the host took the connection and then said nothing, or went.
func (c *Client) unanswered(l *link, err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		pid := c.dir.HostPID()
		if _, _, listener, credErr := l.conn.credentials(); pid == 0 && credErr == nil {
			pid = int(listener)
		}
		return fmt.Errorf("%w: pid %d accepted the connection but says nothing; is it stopped?: %w", ErrHostStalled, pid, err)
	}
	return fmt.Errorf("control: the host went away: %w", err)
}

// install makes a fresh connection the present one and returns what is to be told
// on it: the slots held, and the calls not answered.
func (c *Client) install(l *link) ([]*Grant, []*call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.accepting > 0 {
		c.accepted.Wait() // what came by the last connection is held first
	}
	var grants []*Grant
	for g := range c.grants {
		g.attachment.refs++ // its descriptors stay open for the offer
		grants = append(grants, g)
	}
	var calls []*call
	for _, call := range c.calls {
		if call.resend {
			calls = append(calls, call)
		}
	}
	c.link = l
	go c.read(l)
	return grants, calls
}

// keep comes back whenever the connection ends.
func (c *Client) keep(l *link) {
	defer c.keeper.Done()
	check := time.NewTicker(time.Second)
	defer check.Stop()
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-check.C:
			c.checkMember()
			continue
		case <-l.down:
		}
		c.checkMember()
		next, err := c.connect(c.ctx, false)
		if err != nil {
			return // closed
		}
		l = next
		c.comeBack(l)
	}
}

// checkMember keeps the proof of life where others look for it.
func (c *Client) checkMember() {
	if c.member == nil {
		return
	}
	if err := c.member.Check(); err != nil {
		c.log.Warn("proof of life", "error", err)
	}
}

// comeBack offers every slot to a new host, makes the open requests again, and
// says that this is all, once the host has judged every offer. If it has not, the
// connection ends and all is done again on the next one.
func (c *Client) comeBack(l *link) {
	grants, calls := c.install(l)
	whole := true
	for _, g := range grants {
		whole = whole && c.bringBack(l, g)
		c.unref(g.attachment)
	}
	if !whole && c.isClosing() {
		return // bye says it for all
	}
	if !whole {
		// Ready would free a slot that may be in use.
		l.conn.Close()
		select {
		case <-time.After(jitter()):
		case <-c.ctx.Done():
		}
		return
	}
	for _, call := range calls {
		if !c.carry(l, call) {
			c.enqueue(l, call)
		}
	}
	_, err := c.do(c.ctx, &call{patient: true, message: func(id uint64) any { return plainRequest{NewHeader(typeReady, id)} }})
	if err != nil && !errors.Is(err, errLinkLost) && c.ctx.Err() == nil {
		c.log.Warn("ready", "error", err)
		l.conn.Close()
	}
}

// bringBack offers a slot, and reports whether the host has judged it.
func (c *Client) bringBack(l *link, g *Grant) bool {
	err := c.offer(g)
	var verdict *hostError
	if err != nil && (!errors.As(err, &verdict) || errors.Is(err, ErrTooManyRequests)) {
		if !errors.Is(err, errLinkLost) && !errors.Is(err, ErrClosed) && c.ctx.Err() == nil {
			c.log.Warn("offer", "topic", g.Topic, "slot", g.Slot, "error", err)
		}
		return false
	}
	if err != nil {
		c.log.Warn("offer", "topic", g.Topic, "slot", g.Slot, "error", err)
		c.repeatOffer(l, g, err)
	}
	if errors.Is(err, ErrOrphaned) && g.id.Role == rolePublisher {
		c.orphan(g)
		return true
	}
	c.mu.Lock()
	_, held := c.grants[g]
	c.mu.Unlock()
	if !held {
		// Released while it was being offered: say so again, after the offer.
		c.tellRelease(g)
	}
	return true
}

// isOpen reports whether a call is waited for, and if so notes that l carries it.
func (c *Client) isOpen(call *call, l *link) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, open := c.calls[call.id]
	if open {
		call.sent = l
	}
	return open
}
