package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// link is one connection to a host. Its reader goroutine lives until the
// connection ends.
type link struct {
	conn *Conn
	pid  int           // the host's, for people
	down chan struct{} // closed when the reader has ended
	// heard is when the host last said something, in nanoseconds since began.
	heard atomic.Int64
	began time.Time

	queue  []*call        // found no room in the socket; guarded by the client's mutex
	sender sync.WaitGroup // the goroutine that sends them, while there are any
}

// call is a request that is not answered yet. It survives its connection: the
// next one carries it again, unless it is about that connection itself.
type call struct {
	id      uint64
	message func(id uint64) any
	files   []*os.File
	resend  bool
	names   bool        // until it is answered, a name may be taken by us
	lasting bool        // to be sent also when nobody waits for its answer any more
	patient bool        // waits for its answer for as long as the connection lives
	final   chan answer // buffered; exactly one answer
	sent    *link       // the connection that carries it; guarded by the client's mutex
	// waiting: the host has said that it takes time, and why.
	waiting atomic.Pointer[waitingMessage]
}

// answer is what ended a call.
type answer struct {
	raw   []byte
	kind  string
	files []*os.File
	link  *link // the connection it came by
	err   error
}

func (c *call) finish(a answer) {
	select {
	case c.final <- a:
	default:
		CloseFiles(a.files)
	}
}

func (a answer) decode(m any) error {
	if err := json.Unmarshal(a.raw, m); err != nil {
		return fmt.Errorf("%w: the host's %s: %w", ErrMalformed, a.kind, err)
	}
	return nil
}

// errLinkLost: the connection ended before the answer.
var errLinkLost = errors.New("control: the connection to the host ended")

// request makes a request that may be made again on the next connection.
func (c *Client) request(ctx context.Context, message func(id uint64) any) (answer, error) {
	return c.do(ctx, &call{message: message, resend: true})
}

// do sends a request and waits for its answer: over the present connection, or
// over the next one.
func (c *Client) do(ctx context.Context, call *call) (answer, error) {
	call.id = c.lastID.Add(1)
	call.final = make(chan answer, 1)
	c.mu.Lock()
	if c.closing {
		c.mu.Unlock()
		return answer{}, ErrClosed
	}
	l := c.link
	if l == nil && !call.resend {
		c.mu.Unlock()
		return answer{}, errLinkLost
	}
	c.calls[call.id] = call
	call.sent = l
	c.mu.Unlock()
	if l != nil {
		c.send(ctx, l, call)
	}
	return c.await(ctx, call)
}

// await waits for the answer, and finds out if the host is not there to give one.
func (c *Client) await(ctx context.Context, call *call) (answer, error) {
	patience := time.NewTimer(stallAfter)
	defer patience.Stop()
	var asked time.Time
	for {
		select {
		case a := <-call.final:
			return a, a.err
		case <-ctx.Done():
			return c.giveUp(call, c.explain(call, ctx.Err()))
		case <-patience.C:
			rest, stalled := c.silence(call, &asked)
			if stalled != nil {
				return c.giveUp(call, stalled)
			}
			patience.Reset(rest)
		}
	}
}

// silence looks whether the host is still there, asking it if it has said nothing
// for long, and returns when to look again. asked is when it was asked; an answer that
// came after that counts, however long ago it was.
func (c *Client) silence(call *call, asked *time.Time) (time.Duration, error) {
	c.mu.Lock()
	l := c.link
	c.mu.Unlock()
	if l == nil || call.patient || call.waiting.Load() != nil {
		*asked = time.Time{}
		return stallAfter, nil
	}
	heard := l.began.Add(time.Duration(l.heard.Load()))
	if silent := time.Since(heard); silent < stallAfter {
		*asked = time.Time{}
		return stallAfter - silent, nil
	}
	if !asked.IsZero() && heard.Before(*asked) {
		return 0, fmt.Errorf("%w: pid %d has been silent for %v; is it stopped?", ErrHostStalled, l.pid, 2*stallAfter)
	}
	*asked = time.Now()
	// The answer to an id of nobody is dropped; that it came is what counts. Not
	// waiting: if its buffer is full it does not read.
	if err := l.conn.Send(time.Now().Add(stallAfter), plainRequest{NewHeader(typePing, c.lastID.Add(1))}); err != nil {
		c.log.Debug("ping", "error", err)
	}
	return stallAfter, nil
}

// explain says why a context's end came before the answer.
func (c *Client) explain(call *call, err error) error {
	c.mu.Lock()
	l := c.link
	c.mu.Unlock()
	if l == nil {
		return c.errWaiting(err)
	}
	if w := call.waiting.Load(); w != nil && w.Reason == waitStalled {
		return fmt.Errorf("%w: %s: %w", ErrStalled, w.Message, err)
	}
	return err
}

