package control

import (
	"context"
	"fmt"
	"time"
)

// This file is what happens when somebody goes, in whatever way. The rules:
//
//   - A publisher is dead when its pidfd is readable and its connection has ended,
//     or, for one that this host has never seen, when its member lock is gone.
//     Nothing else frees its slots without its word: not time, not the end of the
//     connection alone.
//   - A subscriber stops gating when its connection ends.
//   - If the host itself dies in the middle, the successor finds the slot granted and
//     judges it again; removing it twice is as good as once.

// end is the end of a connection, however it came.
func (h *host) end(s *session) {
	var leaving []*holder
	needed, unneeded := context.WithCancel(h.ctx)
	defer unneeded()
	h.mu.Lock()
	s.ended = true
	s.unneeded = unneeded
	crowd, _, _ := h.crowd(s)
	if delete(h.sessions, s); s.known {
		crowd.known--
	} else {
		crowd.unknown--
	}
	if h.members[s.member] == s {
		delete(h.members, s.member)
	}
	h.each(func(d *holder) {
		switch {
		case !h.open || d.session != s || d.state != holderLive && d.state != holderMapping:
			// When the host ends, everybody keeps what he has, for the next one.
		case d.state == holderMapping:
			s.behind++ // away, or dropped, when mapped is through
		case d.role == rolePublisher:
			d.state = holderAway
			s.behind++
		default:
			d.state = holderDetached
			leaving = append(leaving, d)
			s.behind++
		}
	})
	waits := s.behind > 0
	h.mu.Unlock()
	s.cancel()
	s.finish()
	for _, d := range leaving {
		if err := d.removeSlot(); err != nil { // of subscribers: none
			h.log.Error("detach", "error", err)
		}
	}
	close(s.gone)
	s.work.Wait()
	if s.peer == nil {
		return
	}
	if waits {
		if err := s.peer.WaitExit(needed); err == nil {
			h.buried(s)
		}
	}
	s.peer.Close()
}

// depart: a holder that the end of its connection left behind goes, or goes over to
// another connection of its member. Who left none behind any more is not waited for.
// mu is held.
func (d *holder) depart() {
	s := d.session
	if s == nil || s.behind == 0 {
		return
	}
	if s.behind--; s.behind == 0 {
		s.unneeded()
	}
}

// buried frees what a process held that is now proven dead. Subscribers first:
// they cost a word each, a publisher's repair walks the ring.
func (h *host) buried(s *session) {
	n := h.dropAll(func(d *holder) bool {
		return d.session == s && (d.state == holderAway || d.state == holderDetached)
	})
	h.log.Info("repaired after a death", "client", s.String(), "slots", n)
}

// dropAll makes the chosen holders leaving, and removes them. choose is called
// with mu held.
func (h *host) dropAll(choose func(*holder) bool) int {
	h.mu.Lock()
	leaving := h.makeLeaving(choose)
	h.mu.Unlock()
	for _, d := range leaving {
		h.drop(d)
	}
	return len(leaving)
}

// dropUntilNone is dropAll until there is none to choose. It returns with mu
// held: what the caller does then comes before there is another.
func (h *host) dropUntilNone(choose func(*holder) bool) {
	for {
		h.mu.Lock()
		leaving := h.makeLeaving(choose)
		if len(leaving) == 0 {
			return
		}
		h.mu.Unlock()
		for _, d := range leaving {
			h.drop(d)
		}
	}
}

// makeLeaving makes the chosen holders leaving, and returns them, subscribers
// first. One that is mapping it leaves to mapped. mu is held.
func (h *host) makeLeaving(choose func(*holder) bool) []*holder {
	var subscribers, publishers []*holder
	h.each(func(d *holder) {
		if !choose(d) {
			return
		}
		if d.state == holderMapping {
			d.unwanted = true
			return
		}
		d.depart()
		d.state = holderLeaving
		if d.role == rolePublisher {
			publishers = append(publishers, d)
		} else {
			subscribers = append(subscribers, d)
		}
	})
	return append(subscribers, publishers...)
}

// each calls f for every taken slot of every topic. mu is held.
func (h *host) each(f func(*holder)) {
	for _, t := range h.topics {
		t.holders(f)
	}
}

