package model

// Attaching to an exclusive ring, as in ring/exclusive.go: without the lock,
// which is the one publisher's for ever. The subscriber is a, its generation
// d, its gate number first; claimed as it was before is claimed, the end is
// tail, seq; where the subscriber begins is stored, c.

// The publisher's side. pNewGates is the beginning of makeRoom.
func stepNewGates(m *machine) {
	p := m.me()
	m.newGates()
	if _, end := m.room(); int(p.limit) >= end {
		m.makeRoom()
		return
	}
	m.beginWalk()
}

// stepBehindClaimed looks, behind claimed, whether somebody was attached who
// has not seen it.
func stepBehindClaimed(m *machine) {
	if !m.fence(ClaimedWithoutFence) {
		return
	}
	if m.load(wGateEpoch) != int(m.me().epoch) {
		m.say("somebody was attached meanwhile")
		m.goes(pNewGates)
		return
	}
	m.place()
}

// stepLagNumber and stepLagSequence are detachLaggards for the subscriber
// before c.
func stepLagNumber(m *machine) {
	p := m.me()
	p.number = uint8(m.gateOf(int(p.c) - 1))
	m.goes(pLagSequence)
}

func stepLagSequence(m *machine) {
	p := m.me()
	n := int(p.c) - 1
	lag := int(p.seq) - m.load(wCursorSeq+n)
	if lag <= m.sc.Subscribers[n].MaxLag {
		p.number = 0
		m.goes(pLag)
		return
	}
	m.say("S%d lags %d messages", n, lag)
	p.d, p.next = uint8(n), pLag
	m.goes(pUngate)
}

// drop is dropGate. Whoever has the number must have deserved it where it
// began: it did not come later to be nearer than that.
func (m *machine) drop(n, number int) {
	if number == 0 {
		return
	}
	p, began := m.me(), &m.s.since[n]
	_, end := m.room()
	if number == int(began.number) && int(p.seq)-int(began.seq) <= m.sc.Subscribers[n].MaxLag && int(began.position)+m.sc.Units >= end {
		m.wrong("drops the gate of S%d, which began at %d, sequence %d, and is not behind", n, began.position, began.seq)
	}
	m.say("drops gate number %d of S%d", number, n)
	m.store(wGateGen+n, number)
}

// gated is Consumer.gated. Host and publisher each take a gate away for good,
// so the two looks of an exclusive ring may be one step.
func (m *machine) gated() bool { return m.holds(&m.s, m.who()) }

// holds reports whether subscriber c, who writes none of these words, holds
// publishers back.
func (m *machine) holds(s *state, c int) bool {
	p := &s.proc[m.subscriber(c)]
	if m.sc.Exclusive {
		return s.mem[wGateNum+c] == uint16(p.epoch) && s.mem[wGateGen+c] != uint16(p.epoch)
	}
	return s.mem[wGateGen+c] == uint16(p.gen)
}

// The host's side, announce: first the end, as of some moment of the call.
func stepAnnounce(m *machine) {
	m.me().claimed = uint8(m.load(wClaimed))
	m.goes(xTail)
}

func stepEndTail(m *machine) {
	m.me().tail = uint8(m.load(wTail))
	m.goes(xSequence)
}

func stepEndSequence(m *machine) {
	m.me().seq = uint8(m.load(wSequence))
	m.goes(xTailAgain)
}

func stepEndTailAgain(m *machine) {
	m.goes(xPeek)
	if m.load(wTail) != int(m.me().tail) {
		m.goes(xTail)
	}
}

// stepPeek is peekEnd: the records behind the stored tail.
func stepPeek(m *machine) {
	p := m.me()
	w := uint16(m.header(int(p.tail)))
	if stateOf(w) == free || !isOf(w, int(p.tail)) {
		m.found()
		return
	}
	p.item, p.b = uint8(extentOf(w)), uint8(stateOf(w))
	m.goes(xPeekFields)
}

func stepPeekFields(m *machine) {
	p := m.me()
	p.c = uint8(sequenceOf(uint16(m.fields(int(p.tail)))))
	m.goes(xPeekClaimed)
}

func stepPeekClaimed(m *machine) {
	p := m.me()
	if int(p.tail)+m.sc.Units < m.load(wClaimed) {
		m.found()
		return
	}
	p.seq = p.c
	if p.b != pad {
		p.seq++
	}
	p.tail += p.item
	m.goes(xPeek)
}

