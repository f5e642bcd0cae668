package model

import "fmt"

// machine computes the successors of states of one scene.
type machine struct {
	sc  *Scene
	mut Mutation
	n   int // processes

	s       state // the state a step is making
	i       int   // the process that steps
	blocked bool
	bad     string // the violation that the step found

	choices, options []uint8 // what choose returned in this run, of how many
	used             int

	tracing bool
	note    string

	out func(*state)
}

func newMachine(sc *Scene, mut Mutation) *machine {
	m := &machine{sc: sc, mut: mut, n: len(sc.Publishers) + len(sc.Subscribers) + 1}
	if len(sc.Attach) > 0 {
		m.n++
	}
	return m
}

func (m *machine) has(x Mutation) bool  { return m.mut == x }
func (m *machine) me() *process         { return &m.s.proc[m.i] }
func (m *machine) subscriber(c int) int { return len(m.sc.Publishers) + c }
func (m *machine) repairer() int        { return len(m.sc.Publishers) + len(m.sc.Subscribers) }
func (m *machine) attacher() int        { return m.repairer() + 1 }

// who is the number of the publisher or subscriber among its kind.
func (m *machine) who() int { return m.i - m.base() }
func (m *machine) base() int {
	if m.i < len(m.sc.Publishers) {
		return 0
	}
	return len(m.sc.Publishers)
}

// slot is the publisher slot of the process; the host has the one behind the
// publishers'.
func (m *machine) slot() int     { return min(m.i, len(m.sc.Publishers)) }
func (m *machine) id() uint16    { return identity(m.slot(), m.me().gen) }
func (m *machine) block()        { m.blocked = true }
func (m *machine) goes(pc uint8) { m.me().pc = pc }

func (m *machine) wrong(format string, args ...any) {
	if m.bad == "" {
		m.bad = m.name(m.i) + ": " + fmt.Sprintf(format, args...)
	}
}

func (m *machine) say(format string, args ...any) {
	if m.tracing {
		if m.note != "" {
			m.note += "; "
		}
		m.note += fmt.Sprintf(format, append([]any(nil), args...)...) // a copy, so that args need no heap
	}
}

func (m *machine) name(i int) string {
	switch {
	case i < len(m.sc.Publishers):
		return "P0P1P2"[2*i : 2*i+2]
	case i < m.repairer():
		i -= len(m.sc.Publishers)
		return "S0S1"[2*i : 2*i+2]
	case i == m.repairer():
		return "host"
	}
	return "host attaching"
}

// choose returns one of 0 … n-1; the step is run again for each.
func (m *machine) choose(n int) int {
	if n <= 1 {
		return 0
	}
	if m.used == len(m.choices) {
		m.choices = append(m.choices, 0)
		m.options = append(m.options, uint8(n))
	}
	m.used++
	return int(m.choices[m.used-1])
}

func (m *machine) another() bool {
	for k := len(m.choices) - 1; k >= 0; k-- {
		if m.choices[k]+1 < m.options[k] {
			m.choices[k]++
			m.choices, m.options = m.choices[:k+1], m.options[:k+1]
			return true
		}
	}
	return false
}

// load reads a word as the process sees it: its own buffered stores first.
func (m *machine) load(addr int) int {
	p := m.me()
	for k := int(p.held) - 1; k >= 0; k-- {
		e := p.buffer[k]
		if int(e.addr) == addr {
			return int(e.val)
		}
		if e.addr >= wPayload && addr >= wUnit {
			position := int(e.val >> 5 & 255)
			switch addr {
			case wUnit + 2*(position%m.sc.Units):
				return int(commitWord(committed, 1, position+m.sc.Units))
			case wUnit + 2*(position%m.sc.Units) + 1:
				return int(payloadMark | e.val&31)
			}
		}
	}
	return int(m.s.mem[addr])
}

// store puts a store into the buffer.
func (m *machine) store(addr, v int) {
	p := m.me()
	if p.held == bufferSize {
		m.block()
		return
	}
	p.buffer[p.held] = store{uint8(addr), uint16(v)}
	p.held++
	p.fresh++
}

// locked reports whether a locked operation may run: it needs an empty buffer.
func (m *machine) locked() bool {
	if m.me().held > 0 {
		m.block()
		return false
	}
	return true
}

// fence is a full fence in fenced mode, and nothing otherwise.
func (m *machine) fence(unless Mutation) bool {
	return !m.sc.Fenced || m.has(unless) || m.locked()
}

// barrier is ring.barrier: membarrier, at once or one process after the other;
// in fenced mode a full fence. It reports whether it is done.
func (m *machine) barrier(unless Mutation) bool {
	p := m.me()
	switch {
	case m.has(unless):
		m.say("no barrier")
		return true
	case m.sc.Fenced:
		return m.locked()
	case !m.sc.StepBarrier:
		for i := range m.n {
			m.s.drainExecuted(m, i)
		}
		m.say("membarrier")
		return true
	}
	const running = 1 << 7
	if p.fenced == 0 {
		m.s.drainExecuted(m, m.i)
		p.fenced = running | 1<<m.i
		m.say("membarrier begins")
		return false
	}
	var left []int
	for i := range m.n {
		if p.fenced>>i&1 == 0 {
			left = append(left, i)
		}
	}
	if len(left) == 0 {
		m.s.drainExecuted(m, m.i)
		p.fenced = 0
		m.say("membarrier ends")
		return true
	}
	k := left[m.choose(len(left))]
	m.s.drainExecuted(m, k)
	p.fenced |= 1 << k
	m.say("membarrier reaches %s", m.name(k))
	return false
}

