package model

// Attaching, as in ring.Host.AddSubscriber: the host enters by the slow road.
// The subscriber is a, its generation d; where it begins is b, c.

func stepAttach(m *machine) {
	p := m.me()
	if int(p.op) >= len(m.sc.Attach) {
		m.block()
		return
	}
	c := m.sc.Attach[p.op].Subscriber
	q := &m.s.proc[m.subscriber(c)]
	if q.status != sAbsent && q.status != sRepaired || m.s.granted>>c&1 != 0 {
		m.block()
		return
	}
	m.say("begins to attach S%d", c)
	switch {
	case m.sc.Exclusive:
		p.a, p.d = uint8(c), q.gen+1
		m.goes(xClaimed)
	case m.has(AttachWithoutLock):
		m.catchUp()
		m.findStart()
	default:
		m.goes(pLock)
	}
}

// findStart is inside: all it reads is written by whoever is inside.
func (m *machine) findStart() {
	p := m.me()
	at := m.sc.Attach[p.op]
	c := at.Subscriber
	position, seq := int(p.tail), int(p.seq)
	if at.Earliest {
		position = m.oldest()
		for position < int(p.tail) {
			w := uint16(m.header(position))
			if !isOf(w, position) || stateOf(w) == free {
				m.wrong("finds no record at %d to begin with", position)
				break
			}
			if stateOf(w) != pad {
				seq = sequenceOf(uint16(m.fields(position)))
				break
			}
			position += extentOf(w)
		}
	}
	p.a, p.b, p.c, p.d = uint8(c), uint8(position), uint8(seq), m.s.proc[m.subscriber(c)].gen+1
	m.say("S%d begins at %d, sequence %d", c, position, seq)
	m.s.start[c] = p.d // the block's generation, which a successor finds
	if !m.has(CursorAfterGate) {
		m.setCursor()
	}
	m.goes(aGrant)
}

func (m *machine) setCursor() {
	p := m.me()
	m.store(wCursorSeq+int(p.a), int(p.c))
	m.store(wCursor+int(p.a), int(p.b))
}

// oldest is Ring.oldest, inside the lock.
func (m *machine) oldest() int {
	floor, best := m.load(wClaimed)-m.sc.Units, m.load(wTail)
	if m.has(AttachBelowClaimed) {
		floor = 0
	}
	for k := range m.sc.indexes() {
		if entry := m.load(wIndex + k); entry >= floor && entry < best {
			best = entry
		}
	}
	return best
}

func stepGrant(m *machine) {
	p := m.me()
	if !m.locked() {
		return
	}
	m.say("slot granted")
	m.s.granted |= 1 << p.a
	if m.sc.Subscribers[p.a].Lossy {
		m.goes(aBump)
		return
	}
	m.store(wGateGen+int(p.a), int(p.d))
	if !m.has(EpochNotBumped) {
		m.store(wGateEpoch, m.load(wGateEpoch)+1)
	}
	m.goes(aGate)
}

func stepGate(m *machine) {
	p := m.me()
	if !m.locked() {
		return
	}
	m.s.mem[wGates] |= 1 << p.a
	m.say("gate of S%d is closed", p.a)
	if m.has(CursorAfterGate) {
		m.setCursor()
	}
	m.goes(aBump)
}

func stepAttachBump(m *machine) {
	if m.locked() {
		m.bump()
		m.goes(aWake)
	}
}

func stepAttachWake(m *machine) {
	m.wakeAll()
	if m.has(AttachWithoutLock) {
		stepAttached(m)
		return
	}
	m.leave(aDone)
}

// stepAttached answers the subscriber, which begins.
func stepAttached(m *machine) {
	p := m.me()
	c := int(p.a)
	q := &m.s.proc[m.subscriber(c)]
	*q = process{status: sLive, gen: p.d, tail: p.b, stored: p.b, seq: p.c, pc: m.afterSleep(m.subscriber(c))}
	if m.sc.Subscribers[c].Lossy {
		q.flags = fResync
	}
	if m.sc.Exclusive {
		q.epoch = p.first
	}
	m.say("S%d is attached", c)
	p.a, p.b, p.c, p.d, p.tail, p.seq, p.stored, p.claimed, p.soft, p.flags, p.first = 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
	p.op++
	m.goes(aIdle)
}
