package model

import "fmt"

// Properties of states. What a step itself finds wrong it says by wrong.

// check looks at any state: at most one process is inside. Who has left by its
// bias counts as inside until its last store under the lock is seen.
func (m *machine) check(s *state) string {
	inside := -1
	for i := range m.n {
		if i == m.repairer() || !isInside(&s.proc[i]) {
			continue
		}
		if inside >= 0 {
			return fmt.Sprintf("%s and %s are both inside", m.name(inside), m.name(i))
		}
		inside = i
	}
	return ""
}

func isInside(p *process) bool {
	if p.flags&fInside != 0 && (p.status == sLive || p.status == sStopped) {
		return true
	}
	for _, e := range p.buffer[:p.held] {
		a := int(e.addr)
		if a == wTail || a == wSequence || a == wPending || a == wBusyEnd || a == wClaimed || a >= wIndex && a < wFill {
			return true
		}
	}
	return false
}

// checkEnd looks at a state in which nobody moves any more.
func (m *machine) checkEnd(s *state) string {
	stopped := false
	for i := range m.repairer() {
		stopped = stopped || s.proc[i].status == sStopped && m.needed(s, i)
	}
	if m.n-1 == m.attacher() && !stopped {
		if a := &s.proc[m.attacher()]; a.status != sLive || a.pc != aIdle {
			return fmt.Sprintf("deadlock: the host waits at %q to attach", steps[a.pc].name)
		}
	}
	if p := &s.proc[m.repairer()]; p.pc != hIdle {
		return fmt.Sprintf("deadlock: the host waits at %q", steps[p.pc].name)
	}
	for i := range m.repairer() {
		p := &s.proc[i]
		if p.status == sDead {
			return fmt.Sprintf("deadlock: %s is dead and not repaired", m.name(i))
		}
		if p.status == sLive && i < len(m.sc.Publishers) && !stopped {
			return fmt.Sprintf("deadlock: %s waits at %q", m.name(i), steps[p.pc].name)
		}
	}
	for u := range m.sc.Units {
		if w := s.mem[wUnit+2*u]; stateOf(w) == busy && !stopped {
			return fmt.Sprintf("the claim at %d never ends", w>>6&255)
		}
	}
	end, seq := m.trueEnd(s)
	for c := range m.sc.Subscribers {
		if p := &s.proc[m.subscriber(c)]; p.status == sLive && !stopped {
			if bad := m.checkConsumer(s, c, end, seq); bad != "" {
				return bad
			}
		}
	}
	return ""
}

// trueEnd follows the records behind the stored tail.
func (m *machine) trueEnd(s *state) (end, seq int) {
	end, seq = int(s.mem[wTail]), int(s.mem[wSequence])
	for {
		w := s.mem[m.unit(end)]
		if !isOf(w, end) || stateOf(w) == free {
			return end, seq
		}
		seq = sequenceOf(s.mem[m.unit(end)+1])
		if stateOf(w) != pad {
			seq++
		}
		end += extentOf(w)
	}
}

// checkConsumer wants a consumer that waits to have read everything, and to be
// attached.
func (m *machine) checkConsumer(s *state, c, end, seq int) string {
	p := &s.proc[m.subscriber(c)]
	name, at := m.name(m.subscriber(c)), int(p.tail)
	if p.pc != cAsleep && p.pc != cSpin {
		return fmt.Sprintf("deadlock: %s waits at %q", name, steps[p.pc].name)
	}
	w := s.mem[m.unit(at)]
	switch {
	case !m.sc.Subscribers[c].Lossy && !m.holds(s, c):
		return fmt.Sprintf("lost wake-up: %s is detached and waits for ever", name)
	case isBusy(w, at):
		return fmt.Sprintf("deadlock: %s waits for the claim at %d", name, at)
	case at != end:
		return fmt.Sprintf("lost wake-up or messages: %s waits at %d, the records end at %d", name, at, end)
	case p.flags&fResync == 0 && int(p.seq) != seq:
		return fmt.Sprintf("%s expects sequence %d at the end, the next is %d", name, p.seq, seq)
	}
	for q := int(p.seq); q < maxSequence; q++ {
		if s.acked>>q&1 != 0 && !m.sc.Subscribers[c].Lossy {
			return fmt.Sprintf("lost: sequence %d was published, %s does not see it", q, name)
		}
	}
	return ""
}

// needed reports whether others may have to wait for a stopped process: it is
// inside or about to be revoked, has an open claim, or gates.
func (m *machine) needed(s *state, i int) bool {
	p := &s.proc[i]
	if i >= len(m.sc.Publishers) {
		c := i - len(m.sc.Publishers)
		return !m.sc.Subscribers[c].Lossy && s.mem[wGateGen+c] == uint16(p.gen)
	}
	if s.mem[wMutex]&^waiters == identity(i, p.gen) || s.mem[wActive+i] == uint16(p.gen) {
		return true
	}
	for u := range m.sc.Units {
		w, f := s.mem[wUnit+2*u], s.mem[wUnit+2*u+1]
		if stateOf(w) == busy && f&payloadMark == 0 && slotOf(f) == i {
			return true
		}
	}
	return false
}