func (m *machine) unit(position int) int   { return wUnit + 2*(position%m.sc.Units) }
func (m *machine) header(position int) int { return m.load(m.unit(position)) }
func (m *machine) fields(position int) int { return m.load(m.unit(position) + 1) }

// successors calls out for each successor of from. Labels are made only when
// tracing. A violation that a step finds is left in bad; the step's state is
// still given out.
func (m *machine) successors(from *state, out func(*state)) {
	m.out = out
	for i := range m.n {
		if from.proc[i].status == sLive {
			m.step(from, i)
		}
	}
	for i := range m.n {
		if from.proc[i].held > 0 {
			m.begin(from, i)
			m.drain()
			m.emit()
		}
	}
	m.deaths(from)
}

func (m *machine) begin(from *state, i int) {
	m.s, m.i, m.blocked, m.used, m.note = *from, i, false, 0, ""
}

func (m *machine) step(from *state, i int) {
	m.choices, m.options = m.choices[:0], m.options[:0]
	for {
		m.begin(from, i)
		p := m.me()
		p.fresh = 0
		pc := p.pc
		m.say("%s %s", m.name(i), steps[pc].name)
		steps[pc].run(m)
		if !m.blocked {
			m.emit()
		}
		if !m.another() {
			return
		}
	}
}

func (m *machine) emit() {
	m.canonical()
	m.out(&m.s)
}

// drain moves the oldest store to memory, and with it those that nobody can
// tell from the next one if the scene says so.
func (m *machine) drain() {
	p := m.me()
	for {
		e := p.buffer[0]
		if m.tracing {
			m.say("%s's store of %s = %s is seen", m.name(m.i), wordName(e), valueName(e))
		}
		m.s.drainOne(m, m.i)
		if p.held == 0 || m.sc.StoreByStore || !quiet(e) {
			return
		}
	}
}

// quiet says of a store that it makes no difference whether it is seen now or
// with the next one: what is private to the lock, and what a reader looks at
// only behind a commit word.
func quiet(e store) bool {
	switch a := int(e.addr); {
	case a >= wPayload:
		return true
	case a >= wUnit:
		return a&1 != wUnit&1 || e.val == 0
	case a == wTail, a == wSequence, a == wPending, a == wBusyEnd, a == wClaimed, a >= wIndex, a >= wCursorSeq && a < wGateGen:
		return true
	}
	return false
}

// deaths adds what may befall processes at any time: a kill, at which any
// number of the last step's stores had been executed, and a stop. The host's
// two hands die together.
func (m *machine) deaths(from *state) {
	for i := range m.repairer() {
		p := &from.proc[i]
		if p.status != sLive {
			continue
		}
		mayDie := i < len(m.sc.Publishers) && m.sc.killable(i) || i >= len(m.sc.Publishers) && m.sc.KillSubscribers
		if mayDie && int(from.kills) < m.sc.Kills {
			for keep := p.held; ; keep-- {
				m.begin(from, i)
				m.s.kills++
				m.kill(i, keep)
				m.say("*** %s is killed at %s, %d of %d buffered stores executed", m.name(i), steps[p.pc].name, keep, p.held)
				m.emit()
				if keep+p.fresh == p.held {
					break
				}
			}
		}
		if int(from.stops) < m.sc.Stops && (i < len(m.sc.Publishers) || m.sc.StopSubscribers) {
			for keep := p.held; ; keep-- {
				m.begin(from, i)
				m.s.stops++
				m.s.proc[i].status = sStopped
				m.s.proc[i].truncate(keep)
				m.say("*** %s is stopped at %s, %d of %d buffered stores executed", m.name(i), steps[p.pc].name, keep, p.held)
				m.emit()
				if keep+p.fresh == p.held {
					break
				}
			}
		}
	}
	if int(from.hosts) < m.sc.HostKills {
		m.killHost(from)
	}
}

// kill takes a process's registers and leaves its first keep stores.
func (m *machine) kill(i int, keep uint8) {
	p := &m.s.proc[i]
	old := *p
	*p = process{status: sDead, gen: old.gen, op: old.op, item: old.item, held: keep}
	copy(p.buffer[:keep], old.buffer[:keep])
}

func (m *machine) killHost(from *state) {
	r := m.repairer()
	a := &from.proc[m.n-1]
	attaching := m.n-1 != r && a.status == sLive && a.pc != aIdle
	if from.proc[r].pc == hIdle && !attaching {
		return
	}
	if from.proc[r].pc >= hTakeLock {
		return // the successor is not killed while it takes over
	}
	for keep := a.held; ; keep-- {
		m.begin(from, r)
		m.s.hosts++
		m.s.proc[r] = process{status: sLive, pc: hTakeLock}
		if m.n-1 != r {
			m.kill(m.n-1, keep)
		}
		m.say("*** the host is killed; a successor takes over")
		m.emit()
		if keep+a.fresh == a.held || m.n-1 == r {
			return
		}
	}
}
