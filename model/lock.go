package model

// Entering and leaving, as in ring/lock.go. A step does at most one load or
// locked operation that another process can influence, then local work, then
// stores; so nothing is lost by taking it at once. What only whoever is inside
// writes may be read in any step inside.

func stepIdle(m *machine) {
	p := m.me()
	if int(p.op) >= len(m.sc.Publishers[m.i]) {
		if p.held > 0 {
			m.block()
			return
		}
		*p = process{status: sDone, gen: p.gen, op: p.op, tail: p.tail, stored: p.stored}
		m.say("done")
		return
	}
	p.flags &^= fPartial | fAbort
	p.count = 0
	if m.load(wBias) != int(owned|m.id()) {
		// publishBiased does not look before it sets active, if by what we
		// knew when we last were inside there is room.
		if !m.sc.Eager || m.choose(2) == 0 {
			m.say("bias is not ours")
			m.goes(pLock)
			return
		}
	}
	m.goes(pBiased)
	if m.has(BiasBeforeActive) {
		m.say("bias is ours, looked at too early")
		return
	}
	m.say("active = generation")
	m.store(wActive+m.i, int(p.gen))
}

func stepBiased(m *machine) {
	p := m.me()
	if m.has(BiasBeforeActive) {
		m.store(wActive+m.i, int(p.gen))
	} else {
		if !m.fence(FencedEnterWithoutFence) {
			return
		}
		if m.load(wBias) != int(owned|m.id()) {
			m.say("bias is gone; active = 0")
			m.store(wActive+m.i, 0)
			m.goes(pLock)
			return
		}
	}
	m.say("inside by its bias")
	p.flags |= fBiased | fInside
	m.nextMessage()
}

func stepLock(m *machine) {
	if !m.locked() {
		return
	}
	switch {
	case m.s.mem[wMutex] == 0:
		m.s.mem[wMutex] = m.id()
		m.say("takes the mutex")
		m.goes(pHave)
	case m.sc.Futex:
		m.say("mutex is held")
		m.goes(pLockWait)
	case m.giveUp():
	default:
		m.block()
	}
}

func stepLockWait(m *machine) {
	p := m.me()
	if !m.locked() {
		return
	}
	if m.s.mem[wMutex] == 0 {
		m.s.mem[wMutex] = m.id()
		if p.flags&fSlept != 0 && !m.has(ForgetWaiters) {
			m.s.mem[wMutex] |= waiters
		}
		p.flags &^= fSlept
		m.say("takes the mutex: %#x", m.s.mem[wMutex])
		m.goes(pHave)
		return
	}
	m.s.mem[wMutex] |= waiters
	p.a = uint8(m.s.mem[wMutex])
	m.say("marks waiters")
	m.goes(pLockSleep)
}

func stepLockSleep(m *machine) {
	p := m.me()
	p.flags |= fSlept
	if m.s.mem[wMutex] == uint16(p.a) {
		m.say("sleeps on the mutex")
		m.goes(pLockAsleep)
	} else {
		m.say("mutex has changed")
		m.goes(pLockWait)
	}
	p.a = 0
}

func stepAsleep(m *machine) { m.block() }

func stepHave(m *machine) {
	p := m.me()
	b := m.load(wBias)
	x := uint16(b & idBits)
	m.say("bias = %#x", b)
	switch {
	case b == 0:
		m.enter()
	case x == m.id():
		m.store(wBias, 0)
		m.enter()
	default:
		if m.has(NoRevoking) {
			m.store(wBias, 0)
		} else {
			m.say("bias = revoking")
			m.store(wBias, int(revoking|x))
		}
		p.c = uint8(x)
		m.goes(pRevoke)
	}
}

func stepRevoke(m *machine) {
	if m.barrier(RevokeWithoutBarrier) {
		m.goes(pAwait)
	}
}

func stepAwait(m *machine) {
	p := m.me()
	slot, gen := int(p.c&7)-1, int(p.c>>3)
	if m.load(wActive+slot) == gen && !m.has(RevokeWithoutWait) {
		if !m.giveUp() {
			m.block()
		}
		return
	}
	p.c = 0
	m.say("active of slot %d is not generation %d; bias = 0", slot, gen)
	if !m.has(NoRevoking) {
		m.store(wBias, 0)
	}
	m.enter()
}

