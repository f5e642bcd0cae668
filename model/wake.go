package model

// Waking sleepers, as in ring/claim.go.

// ack is the moment Publish or Commit may return nil: from here on the message
// must not be lost.
func (m *machine) ack() {
	p := m.me()
	for k := range p.count {
		seq := int(p.first + k)
		if p.flags&fAbort != 0 {
			m.record(seq, abortedMark)
			continue
		}
		m.record(seq, m.message(int(p.item)-int(p.count)+int(k))+1)
		m.s.acked |= 1 << seq
	}
	p.count = 0
}

// record writes down what a sequence was, and finds whom that contradicts.
func (m *machine) record(seq, what int) {
	log := &m.s.log
	if seq >= maxSequence {
		m.wrong("sequence %d", seq)
		return
	}
	if old := int(log[seq]); old != 0 {
		if old != what {
			m.wrong("sequence %d is message %d and message %d", seq, old-1, what-1)
		}
		return
	}
	log[seq] = uint8(what)
	if what == abortedMark {
		return
	}
	for other, v := range log {
		if v == 0 || v == abortedMark || other == seq {
			continue
		}
		switch x, y := int(v)-1, what-1; {
		case x == y:
			m.wrong("message %d has sequences %d and %d", y, other, seq)
		case x/8 == y/8 && (x < y) != (other < seq):
			m.wrong("messages %d and %d of one publisher are out of order", x, y)
		}
	}
}

func stepWake(m *machine) {
	p := m.me()
	if m.sc.Park && !m.fence(FencedWakeWithoutFence) {
		return
	}
	m.ack()
	if !m.sc.Park {
		m.woken()
		return
	}
	s := m.load(wSleeps)
	if s == int(p.sleepsSeen) {
		m.say("nobody went to sleep")
		m.woken()
		return
	}
	m.say("somebody went to sleep")
	p.sleepsSeen = uint8(s)
	m.goes(pRing)
	if m.has(WakeBeforeBump) {
		m.wakeSleepers()
	}
}

func stepRing(m *machine) {
	if !m.locked() {
		return
	}
	if !m.has(WakeWithoutBump) {
		m.s.mem[wDoorbell]++
	}
	m.say("rings the doorbell")
	m.goes(pRingWake)
}

func stepRingWake(m *machine) {
	if !m.has(WakeBeforeBump) {
		m.wakeSleepers()
	}
	if m.has(SeenAfterRing) {
		m.me().sleepsSeen = uint8(m.load(wSleeps))
	}
	m.woken()
}

// wakeSleepers wakes everybody who waits on the doorbell.
func (m *machine) wakeSleepers() {
	for i := range m.n {
		q := &m.s.proc[i]
		if q.status != sLive {
			continue
		}
		switch q.pc {
		case cAsleep:
			q.pc = m.afterSleep(i)
			m.say("wakes %s", m.name(i))
		case pSpaceAsleep:
			q.pc = pIdle
			q.flags &^= fPartial
		}
	}
}

// wakeSpaceSleepers wakes everybody who waits for space.
func (m *machine) wakeSpaceSleepers() {
	for i := range m.sc.Publishers {
		if q := &m.s.proc[i]; q.status == sLive && q.pc == pSpaceAsleep {
			q.pc = pIdle
			q.flags &^= fPartial
			m.say("wakes %s", m.name(i))
		}
	}
}

// woken goes on behind wake.
func (m *machine) woken() {
	p := m.me()
	switch {
	case p.flags&fPartial != 0:
		m.goes(pSpace)
	case m.isClaim() && m.sc.Park && !m.has(ClaimEndsWithoutSpaceWake):
		m.goes(pWakePending)
	default:
		m.done()
	}
}

func stepWakePending(m *machine) {
	p := m.me()
	s := m.load(wSpaceSleeps)
	if s == int(p.spaceSeen) {
		m.done()
		return
	}
	p.spaceSeen = uint8(s)
	m.say("somebody waits for space")
	m.goes(pPendingRing)
}

func stepPendingRing(m *machine) {
	if m.locked() {
		m.s.mem[wPendingDoorbell]++
		m.say("rings the pending doorbell")
		m.goes(pPendingWake)
	}
}

func stepPendingWake(m *machine) {
	m.wakeSpaceSleepers()
	m.done()
}
