package model

// The host's repairs, as in ring/repair.go and ring/host.go. The dead process
// is b, its generation c; the walk is at a with the commit word's state in d
// and extent in item.

func stepHostIdle(m *machine) {
	p := m.me()
	var jobs []int
	for i := range m.repairer() {
		if q := &m.s.proc[i]; q.status == sDead && q.held == 0 {
			jobs = append(jobs, i)
		}
	}
	proven := len(jobs)
	for _, c := range m.sc.Detach {
		q := &m.s.proc[m.subscriber(c)]
		if q.status == sLive && m.s.detached>>c&1 == 0 && m.s.granted>>c&1 != 0 {
			jobs = append(jobs, m.subscriber(c))
		}
	}
	if len(jobs) == 0 {
		m.block()
		return
	}
	k := m.choose(len(jobs))
	x := jobs[k]
	p.b, p.c = uint8(x), m.s.proc[x].gen
	switch {
	case k >= proven:
		m.s.detached |= 1 << (x - len(m.sc.Publishers))
		m.say("detaches %s", m.name(x))
		p.d = 1
		m.goes(hUngate)
	case x >= len(m.sc.Publishers):
		m.say("%s is gone", m.name(x))
		m.goes(hUngate)
	default:
		m.say("%s is proven dead", m.name(x))
		m.goes(hActive)
		if m.has(WakeBeforeRepair) {
			m.goes(hBump)
		}
		if m.has(RegrantEarlyBlind) {
			m.regrant(x)
		}
	}
}

func (m *machine) deadID() uint16 { p := m.me(); return identity(int(p.b), p.c) }

func stepHostActive(m *machine) {
	p := m.me()
	active := &m.s.mem[wActive+int(p.b)]
	if (*active == uint16(p.c) || m.has(RegrantEarlyBlind)) && !m.has(HostLeavesActive) {
		*active = 0
	}
	m.goes(hMutex)
}

func stepHostMutex(m *machine) {
	p := m.me()
	word := &m.s.mem[wMutex]
	mine := *word&^waiters == m.deadID()
	if m.has(HostMutexExact) {
		mine = *word == m.deadID()
	}
	p.flags &^= fPartial
	if mine && !m.has(HostLeavesMutex) {
		m.say("frees the mutex")
		*word = 0
		p.flags |= fPartial // mutation: it owned the mutex
	}
	m.goes(hOwned)
}

func stepHostOwned(m *machine) {
	m.freeBias(owned)
	m.goes(hRevoking)
}

func stepHostRevoking(m *machine) {
	if !m.has(HostLeavesRevoking) {
		m.freeBias(revoking)
	}
	m.goes(hWalkEnd)
	if m.has(RegrantBeforeWalk) {
		m.regrant(int(m.me().b))
	}
}

func (m *machine) freeBias(mark uint16) {
	word := &m.s.mem[wBias]
	if m.has(HostBiasBlind) || *word == mark|m.deadID() && !m.has(HostLeavesBias) {
		m.say("bias = 0")
		*word = 0
	}
}

func stepHostWalkEnd(m *machine) {
	p := m.me()
	p.next = uint8(m.load(wBusyEnd))
	if m.has(HostWalksToTail) {
		p.next = uint8(m.load(wTail))
	}
	m.goes(hWalkFrom)
}

func stepHostWalkFrom(m *machine) {
	p := m.me()
	p.a = uint8(m.load(wPending))
	m.say("walks from %d to %d", p.a, p.next)
	m.walkOn()
}

func (m *machine) walkOn() {
	p := m.me()
	p.d, p.item = 0, 0
	if p.a >= p.next {
		p.a, p.next = 0, 0
		m.goes(hFree)
		return
	}
	m.goes(hWalkHeader)
}

func stepHostWalkHeader(m *machine) {
	p := m.me()
	w := uint16(m.header(int(p.a)))
	p.d, p.item = uint8(stateOf(w)), uint8(extentOf(w))
	if w != 0 && !isOf(w, int(p.a)) {
		p.d = unknown
	}
	m.say("finds %#x at %d", w, p.a)
	m.goes(hWalkOwner)
}

func stepHostWalkOwner(m *machine) {
	p := m.me()
	p.op = uint8(slotOf(uint16(m.fields(int(p.a)))))
	m.goes(hWalkPending)
}

func stepHostWalkPending(m *machine) {
	p := m.me()
	if now := m.load(wPending); int(p.a) < now && !m.has(WalkWithoutPending) {
		m.say("pending is %d by now", now)
		p.a, p.op = uint8(now), 0
		m.walkOn()
		return
	}
	owner := p.op
	p.op = 0
	switch {
	case p.d == free || p.d == unknown && m.has(WalkWithoutPending):
		p.a = p.next
		m.walkOn()
	case p.d == unknown:
		m.wrong("the walk for claims of the dead finds no record at %d", p.a)
		p.a = p.next
		m.walkOn()
	case p.d == busy && owner == p.b:
		m.goes(hAbort)
	default:
		p.a += p.item
		m.walkOn()
	}
}

func stepHostAbort(m *machine) {
	p := m.me()
	word := &m.s.mem[m.unit(int(p.a))]
	if *word == commitWord(busy, int(p.item), int(p.a)) {
		m.say("aborts the claim at %d", p.a)
		*word = commitWord(aborted, int(p.item), int(p.a))
	}
	p.a += p.item
	m.walkOn()
}

