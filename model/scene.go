package model

// Scene is one small system to explore: a ring, who takes part, and what may
// befall them. Lengths and positions are in units of 32 bytes.
type Scene struct {
	Name     string
	Quick    bool  // explored by every run of the tests
	Units    int   // capacity, 4 to 8
	Fraction int   // 1/16 of the real ring: how far stored tail, cursors and claimed may lag
	Block    int   // 1/64 of the real ring: what one entry of the sparse index stands for
	Start    int   // position of the first record; 0 means Units
	Unread   []int // extents of records that are there at the beginning

	Publishers  [][]Op
	Subscribers []Subscriber
	Attach      []Attach // in this order, at any time
	Detach      []int    // subscribers that the host detaches, once each, at any time

	Exclusive    bool // one publisher, whose bias is for ever; the host attaches without the lock
	Fenced       bool
	Futex        bool // the mutex with its waiters; without, a contender waits without a step
	Park         bool // sleeping and waking; without, who has nothing to do waits without a step
	Eager        bool // a publisher that does not have the bias may set active before it finds out
	Rebias       bool // a publisher that leaves by the slow road may take the bias
	Bias         int  // publisher that has the bias at the beginning, + 1
	StepBarrier  bool // membarrier reaches one process after the other
	StoreByStore bool // every store is seen by itself

	Kills           int
	Killable        int // publishers that may be killed, by bit; 0 means all
	KillSubscribers bool
	HostKills       int
	Regrants        int // how often a slot is granted again
	Stops           int // processes that may be stopped for ever
	StopSubscribers bool
	GiveUps         int // waits for the lock that end with an error

	// Ends has every state checked for a way to the end, which finds those
	// that only go round and round. It keeps all transitions in memory.
	Ends bool
}

// Subscriber is one subscriber of a scene.
type Subscriber struct {
	Lossy  bool
	MaxLag int  // messages; 0: no limit
	Absent bool // at the beginning
}

// Attach says that the host attaches a subscriber that is absent or gone.
type Attach struct {
	Subscriber int
	Earliest   bool // at the oldest record that is there, not behind the last
}

func (sc *Scene) indexes() int        { return sc.Units / sc.Block }
func (sc *Scene) killable(i int) bool { return sc.Killable == 0 || sc.Killable>>i&1 != 0 }

func (sc *Scene) lagLimits() bool {
	for _, s := range sc.Subscribers {
		if s.MaxLag > 0 {
			return true
		}
	}
	return false
}

// detachable reports whether a reliable subscriber may be detached while it
// lives; gatesVary whether gates may change while a publisher is inside.
func (sc *Scene) detachable() bool { return len(sc.Detach) > 0 || sc.lagLimits() }
func (sc *Scene) gatesVary() bool {
	return sc.Exclusive || sc.detachable() || sc.KillSubscribers || sc.HostKills > 0 && len(sc.Attach) > 0
}

const (
	noEpoch     = 255
	firstNumber = 200 // gate number of a subscriber that is there at the beginning
)

// initial is the state a scene begins in. Units where no record is hold the
// worst bytes possible: committed headers of the lap that is to come.
func (m *machine) initial() *state {
	sc, s := m.sc, &state{}
	start := sc.Start
	if start == 0 {
		start = sc.Units
	}
	for position := start; position < start+sc.Units; position++ {
		s.mem[m.unit(position)] = commitWord(committed, 1, position)
		s.mem[m.unit(position)+1] = payloadMark | garbage
	}
	for k := range sc.indexes() {
		s.mem[wIndex+k] = uint16(start)
	}
	tail := start
	for k, extent := range sc.Unread {
		s.mem[m.unit(tail)] = commitWord(committed, extent, tail)
		s.mem[m.unit(tail)+1] = fieldsWord(24+k, k, 0)
		if extent > 1 {
			s.write(m, uint8(wPayload+(tail+1)%sc.Units), uint16(24+k|(tail+1)<<5))
		}
		s.log[k], s.acked = uint8(24+k+1), s.acked|1<<k
		if e := &s.mem[wIndex+tail/sc.Block%sc.indexes()]; int(*e)/sc.Block != tail/sc.Block {
			*e = uint16(tail)
		}
		tail += extent
	}
	s.mem[m.unit(tail)] = 0
	s.mem[wTail], s.mem[wSequence] = uint16(tail), uint16(len(sc.Unread))
	s.mem[wPending], s.mem[wBusyEnd] = uint16(start), uint16(start)
	s.mem[wClaimed] = uint16(m.roundUp(tail + 1))
	for i := range sc.Publishers {
		s.proc[i] = process{status: sLive, gen: 1, epoch: noEpoch}
	}
	if sc.Bias > 0 {
		m.s, m.i = *s, sc.Bias-1
		p := m.me()
		p.tail, p.seq, p.stored, p.claimed = uint8(tail), uint8(len(sc.Unread)), uint8(tail), uint8(s.mem[wClaimed])
		p.limit, p.epoch = p.tail, 0
		m.setSoft(tail)
		*s = m.s
		s.mem[wBias] = owned | identity(sc.Bias-1, 1)
	}
	for c, sub := range sc.Subscribers {
		p := &s.proc[m.subscriber(c)]
		if sub.Absent {
			continue
		}
		*p = process{status: sLive, gen: 1, tail: uint8(start), stored: uint8(start), pc: cNext}
		s.granted |= 1 << c
		if sub.Lossy {
			p.pc, p.flags = lRead, fResync
			continue
		}
		s.mem[wCursor+c] = uint16(start)
		s.mem[wGates] |= 1 << c
		if sc.Exclusive {
			p.epoch = uint8(firstNumber + c)
			s.mem[wGateNum+c] = uint16(p.epoch)
			s.since[c] = tenure{p.epoch, uint8(start), 0}
			continue
		}
		s.mem[wGateGen+c] = 1
	}
	s.proc[m.repairer()] = process{status: sLive, gen: 1, pc: hIdle}
	if m.n-1 == m.attacher() {
		s.proc[m.attacher()] = process{status: sLive, gen: 1, pc: aIdle, epoch: noEpoch}
	}
	m.s = *s
	m.canonical()
	return &m.s
}
