package model

// Room in the ring, as in ring/space.go and Producer.waitForSpace.

// beginWalk is the beginning of raiseLimit: the walk of pending.
func (m *machine) beginWalk() {
	p := m.me()
	p.a = uint8(m.load(wPending))
	if p.tail-p.a > uint8(m.sc.Units) {
		m.wrong("pending %d is not within a lap of the end %d", p.a, p.tail)
	}
	if int(p.a) >= m.load(wBusyEnd) || m.has(NoPending) {
		p.a = p.tail
	}
	m.walk()
}

func (m *machine) walk() {
	p := m.me()
	_, end := m.room()
	if int(p.a) < end-m.sc.Units && p.a < p.tail {
		m.goes(pWalk)
		return
	}
	m.walked()
}

func stepWalk(m *machine) {
	p := m.me()
	w := uint16(m.header(int(p.a)))
	switch {
	case !isOf(w, int(p.a)) || stateOf(w) == free:
		m.wrong("the walk of pending finds %#x at %d", w, p.a)
	case stateOf(w) == busy:
		m.say("pending stops at the claim at %d", p.a)
		m.walked()
	default:
		p.a += uint8(extentOf(w))
		m.say("pending may be %d", p.a)
		m.walk()
	}
}

func (m *machine) walked() {
	p := m.me()
	if int(p.a) != m.load(wPending) {
		m.say("pending = %d", p.a)
		m.store(wPending, int(p.a))
	}
	if m.sc.gatesVary() {
		m.goes(pGates)
		return
	}
	m.readGates()
}

const noSlot = 255

func stepGates(m *machine) { m.readGates() }

func (m *machine) readGates() {
	p := m.me()
	p.c, p.b, p.d, p.number = uint8(m.load(wGates)), p.tail, noSlot, 0
	m.say("gates = %#x", p.c)
	m.nextGate()
}

func (m *machine) nextGate() {
	p := m.me()
	if p.c != 0 {
		m.goes(pCursor)
		return
	}
	p.limit = max(p.limit, min(p.a, p.b)+uint8(m.sc.Units))
	_, end := m.room()
	switch {
	case int(p.limit) >= end:
		p.a, p.b, p.d, p.number = 0, 0, 0, 0
		m.makeRoom()
	case p.d == noSlot || p.a < p.b || m.sc.Subscribers[p.d].MaxLag == 0:
		p.a, p.b, p.d, p.number = 0, 0, 0, 0
		m.full()
	default:
		m.say("detaches S%d, which may not hold the topic up", p.d)
		p.next = pGates
		m.goes(pUngate)
	}
}

func lowest(set uint8) int {
	n := 0
	for set>>n&1 == 0 {
		n++
	}
	return n
}

// gateOf is by what subscriber n holds publishers back: its generation, in an
// exclusive ring its number unless the one publisher, who is asking, has
// dropped it; 0 if it does not.
func (m *machine) gateOf(n int) int {
	mark := m.load(wGateGen + n)
	if !m.sc.Exclusive {
		return mark
	}
	number := m.load(wGateNum + n)
	m.say("gate number of S%d = %d", n, number)
	if number == mark {
		return 0
	}
	return number
}

// gates reports whether the gate of a subscriber counts, for whoever looks at
// it in one step: a hint.
func (m *machine) gates(n int) bool { return m.gateOf(n) != 0 || m.has(BitIsGate) }

// stepCursor is a gate of gatingCursor.
func stepCursor(m *machine) {
	p := m.me()
	n := lowest(p.c)
	p.view = uint8(m.gateOf(n))
	switch {
	case p.view == 0 && !m.has(BitIsGate):
		m.say("nobody holds the gate of S%d", n)
		p.c &^= 1 << n
		m.nextGate()
	case m.sc.gatesVary():
		m.goes(pCursorRead)
	default:
		stepCursorRead(m)
	}
}