// leave frees all that a session holds, at its word.
func (h *host) leave(s *session) {
	h.dropAll(func(d *holder) bool {
		return d.session == s && (d.state == holderLive || d.state == holderMapping || d.state == holderDetached)
	})
}

// release frees one slot at the word of its holder. A slot that is not there, or
// not the sender's, is none of its business any more: that is no error, since a
// host that died may have freed it already.
func (h *host) release(s *session, id slotID) error {
	h.mu.Lock()
	delete(s.claims, id)
	h.mu.Unlock()
	h.dropAll(func(d *holder) bool {
		mine := d.session == s || s.member != 0 && d.member == s.member
		return mine && d.id() == id && d.state != holderGranting && d.state != holderLeaving
	})
	return nil
}

// ready: the member has offered all that it holds. What the rings say it holds
// beyond that, it was granted by a host that died before it could say so, or it
// left while there was no host.
func (h *host) ready(s *session) {
	h.dropUntilNone(func(d *holder) bool {
		_, claimed := s.claims[d.id()]
		return s.member != 0 && d.member == s.member && !claimed &&
			(d.state == holderAway || d.state == holderDetached || d.state == holderMapping && d.session != s)
	})
	h.arrive(s) // from here on adopt looks itself; in the same breath, or a topic might come in between
	h.mu.Unlock()
}

// watch judges those who have not come back, and checks that we are the host.
func (h *host) watch() {
	defer h.work.Done()
	coming := time.NewTicker(settleStep)
	defer coming.Stop()
	lock := time.NewTicker(lockEvery)
	defer lock.Stop()
	check := time.NewTicker(checkEvery)
	defer check.Stop()
	again := time.NewTimer(0)
	defer again.Stop()
	for {
		select {
		case <-h.ctx.Done():
			return
		case <-lock.C:
			if err := h.lock.Check(); err != nil {
				h.log.Error("this process is not the host any more", "error", err)
				go h.close() // joined by whoever owns the host: close waits for it
				continue
			}
			h.keepSocket()
			continue
		case <-check.C:
			h.checkTopics()
			continue
		case <-coming.C: // once, however many ticks passed while this process did not run
			h.mu.Lock()
			h.waited += settleStep
			h.settleIfComplete()
			whole := h.making
			h.mu.Unlock()
			if whole {
				coming.Stop()
			}
			continue
		case <-h.judge:
		case <-again.C:
		}
		if h.judgeAbsent() {
			again.Reset(judgeEvery)
		}
	}
}

// judgeNow makes watch look at once.
func (h *host) judgeNow() {
	select {
	case h.judge <- struct{}{}:
	default:
	}
}

// judgeAbsent asks the kernel for the member locks of all who were here before
// this host and have not come back. It reports whether some are still absent.
func (h *host) judgeAbsent() bool {
	absent := map[uint64]struct{}{}
	h.mu.Lock()
	for id := range h.missing {
		absent[id] = struct{}{}
	}
	h.each(func(d *holder) {
		if d.state == holderAway && d.session == nil {
			absent[d.member] = struct{}{}
		}
	})
	h.mu.Unlock()
	dead := map[uint64]bool{}
	for id := range absent {
		if !h.present(id) {
			dead[id] = true
		}
	}
	n := h.dropAll(func(d *holder) bool {
		return d.state == holderAway && d.session == nil && dead[d.member]
	})
	if n > 0 {
		h.log.Info("repaired after deaths under the previous host", "slots", n)
	}
	h.mu.Lock()
	for id := range dead {
		delete(h.missing, id)
	}
	h.settleIfComplete()
	h.mu.Unlock()
	return len(absent) > len(dead)
}

// present reports whether a member may still be there. Guests, and lossy
// subscribers without a lock, hold nobody up: time judges them.
func (h *host) present(member uint64) bool {
	alive, err := h.dir.MemberAlive(member)
	if err == nil {
		return alive
	}
	if member == 0 || member>>idBits != 0 {
		return time.Since(h.started) < guestAbsence
	}
	h.log.Debug("judge", "member", member, "error", fmt.Errorf("taken for alive: %w", err))
	return true
}
