package control

import (
	"errors"
	"fmt"
	"os"
	"time"
)

// This file is how connections come in, up to their hello.

// accept takes connections until the listener is closed.
func (h *host) accept() {
	defer h.work.Done()
	h.keepSpare(true)
	defer h.keepSpare(false)
	for {
		ln := h.listening()
		conn, err := ln.Accept()
		switch {
		case err == nil:
			h.admit(conn)
			continue
		case errors.Is(err, ErrClosed) && ln != h.listening():
			continue
		case errors.Is(err, ErrClosed):
			return
		case errors.Is(err, ErrNoDescriptors):
			h.acceptLast()
		default:
			h.log.Warn("accept", "error", err)
		}
		if !h.pause(20 * time.Millisecond) {
			return
		}
	}
}

// acceptLast accepts a connection with the descriptor that was kept back for
// this, and says why it cannot be served. The kernel looks for a descriptor first
// and for a connection after that, so there may be none.
func (h *host) acceptLast() {
	h.keepSpare(false)
	defer h.keepSpare(true)
	ln := h.listening()
	if ln.SetDeadline(time.Now().Add(5*time.Millisecond)) != nil {
		return
	}
	conn, err := ln.Accept()
	if ln.SetDeadline(time.Time{}) != nil || err != nil {
		return
	}
	if h.keepSpare(true) { // somebody has closed something
		h.admit(conn)
		return
	}
	h.refuse(conn, noDescriptors(ErrNoDescriptors))
}

// keepSpare holds a descriptor back, or lets go of it; false if there is none.
func (h *host) keepSpare(keep bool) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case keep && h.spare == nil:
		if f, err := os.Open(os.DevNull); err == nil {
			h.spare = f
		}
	case !keep && h.spare != nil:
		h.spare.Close()
		h.spare = nil
	}
	return h.spare != nil
}

func noDescriptors(err error) error {
	return fmt.Errorf("the host (pid %d) cannot serve another connection; raise its RLIMIT_NOFILE: %w", os.Getpid(), err)
}

// refuse tells a connection why and ends it. A fresh connection's buffer is
// empty, so this does not block.
func (h *host) refuse(conn *Conn, err error) {
	h.log.Warn("refuse a connection", "error", err)
	if err := conn.Send(time.Now().Add(h.config.Send), newErrorMessage(0, err)); err != nil {
		h.log.Debug("refuse", "error", err)
	}
	h.hangUp(conn)
}

// stranger reports whether the other end is of another uid than the bus.
func (h *host) stranger(conn *Conn) bool {
	uid, _, _, err := conn.credentials()
	return err != nil || uid != h.dir.Owner()
}

// hangUp closes a connection that has no session. It does not wait for a stranger.
func (h *host) hangUp(conn *Conn) {
	if h.stranger(conn) {
		conn.shutDown()
		h.foreign.close(func() { conn.Close() })
		return
	}
	conn.Close()
}

// crowd counts the connections of the owner's uid, or those of all others.
type crowd struct {
	unknown int // before their hello
	known   int // and after it
}

// crowd returns what a session counts with, and how many there may be of each. Guests
// have half as much, and take nothing of it from the owner. mu is held.
func (h *host) crowd(s *session) (c *crowd, unknown, known int) {
	if s.stranger {
		return &h.guests, max(1, h.config.MaxUnknown/2), max(1, h.config.MaxClients/2)
	}
	return &h.owners, h.config.MaxUnknown, h.config.MaxClients
}

// admit starts the session of a new connection, within the limits.
func (h *host) admit(conn *Conn) {
	s := newSession(h, conn)
	if s.stranger = h.stranger(conn); h.dir.Group() != nil {
		passRights(conn.raw, !s.stranger)
	}
	h.mu.Lock()
	crowd, most, _ := h.crowd(s)
	var err error
	switch {
	case crowd.unknown >= most:
		err = fmt.Errorf("%w: %d connections have not said who they are", ErrTooManyClients, crowd.unknown)
	case h.open:
		crowd.unknown++
		h.sessions[s] = struct{}{}
		h.work.Add(1)
	}
	open := h.open
	h.mu.Unlock()
	switch {
	case err != nil:
		h.refuse(conn, err)
	case !open:
		h.hangUp(conn)
	default:
		go s.run()
	}
}

func (h *host) listening() *Listener {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.listener
}

// keepSocket listens again if somebody has removed or replaced the socket: who is
// connected would not notice, and nobody else could join. The host's lock has just
// been checked.
func (h *host) keepSocket() {
	ln := h.listening()
	if ln.inPlace(h.dir) {
		return
	}
	next, err := Listen(h.dir)
	if err != nil {
		if h.unplaced != err.Error() { // once
			h.unplaced = err.Error()
			h.log.Error("the socket was removed or replaced", "error", err)
		}
		return
	}
	h.unplaced = ""
	h.mu.Lock()
	if !h.open {
		ln = next
	} else {
		h.listener = next
	}
	h.mu.Unlock()
	ln.Close()
	h.log.Warn("the socket was removed or replaced; listening again", "socket", next.Addr())
}
