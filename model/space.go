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

func stepCursor(m *machine) {
	p := m.me()
	n := lowest(p.c)
	if m.sc.Exclusive {
		m.exclusiveGate(n)
		return
	}
	p.c &^= 1 << n
	cursor := m.load(wCursor + n)
	m.say("cursor of S%d = %d", n, cursor)
	if int(p.tail)-cursor > m.sc.Units || cursor > int(p.tail) {
		m.wrong("cursor %d of S%d is not within a lap of the end %d", cursor, n, p.tail)
	}
	if cursor < int(p.b) {
		p.b, p.d = uint8(cursor), uint8(n)
	}
	m.nextGate()
}

// The two steps of ungate. The one publisher of an exclusive ring writes only
// its own word.
func stepUngate(m *machine) {
	p := m.me()
	switch n := int(p.d); {
	case m.sc.Exclusive:
		if m.has(NumberLast) {
			p.number = uint8(m.number(n))
		}
		m.drop(n, int(p.number))
		p.number = 0
		m.ungated()
	case m.locked():
		m.ungate(n, true)
		m.goes(pUngateBit)
	}
}

func (m *machine) ungated() {
	p := m.me()
	m.goes(p.next)
	p.next = 0
}

func stepUngateBit(m *machine) {
	if m.locked() {
		m.ungate(int(m.me().d), false)
		m.ungated()
	}
}

func (m *machine) ungate(slot int, first bool) {
	if m.sc.Exclusive && first {
		m.say("gate number of S%d = 0", slot)
		m.s.mem[wGateNum+slot] = 0
		return
	}
	if first != m.has(GateBitFirst) && !m.sc.Exclusive {
		m.say("gate generation of S%d = 0", slot)
		if !m.has(UngateWithoutGeneration) {
			m.s.mem[wGateGen+slot] = 0
		}
	} else {
		m.say("gate of S%d is open", slot)
		m.s.mem[wGates] &^= 1 << slot
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