func stepCursorRead(m *machine) {
	p := m.me()
	n := lowest(p.c)
	p.c &^= 1 << n
	cursor := m.load(wCursor + n)
	m.say("cursor of S%d = %d", n, cursor)
	switch {
	case int(p.tail)-cursor > m.sc.Units || cursor > int(p.tail):
		m.say("which is not within the last lap")
		if m.sc.Exclusive {
			m.drop(n, int(p.view))
		} else if p.view != 0 {
			m.wrong("cursor %d of S%d is not within a lap of the end %d", cursor, n, p.tail)
		}
	case cursor < int(p.b):
		p.b, p.d = uint8(cursor), uint8(n)
		if m.sc.Exclusive {
			p.number = p.view
		}
	}
	p.view = 0
	m.nextGate()
}

// The two steps of ungate. The one publisher of an exclusive ring writes only
// its own word. In others nobody attaches meanwhile, so that the generation
// read before is the one there now, or is gone.
func stepUngate(m *machine) {
	p := m.me()
	n := int(p.d)
	if m.sc.Exclusive {
		if m.has(NumberLast) {
			p.number = uint8(m.gateOf(n))
		}
		m.drop(n, int(p.number))
		p.number = 0
		m.ungated()
		return
	}
	if !m.locked() {
		return
	}
	if m.openGate(n, int(m.s.mem[wGateGen+n])) {
		m.goes(pUngateBit)
	} else {
		m.ungated()
	}
}

func stepUngateBit(m *machine) {
	if m.locked() {
		m.openGateBit(int(m.me().d))
		m.ungated()
	}
}

func (m *machine) ungated() {
	p := m.me()
	m.goes(p.next)
	p.next = 0
}

// openGate swaps a generation for 0, and reports whether it was there: only
// then the bit is cleared too, which may be somebody else's otherwise.
func (m *machine) openGate(n, generation int) bool {
	word := &m.s.mem[wGateGen+n]
	switch {
	case generation == 0 || int(*word) != generation:
		m.say("the gate of S%d is another's or nobody's", n)
		return false
	case m.has(GateBitFirst):
		m.say("gate of S%d is open", n)
		m.s.mem[wGates] &^= 1 << n
		return true
	case m.has(UngateWithoutGeneration):
		return true
	}
	m.say("gate generation of S%d = 0", n)
	*word = 0
	return true
}

func (m *machine) openGateBit(n int) {
	m.say("gate of S%d is open", n)
	m.s.mem[wGates] &^= 1 << n
	if m.has(GateBitFirst) {
		m.s.mem[wGateGen+n] = 0
	}
}

// makeRoom goes on where the gates allow the record: it first detaches who is
// too far behind.
func (m *machine) makeRoom() {
	p := m.me()
	if m.sc.lagLimits() {
		p.c = 0
		m.goes(pLag)
		return
	}
	m.overwrite()
}

// stepLag looks at one subscriber, c.
func stepLag(m *machine) {
	p := m.me()
	n := int(p.c)
	if n == len(m.sc.Subscribers) {
		p.c = 0
		m.overwrite()
		return
	}
	p.c++
	most := m.sc.Subscribers[n].MaxLag
	if most == 0 || m.load(wGates)>>n&1 == 0 {
		return
	}
	if m.sc.Exclusive {
		m.goes(pLagNumber)
		if m.has(NumberLast) {
			m.goes(pLagSequence)
		}
		return
	}
	if lag := int(p.seq) - m.load(wCursorSeq+n); lag > most {
		m.say("S%d lags %d messages", n, lag)
		p.d, p.next = uint8(n), pLag
		m.goes(pUngate)
	}
}

func stepSpace(m *machine) {
	if !m.sc.Park {
		m.goes(pSpaceSpin)
		return
	}
	if !m.has(SpaceBellsLate) {
		m.readBells()
	}
	m.goes(pSpaceCount)
}

func stepSpaceCount(m *machine) {
	if m.locked() {
		m.s.mem[wSpaceSleeps]++
		m.say("counts its sleep")
		m.goes(pSpaceBarrier)
	}
}