// giveUp forgets a call and tells the host so. If the answer came at the same
// moment, it counts.
func (c *Client) giveUp(call *call, err error) (answer, error) {
	c.mu.Lock()
	_, open := c.calls[call.id]
	delete(c.calls, call.id)
	l := c.link
	if call.sent != l {
		l = nil // whoever listens there has not heard of it
	}
	if open && l != nil && call.names {
		c.disowned.add(call.id)
	}
	c.mu.Unlock()
	if !open {
		a := <-call.final
		return a, a.err
	}
	if l != nil {
		c.sendCancel(l, call.id, time.Now().Add(10*time.Millisecond))
	}
	return answer{}, err
}

// sendCancel tells the host that nobody waits for a request any more. If it
// cannot be told in time, a late grant is released by the reader, and
// awaitDisowned tells it again.
func (c *Client) sendCancel(l *link, id uint64, deadline time.Time) {
	if err := l.conn.Send(deadline, cancelRequest{NewHeader(typeCancel, c.lastID.Add(1)), id}); err != nil {
		c.log.Debug("cancel", "error", err)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.disowned.told(id)
}

// take removes a call; false if somebody else did, who then finishes it.
func (c *Client) take(id uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.calls[id]
	delete(c.calls, id)
	return ok
}

// read is the reader goroutine of a connection.
func (c *Client) read(l *link) {
	defer close(l.down)
	defer l.sender.Wait()
	for {
		raw, files, err := l.conn.Receive(time.Time{})
		short := err != nil && raw != nil
		if err != nil && !short {
			c.lose(l, err)
			return
		}
		l.heard.Store(int64(time.Since(l.began)))
		if short {
			err = c.short(l, raw, err)
		} else {
			err = c.receive(l, raw, files)
		}
		if err != nil {
			c.log.Warn("drop the connection to the host", "error", err)
			c.lose(l, err)
			return
		}
	}
}

// lose ends a connection. Calls that were about it end with it; so does one that
// the loss is about, which would only lose the next one too.
func (c *Client) lose(l *link, err error) {
	l.conn.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link == l {
		c.link = nil
		c.disowned.clear() // what was granted by it, the next host takes back
	}
	fatal := errors.Is(err, ErrNoDescriptors)
	for id, call := range c.calls {
		if call.resend && !fatal {
			call.waiting.Store(nil)
			continue
		}
		delete(c.calls, id)
		if !fatal {
			err = errLinkLost
		}
		call.finish(answer{err: err})
	}
}

// receive hands a message of the host to the call it is for. It owns files.
func (c *Client) receive(l *link, raw []byte, files []*os.File) error {
	head, err := DecodeHeader(raw)
	if err != nil {
		CloseFiles(files)
		return err
	}
	if head.Type == typeWaiting {
		CloseFiles(files)
		var m waitingMessage
		if err := json.Unmarshal(raw, &m); err != nil {
			return fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		c.mu.Lock()
		if call := c.calls[head.ID]; call != nil {
			call.waiting.Store(&m)
		}
		c.mu.Unlock()
		return nil
	}
	a := answer{raw: raw, kind: head.Type, files: files, link: l}
	if head.Type == typeError {
		a.err = decodeError(raw)
		if head.ID == 0 { // about the connection
			CloseFiles(files)
			return a.err
		}
	}
	c.mu.Lock()
	call := c.calls[head.ID]
	delete(c.calls, head.ID)
	if call != nil && a.kind == typeGrant {
		c.accepting++ // until grant notes it as held: the next host must hear of it
	}
	c.mu.Unlock()
	if call != nil {
		call.finish(a)
		return nil
	}
	return c.unwanted(l, head.ID, a)
}

// short is told of a message whose descriptors this process had no room for:
// the call it answers fails, and nothing else is lost.
func (c *Client) short(l *link, raw []byte, reason error) error {
	head, err := DecodeHeader(raw)
	if err != nil {
		return err
	}
	if err := c.unwanted(l, head.ID, answer{raw: raw, kind: head.Type}); err != nil {
		return err
	}
	c.mu.Lock()
	call := c.calls[head.ID]
	delete(c.calls, head.ID)
	c.mu.Unlock()
	if call != nil {
		call.finish(answer{err: reason})
	}
	return nil
}

// unwanted is an answer that came too late. A slot it grants is given back.
func (c *Client) unwanted(l *link, id uint64, a answer) error {
	CloseFiles(a.files)
	if a.kind != typeGrant {
		c.mu.Lock()
		c.disowned.remove(id)
		c.mu.Unlock()
		return nil
	}
	var m grantMessage
	if err := a.decode(&m); err != nil {
		return err
	}
	release := c.lastID.Add(1)
	c.mu.Lock()
	if c.link == l {
		c.disowned.add(release)
	}
	c.disowned.remove(id)
	c.mu.Unlock()
	err := l.conn.Send(time.Now().Add(sendPatience), releaseRequest{NewHeader(typeRelease, release), m.slotID})
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("control: release a late grant: %w", err)
	}
	return nil
}
