package model

// stale is a counter's value that will never be current again.
const stale = 255

// canonical forgets what can make no difference any more, so that states that
// behave alike are one state.
func (m *machine) canonical() {
	s := &m.s
	m.forgetCounts()
	for i := range m.n {
		p := &s.proc[i]
		if m.sc.Fenced && !m.mayStillDie(i) {
			p.fresh = 0
		}
		if i >= len(m.sc.Publishers) || p.status != sLive || p.pc != pIdle {
			continue
		}
		p.a, p.b, p.c, p.d, p.next, p.first, p.count = 0, 0, 0, 0, 0, 0, 0
		p.flags &^= fSlept | fPartial | fAbort
		if s.mem[wBias] != owned|identity(i, p.gen) && !m.has(KeepPrivateTail) {
			// The next entry is slow and reads all of these anew.
			p.tail, p.seq, p.stored, p.claimed, p.soft = 0, 0, 0, 0, 0
		}
	}
}

func (m *machine) mayStillDie(i int) bool {
	if int(m.s.stops) < m.sc.Stops {
		return true
	}
	switch {
	case i > m.repairer():
		return int(m.s.hosts) < m.sc.HostKills
	case i < len(m.sc.Publishers):
		return int(m.s.kills) < m.sc.Kills && m.sc.killable(i)
	}
	return int(m.s.kills) < m.sc.Kills && m.sc.KillSubscribers
}

// forgetCounts renames the values of counters that only grow and are only
// compared for equality: the current one, and any older one. Of the sleeps it
// keeps whether there was one, because a new publisher starts from 0.
func (m *machine) forgetCounts() {
	s := &m.s
	for i := range m.n {
		p := &s.proc[i]
		p.bell = canonicalBell(p.bell, s.mem[wDoorbell])
		p.pendingBell = canonicalBell(p.pendingBell, s.mem[wPendingDoorbell])
		p.spaceBell = canonicalBell(p.spaceBell, s.mem[wSpaceDoorbell])
		if int(p.sleepsSeen) != int(s.mem[wSleeps]) {
			p.sleepsSeen = stale
		} else {
			p.sleepsSeen = min(p.sleepsSeen, 1)
		}
		if int(p.spaceSeen) != int(s.mem[wSpaceSleeps]) {
			p.spaceSeen = stale
		} else {
			p.spaceSeen = min(p.spaceSeen, 1)
		}
	}
	s.mem[wDoorbell], s.mem[wPendingDoorbell], s.mem[wSpaceDoorbell] = 0, 0, 0
	s.mem[wSleeps], s.mem[wSpaceSleeps] = min(s.mem[wSleeps], 1), min(s.mem[wSpaceSleeps], 1)
}

func canonicalBell(read uint8, now uint16) uint8 {
	switch {
	case read == 0:
		return 0
	case int(read)-1 == int(now):
		return 1
	}
	return stale
}
