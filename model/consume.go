package model

// Reliable consumers, as in ring/consumer.go and ring/wait.go.

// stepConsume is the beginning of Next. Where a subscriber may be detached,
// the view of the message before is given up only here: it counts as
// delivered if we were still gated after it was read.
func stepConsume(m *machine) {
	p := m.me()
	if m.sc.detachable() || m.sc.Exclusive {
		if !m.gated() {
			m.detachedNow()
			return
		}
		m.confirm()
	}
	if int(p.tail-p.stored) > m.sc.Fraction {
		m.publishCursor(cRead)
		return
	}
	if m.sc.detachable() {
		m.goes(cRead)
		return
	}
	stepRead(m)
}

// detachedNow is ErrDetached: the view before does not count, and the
// subscriber leaves.
func (m *machine) detachedNow() {
	m.say("is detached")
	if m.sc.Exclusive && m.s.detached>>m.who()&1 == 0 && m.sc.Subscribers[m.who()].MaxLag == 0 {
		m.wrong("its gate was dropped though it was told that it is attached")
	}
	p := m.me()
	if p.held > 0 {
		m.block()
		return
	}
	*p = process{status: sDead, gen: p.gen}
}

func (m *machine) confirm() {
	p := m.me()
	if p.view == 0 {
		return
	}
	if p.flags&fTorn != 0 {
		m.wrong("was given torn bytes for message %d and is told they are good", p.view-1)
	}
	m.record(int(p.d), int(p.view))
	p.view, p.d = 0, 0
	p.flags &^= fTorn
}

func stepRead(m *machine) {
	p := m.me()
	position := int(p.tail)
	w := uint16(m.header(position))
	m.say("reads %#x at %d", w, position)
	switch {
	case w == 0 || isBusy(w, position):
		next := uint8(cPark)
		if !m.sc.Park {
			next = cSpin
		}
		if p.stored != p.tail && !m.has(ParkWithLazyCursor) {
			m.publishCursor(next)
			return
		}
		m.goes(next)
	case !isOf(w, position) || stateOf(w) > pad || stateOf(w) == free:
		m.broken("finds %#x at %d", w, position)
	default:
		p.a, p.b = uint8(extentOf(w)), uint8(stateOf(w))
		m.goes(cFields)
	}
}

// broken is for bytes that make no sense: they may be another record's because
// we were detached.
func (m *machine) broken(format string, args ...any) {
	m.say("bytes make no sense")
	if m.sc.detachable() {
		m.goes(cBroken)
		return
	}
	m.wrong(format, args...)
}

func stepBroken(m *machine) {
	if m.gated() {
		m.wrong("finds bytes that make no sense at %d though it holds publishers back", m.me().tail)
	}
	m.detachedNow()
}

func stepFields(m *machine) {
	p := m.me()
	f := uint16(m.fields(int(p.tail)))
	m.say("message %d, sequence %d", messageOf(f), sequenceOf(f))
	if f&payloadMark != 0 || sequenceOf(f) != int(p.seq) {
		m.broken("finds sequence %d at %d where %d is due (%#x)", sequenceOf(f), p.tail, p.seq, f)
		return
	}
	switch p.b {
	case committed:
		p.c = uint8(messageOf(f))
		if p.a > 1 {
			m.goes(cView)
			return
		}
		m.take(false)
	case aborted:
		m.record(int(p.seq), abortedMark)
		p.seq++
		fallthrough
	default:
		m.pass()
		m.goes(cRead)
	}
}

func (m *machine) pass() {
	p := m.me()
	p.tail += p.a
	p.a, p.b, p.c = 0, 0, 0
}

func stepView(m *machine) {
	p := m.me()
	f := uint16(m.fields(int(p.tail) + 1))
	m.take(f != payloadMark|uint16(p.c))
}

// take hands the message to the user.
func (m *machine) take(torn bool) {
	p := m.me()
	if p.c >= garbage {
		m.broken("is given garbage at %d", p.tail)
		return
	}
	p.view, p.d = p.c+1, p.seq
	if torn {
		m.say("torn")
		p.flags |= fTorn
	}
	m.say("message %d is handed out", p.c)
	p.seq++
	m.pass()
	if !m.sc.detachable() || m.has(DetachCheckBeforeRead) {
		m.confirm()
	}
	m.goes(cNext)
}

// publishCursor stores the cursor, looks whether publishers wait for that, and
// goes on at next.
func (m *machine) publishCursor(next uint8) {
	p := m.me()
	m.say("cursor = %d", p.tail)
	m.store(wCursorSeq+m.who(), int(p.seq))
	m.store(wCursor+m.who(), int(p.tail))
	p.stored = p.tail
	if !m.sc.Park {
		m.goes(next)
		return
	}
	p.next = next
	m.goes(cSpace)
}