// found has the end; the start may be another.
func (m *machine) found() {
	p := m.me()
	p.item, p.b, p.c = 0, 0, 0
	m.say("the end is %d, sequence %d", p.tail, p.seq)
	if m.sc.Attach[p.op].Earliest {
		m.goes(xFloor)
		return
	}
	m.startAt(p.tail, p.seq)
}

func stepOldestFloor(m *machine) {
	m.me().limit = uint8(m.load(wClaimed) - m.sc.Units)
	m.goes(xOldest)
}

func stepOldestTail(m *machine) {
	m.me().stored = uint8(m.load(wTail))
	m.goes(xOldestIndex)
}

func stepOldestIndex(m *machine) {
	p := m.me()
	if entry := uint8(m.load(wIndex + int(p.item))); entry >= p.limit && entry < p.stored {
		p.stored = entry
	}
	if p.item++; int(p.item) == m.sc.indexes() {
		p.item, p.limit = 0, 0
		m.goes(xWalk)
	}
}

// stepStartWalk looks for a record from the oldest position on.
func stepStartWalk(m *machine) {
	p := m.me()
	if p.stored >= p.tail {
		m.startAt(p.tail, p.seq)
		return
	}
	switch w := uint16(m.header(int(p.stored))); {
	case !isOf(w, int(p.stored)) || stateOf(w) == free:
		m.say("finds %#x at %d", w, p.stored)
		m.goes(xNonsense)
	case stateOf(w) == pad:
		p.stored += uint8(extentOf(w))
	default:
		m.goes(xWalkFields)
	}
}

// stepNonsense is for what must have been overwritten while we looked.
func stepNonsense(m *machine) {
	p := m.me()
	if m.load(wClaimed) == int(p.claimed) {
		m.wrong("finds no record at %d to begin with", p.stored)
	}
	m.goes(xClaimed)
}

func stepStartFields(m *machine) {
	p := m.me()
	m.startAt(p.stored, uint8(sequenceOf(uint16(m.fields(int(p.stored))))))
}

func (m *machine) startAt(position, seq uint8) {
	p := m.me()
	p.stored, p.c, p.tail, p.seq, p.claimed = position, seq, 0, 0, 0
	m.say("S%d may begin at %d, sequence %d", p.a, position, seq)
	if m.has(CursorAfterGate) {
		m.goes(xNumber)
		return
	}
	m.goes(xStart)
}

// stepStart is the beginning of tryStart.
func stepStart(m *machine) {
	p := m.me()
	m.s.start[p.a] = p.d // the block's generation, which a successor finds
	m.store(wCursorSeq+int(p.a), int(p.c))
	m.store(wCursor+int(p.a), int(p.stored))
	m.goes(xNumber)
	if m.has(CursorAfterGate) {
		m.goes(xBarrier)
	}
}

func stepNumber(m *machine) {
	p := m.me()
	if m.s.granted>>p.a&1 == 0 {
		m.say("slot granted")
		m.s.start[p.a] = p.d
		m.s.granted |= 1 << p.a
	}
	if !m.has(NumberKept) || p.first == 0 {
		p.first = uint8(m.load(wGateEpoch) + 1)
	}
	m.say("gate number of S%d = %d", p.a, p.first)
	m.s.since[p.a] = tenure{p.first, p.stored, p.c}
	m.store(wGateNum+int(p.a), int(p.first))
	m.goes(xBit)
	if m.has(EpochBeforeBit) {
		m.store(wGateEpoch, m.load(wGateEpoch)+1)
	}
}

func stepBit(m *machine) {
	p := m.me()
	if !m.locked() {
		return
	}
	m.s.mem[wGates] |= 1 << p.a
	m.say("gate of S%d is closed", p.a)
	if !m.has(EpochNotBumped) && !m.has(EpochBeforeBit) {
		m.store(wGateEpoch, m.load(wGateEpoch)+1)
	}
	m.goes(xBarrier)
	if m.has(CursorAfterGate) {
		m.goes(xStart)
	}
}

func stepStartBarrier(m *machine) {
	if m.barrier(AnnounceWithoutBarrier) {
		m.goes(xCheck)
	}
}

func stepStartCheck(m *machine) {
	p := m.me()
	if claimed := m.load(wClaimed); claimed > int(p.stored)+m.sc.Units && !m.has(AnnounceUnchecked) {
		m.say("claimed is %d: another start", claimed)
		p.stored, p.c = 0, 0
		m.goes(xClaimed)
		return
	}
	p.b = p.stored
	stepAttached(m)
}