// giveUp ends a wait for the lock with an error, as a context does that ends.
func (m *machine) giveUp() bool {
	p := m.me()
	if int(m.s.quits) >= m.sc.GiveUps || m.i >= len(m.sc.Publishers) {
		return false
	}
	m.say("gives up")
	m.s.quits++
	if p.pc == pLock {
		m.done()
		return true
	}
	p.c = 0
	p.next = pGiveUp
	m.goes(pUnlock)
	return true
}

func stepGaveUp(m *machine) { m.done() }

func (m *machine) enter() {
	m.me().flags |= fInside
	m.say("inside")
	m.catchUp()
	if m.i == m.attacher() {
		m.findStart()
		return
	}
	m.nextMessage()
}

func (m *machine) catchUp() {
	p := m.me()
	t, seq := m.load(wTail), m.load(wSequence)
	if m.has(KeepPrivateTail) && int(p.tail) > t {
		t, seq = int(p.tail), int(p.seq)
	}
	p.stored, p.claimed = uint8(t), uint8(m.load(wClaimed))
	for steps := 0; !m.has(NoCatchUp); steps++ {
		w := uint16(m.header(t))
		if stateOf(w) == free || !isOf(w, t) {
			if w != 0 {
				m.wrong("catch-up finds %#x at the end %d, not zero", w, t)
			}
			break
		}
		if steps > m.sc.Units {
			m.wrong("catch-up does not end")
			break
		}
		if !m.has(SequenceFromWord) {
			seq = sequenceOf(uint16(m.fields(t)))
			if stateOf(w) != pad || m.has(PadCounts) {
				seq++
			}
		}
		m.say("steps over %d", t)
		t += extentOf(w)
	}
	p.tail, p.seq = uint8(t), uint8(seq)
	if m.has(CatchUpWithoutStore) {
		p.stored = p.tail
	} else {
		m.storeTail()
	}
	m.newGates()
	m.setSoft(t)
}

func (m *machine) newGates() {
	p := m.me()
	if epoch := m.load(wGateEpoch); epoch != int(p.epoch) {
		m.say("the gates are new")
		p.epoch = uint8(epoch)
		if !m.has(KeepLimit) {
			p.limit = p.tail
		}
	}
	p.limit = max(p.limit, p.tail)
}

func (m *machine) storeTail() {
	p := m.me()
	if p.stored == p.tail {
		return
	}
	m.say("sequence = %d, tail = %d", p.seq, p.tail)
	if m.has(TailBeforeSequence) {
		m.store(wTail, int(p.tail))
		m.store(wSequence, int(p.seq))
	} else {
		m.store(wSequence, int(p.seq))
		m.store(wTail, int(p.tail))
	}
	p.stored = p.tail
}

// leave leaves the ring and goes on at next.
func (m *machine) leave(next uint8) {
	p := m.me()
	if p.flags&fBiased != 0 {
		m.say("active = 0")
		m.store(wActive+m.i, 0)
		p.flags &^= fBiased | fInside
		m.goes(next)
		return
	}
	m.storeTail()
	rebias := m.sc.Rebias && m.i < len(m.sc.Publishers) && next != pSpace && m.load(wMutex)&waiters == 0
	if rebias && m.choose(2) == 1 {
		if m.has(RebiasAfterRelease) {
			p.flags |= fLate
		} else {
			m.say("bias = ours")
			m.store(wBias, int(owned|m.id()))
		}
	}
	p.next = next
	m.goes(pUnlock)
}

func stepUnlock(m *machine) {
	p := m.me()
	if !m.locked() {
		return
	}
	old := m.s.mem[wMutex]
	if old&^waiters != m.id() {
		m.wrong("releases a mutex that holds %#x", old)
	}
	m.s.mem[wMutex] = 0
	m.say("releases the mutex")
	p.flags &^= fInside
	if p.flags&fLate != 0 {
		p.flags &^= fLate
		m.store(wBias, int(owned|m.id()))
	}
	if old&waiters != 0 {
		m.goes(pWakeOne)
		return
	}
	m.goes(p.next)
	p.next = 0
}

func stepWakeOne(m *machine) {
	p := m.me()
	var asleep []int
	for i := range m.n {
		if q := &m.s.proc[i]; q.status == sLive && q.pc == pLockAsleep {
			asleep = append(asleep, i)
		}
	}
	if len(asleep) > 0 {
		i := asleep[m.choose(len(asleep))]
		m.s.proc[i].pc = pLockWait
		m.say("wakes %s", m.name(i))
	}
	m.goes(p.next)
	p.next = 0
}