// stepHostFree frees the slot; the host may die before it wakes.
func stepHostFree(m *machine) {
	p := m.me()
	x := int(p.b)
	if q := &m.s.proc[x]; q.status == sDead && q.gen == p.c {
		*q = process{status: sRepaired, gen: q.gen, op: q.op}
	}
	if x >= len(m.sc.Publishers) {
		m.s.granted &^= 1 << (x - len(m.sc.Publishers))
	}
	m.say("%s's slot is free", m.name(x))
	m.goes(hBump)
	if m.has(WakeBeforeRepair) && x < len(m.sc.Publishers) {
		m.hostDone()
	}
}

// stepHostUngate is ungate or, in an exclusive ring, closeGate.
func stepHostUngate(m *machine) {
	p := m.me()
	c := int(p.b) - len(m.sc.Publishers)
	switch {
	case m.sc.Exclusive:
		m.say("gate number of S%d = 0", c)
		m.s.mem[wGateNum+c] = 0
		m.goes(hUngateBit)
	case m.openGate(c, int(p.c)):
		m.goes(hUngateBit)
	default:
		m.hostUngated()
	}
}

func stepHostUngateBit(m *machine) {
	m.openGateBit(int(m.me().b) - len(m.sc.Publishers))
	m.hostUngated()
}

func (m *machine) hostUngated() {
	switch {
	case m.me().d == 0:
		m.goes(hFree)
	case m.has(DetachWithoutWake):
		m.hostDone()
	default:
		m.goes(hBump)
	}
}

// bump rings all doorbells that the host can write, wakeAll wakes everybody on
// every word.
func (m *machine) bump() {
	if m.has(HostWakesWithoutBump) {
		return
	}
	m.s.mem[wSpaceDoorbell]++
	if m.sc.Exclusive {
		m.say("rings the space doorbell")
		return
	}
	m.s.mem[wDoorbell]++
	m.s.mem[wPendingDoorbell]++
	m.say("rings all doorbells")
}

func (m *machine) wakeAll() {
	if m.has(HostWakesOwnersWaitersOnly) && m.me().flags&fPartial == 0 {
		return
	}
	m.say("wakes everybody")
	for i := range m.n {
		if q := &m.s.proc[i]; q.status == sLive && q.pc == pLockAsleep {
			q.pc = pLockWait
		}
	}
	if !m.has(HostWakesMutexOnly) {
		m.wakeSleepers()
	}
}

func stepHostBump(m *machine) { m.bump(); m.goes(hWake) }

func stepHostWake(m *machine) {
	m.wakeAll()
	p := m.me()
	if m.has(WakeBeforeRepair) && p.d == 0 && int(p.b) < len(m.sc.Publishers) {
		m.goes(hActive)
		return
	}
	m.hostDone()
}

func (m *machine) hostDone() {
	x := int(m.me().b)
	*m.me() = process{status: sLive, pc: hIdle}
	if x < len(m.sc.Publishers) && m.s.proc[x].status == sRepaired {
		m.regrant(x)
	}
}

// regrant gives a publisher's slot to a new generation, which goes on with the
// operation after the one its predecessor was at.
func (m *machine) regrant(x int) {
	q := &m.s.proc[x]
	if q.gen > uint8(m.sc.Regrants) {
		return
	}
	m.say("%s's slot is granted again", m.name(x))
	*q = process{status: sLive, gen: q.gen + 1, op: min(q.op+1, uint8(len(m.sc.Publishers[x]))), epoch: noEpoch}
}

// A successor host: the lock of its predecessor, then the wakes, then what it
// finds in the bitmaps.
func stepTakeLock(m *machine) {
	a := &m.s.proc[m.n-1]
	if a.held > 0 {
		m.block() // not proven dead yet
		return
	}
	word := &m.s.mem[wMutex]
	if m.n-1 != m.repairer() && *word&^waiters == identity(len(m.sc.Publishers), a.gen) && !m.has(TakeOverLeavesLock) {
		m.say("frees the mutex of the host before")
		*word = 0
	}
	m.goes(hTakeBump)
}

func stepTakeBump(m *machine) {
	if !m.has(TakeOverWithoutWake) {
		m.bump()
	}
	m.goes(hTakeWake)
}

func stepTakeWake(m *machine) {
	if !m.has(TakeOverWithoutWake) {
		m.wakeAll()
	}
	m.goes(hIdle)
	// A repaired publisher whose slot the old host had freed.
	for x := range m.sc.Publishers {
		if m.s.proc[x].status == sRepaired {
			m.regrant(x)
		}
	}
	if m.n-1 == m.repairer() {
		return
	}
	a := &m.s.proc[m.n-1]
	*a = process{status: sLive, gen: a.gen + 1, op: a.op, pc: aIdle, epoch: noEpoch}
	// A subscriber that was granted but never told so does not come back.
	for c := range m.sc.Subscribers {
		q := &m.s.proc[m.subscriber(c)]
		if m.s.granted>>c&1 != 0 && (q.status == sAbsent || q.status == sRepaired) {
			*q = process{status: sDead, gen: uint8(m.s.start[c])}
		}
	}
}