func stepSpaceBarrier(m *machine) {
	if m.barrier(SpaceWithoutBarrier) {
		m.goes(pSpaceTail)
	}
}

func (m *machine) retry() {
	p := m.me()
	p.a, p.b, p.c, p.d, p.bell, p.pendingBell, p.spaceBell = 0, 0, 0, 0, 0, 0, 0
	p.flags &^= fPartial
	m.goes(pIdle)
}

func stepSpaceTail(m *machine) {
	p := m.me()
	if t := m.load(wTail); int(p.tail) < t {
		m.say("others were inside")
		m.retry()
		return
	}
	m.goes(pSpaceGates)
}

func stepSpaceGates(m *machine) {
	p := m.me()
	p.c, p.b = uint8(m.load(wGates)), p.tail
	m.spaceGate()
}

func (m *machine) spaceGate() {
	p := m.me()
	_, end := m.room()
	switch {
	case p.c != 0:
		m.goes(pSpaceCursor)
	case int(p.b)+m.sc.Units < end:
		m.say("no room yet")
		m.spaceSleep()
	default:
		m.goes(pSpacePending)
	}
}

func stepSpaceCursor(m *machine) {
	p := m.me()
	n := lowest(p.c)
	p.c &^= 1 << n
	if cursor := m.load(wCursor + n); m.gates(n) && int(p.tail)-cursor <= m.sc.Units && cursor <= int(p.tail) {
		p.b = min(p.b, uint8(cursor))
	}
	m.spaceGate()
}

func stepSpacePending(m *machine) {
	p := m.me()
	_, end := m.room()
	p.a = uint8(m.load(wPending))
	if int(p.a)+m.sc.Units >= end {
		m.retry()
		return
	}
	m.goes(pSpaceCommit)
}

func stepSpaceCommit(m *machine) {
	p := m.me()
	if isBusy(uint16(m.header(int(p.a))), int(p.a)) {
		m.say("the claim at %d is open", p.a)
		m.spaceSleep()
		return
	}
	m.retry()
}

func (m *machine) spaceSleep() {
	p := m.me()
	p.a, p.b, p.c = 0, 0, 0
	m.goes(pSpaceSleep)
	if m.has(SpaceBellsLate) {
		m.goes(pSpaceBells)
	}
}

func (m *machine) readBells() {
	p := m.me()
	p.bell, p.pendingBell, p.spaceBell = 1+uint8(m.load(wDoorbell)), 1+uint8(m.load(wPendingDoorbell)), 1+uint8(m.load(wSpaceDoorbell))
	m.say("reads the doorbells")
}

// stepSpaceBells is for a mutation.
func stepSpaceBells(m *machine) {
	m.readBells()
	m.goes(pSpaceSleep)
}

func stepSpaceSleep(m *machine) {
	p := m.me()
	mem := &m.s.mem
	if int(p.bell)-1 == int(mem[wDoorbell]) && int(p.pendingBell)-1 == int(mem[wPendingDoorbell]) && int(p.spaceBell)-1 == int(mem[wSpaceDoorbell]) {
		m.say("sleeps")
		m.goes(pSpaceAsleep)
		p.bell, p.pendingBell, p.spaceBell = 0, 0, 0
		return
	}
	m.say("a doorbell has changed")
	m.retry()
}

// stepSpaceSpin waits, without a step of its own, until there may be room.
func stepSpaceSpin(m *machine) {
	p := m.me()
	_, end := m.room()
	gate, mem := int(p.tail), &m.s.mem
	for n := range m.sc.Subscribers {
		if mem[wGates]>>n&1 != 0 && m.gates(n) && int(p.tail)-int(mem[wCursor+n]) <= m.sc.Units {
			gate = min(gate, int(mem[wCursor+n]))
		}
	}
	pending := int(mem[wPending])
	room := gate+m.sc.Units >= end && (pending+m.sc.Units >= end || !isBusy(mem[m.unit(pending)], pending))
	if int(mem[wTail]) <= int(p.tail) && !room {
		m.block()
		return
	}
	m.retry()
}
