package control

import (
	"context"
	"errors"
	"os"
	"time"
)

// Requests that found no room in the socket, because the host does not read, wait in
// the connection's queue, and are sent in their order when it reads again. The queue
// ends with the connection: what is to be told on the next one is told there.

// send puts a call on a connection, or into the queue for it if there is no room
// until ctx's deadline, or for sendPatience. If the connection fails it ends, and what
// is to be done is done by those who see it end.
func (c *Client) send(ctx context.Context, l *link, call *call) {
	until := time.Now().Add(sendPatience)
	if d, ok := ctx.Deadline(); ok && d.Before(until) {
		until = d
	}
	if !c.trySend(l, call, until) {
		c.enqueue(l, call)
	}
}

// trySend reports false if there was no room for a call, of which the host has not
// heard then.
func (c *Client) trySend(l *link, call *call, until time.Time) bool {
	err := l.conn.Send(until, call.message(call.id), call.files...)
	switch {
	case err == nil:
	case errors.Is(err, os.ErrDeadlineExceeded):
		// Full of requests to a host that does not read: await says so.
		c.log.Debug("send", "error", err)
		c.mu.Lock()
		if call.sent == l && !call.lasting {
			call.sent = nil
			c.disowned.remove(call.id)
		}
		c.mu.Unlock()
		return false
	case errors.Is(err, ErrMalformed), errors.Is(err, ErrDescriptors):
		c.take(call.id)
		call.finish(answer{err: err}) // our own fault; the connection is whole
	default:
		l.conn.Close()
	}
	return true
}

// carry is trySend for a call that may have been given up before, or is meanwhile.
func (c *Client) carry(l *link, call *call) bool {
	if !c.isOpen(call, l) && !call.lasting {
		return true
	}
	if !c.trySend(l, call, time.Now().Add(sendPatience)) {
		return false
	}
	if !call.lasting && !c.isOpen(call, l) { // perhaps before the host could know what
		c.sendCancel(l, call.id, time.Now().Add(sendPatience))
	}
	return true
}

// enqueue leaves a call to the goroutine that sends what found no room.
func (c *Client) enqueue(l *link, call *call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link != l {
		return
	}
	l.queue = append(l.queue, call)
	if len(l.queue) == 1 {
		l.sender.Add(1)
		go c.sendQueue(l)
	}
}

// sendQueue sends what found no room, until nothing is left or the connection ends.
func (c *Client) sendQueue(l *link) {
	defer l.sender.Done()
	for {
		c.mu.Lock()
		if c.link != l {
			c.mu.Unlock()
			return
		}
		next := l.queue[0]
		c.mu.Unlock()
		if !c.carry(l, next) {
			continue // it has waited
		}
		c.mu.Lock()
		l.queue = l.queue[1:]
		through := len(l.queue) == 0
		c.mu.Unlock()
		if through {
			return
		}
	}
}