func (m *machine) errandDone() {
	p := m.me()
	m.goes(p.next)
	p.next = 0
}

func stepCursorSpace(m *machine) {
	p := m.me()
	if !m.fence(FencedCursorWithoutFence) {
		return
	}
	s := m.load(wSpaceSleeps)
	if s == int(p.spaceSeen) {
		m.errandDone()
		return
	}
	m.say("somebody waits for space")
	p.spaceSeen = uint8(s)
	m.goes(cSpaceRing)
}

func stepSpaceRing(m *machine) {
	if m.locked() {
		m.s.mem[wSpaceDoorbell]++
		m.say("rings the space doorbell")
		m.goes(cSpaceWake)
	}
}

func stepSpaceWake(m *machine) {
	m.wakeSpaceSleepers()
	if m.has(SpaceSeenAfterRing) {
		m.me().spaceSeen = uint8(m.load(wSpaceSleeps))
	}
	m.errandDone()
}

// stepSpin waits, without a step of its own, until there is something to do.
func stepSpin(m *machine) {
	p := m.me()
	position := int(p.tail)
	w := m.s.mem[m.unit(position)]
	switch {
	case w != 0 && !isBusy(w, position):
	case m.lossy() && int(m.s.mem[wClaimed]) > position+m.sc.Units && !m.has(ZeroMeansEmpty):
	case !m.lossy() && !m.gated():
	default:
		m.block()
		return
	}
	m.goes(m.afterSleep(m.i))
}

func (m *machine) lossy() bool { return m.sc.Subscribers[m.who()].Lossy }

func (m *machine) afterSleep(i int) uint8 {
	if m.sc.Subscribers[i-len(m.sc.Publishers)].Lossy {
		return lRead
	}
	return cNext
}

func stepPark(m *machine) {
	p := m.me()
	switch {
	case m.has(SleepCountedBeforeBell):
		if !m.locked() {
			return
		}
		m.s.mem[wSleeps]++
		m.say("counts its sleep")
	case !m.has(BellAfterRecheck):
		p.bell = 1 + uint8(m.load(wDoorbell))
		m.say("reads the doorbell")
	}
	m.goes(cCount)
}

func stepCount(m *machine) {
	p := m.me()
	if m.has(SleepCountedBeforeBell) {
		p.bell = 1 + uint8(m.load(wDoorbell))
		m.say("reads the doorbell")
		m.goes(cBarrier)
		return
	}
	if m.locked() {
		m.s.mem[wSleeps]++
		m.say("counts its sleep")
		m.goes(cBarrier)
	}
}

func stepParkBarrier(m *machine) {
	if m.barrier(SleepWithoutBarrier) {
		m.goes(cRecheck)
	}
}

func stepRecheck(m *machine) {
	p := m.me()
	w := uint16(m.header(int(p.tail)))
	m.say("looks again: %#x", w)
	switch {
	case w != 0 && !isBusy(w, int(p.tail)):
		p.bell = 0
		m.goes(m.afterSleep(m.i))
	case (m.sc.detachable() || m.sc.Exclusive) && !m.lossy() || m.lossy() && !m.has(ZeroMeansEmpty):
		m.goes(cRecheckMore)
	default:
		m.goSleep()
	}
}

func (m *machine) goSleep() {
	if m.has(BellAfterRecheck) {
		m.me().bell = 0
		m.goes(cBellLate)
		return
	}
	m.goes(cSleep)
}

func stepBellLate(m *machine) {
	m.me().bell = 1 + uint8(m.load(wDoorbell))
	m.goes(cSleep)
}

// stepRecheckMore looks at what else ends a wait: being detached, or overrun.
func stepRecheckMore(m *machine) {
	p := m.me()
	over := m.lossy() && m.load(wClaimed) > int(p.tail)+m.sc.Units || !m.lossy() && !m.gated()
	if over {
		p.bell = 0
		m.goes(m.afterSleep(m.i))
		return
	}
	m.goSleep()
}

func stepSleep(m *machine) {
	p := m.me()
	if int(p.bell)-1 == int(m.s.mem[wDoorbell]) {
		m.say("sleeps")
		m.goes(cAsleep)
	} else {
		m.say("the doorbell has changed")
		m.goes(m.afterSleep(m.i))
	}
	p.bell = 0
}

// stepConsumerAsleep is the one place where a wait ends by time: the host cannot
// change the doorbell of an exclusive ring, so whom it detaches between the last
// look and the sleep is not woken.
func stepConsumerAsleep(m *machine) {
	if !m.sc.Exclusive || m.lossy() || m.gated() || m.has(SleepWithoutBound) {
		m.block()
		return
	}
	m.say("the time of its wait is over")
	m.goes(m.afterSleep(m.i))
}
