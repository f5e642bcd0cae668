package model

// Sizes of the model. Positions are in units of 32 bytes.
const (
	maxPublishers  = 3
	maxSubscribers = 2
	maxProcesses   = maxPublishers + maxSubscribers + 2 // the host's repairer and its attacher
	maxUnits       = 8
	maxIndex       = 4
	maxSequence    = 16
	bufferSize     = 20
)

// Shared words, by address. A unit of the ring is two: what is a commit word
// if a header begins here, and what are its other fields.
const (
	wBias = iota
	wMutex
	wTail
	wSequence
	wPending
	wBusyEnd
	wClaimed
	wDoorbell
	wPendingDoorbell
	wSpaceDoorbell
	wSleeps
	wSpaceSleeps
	wGates
	wGateEpoch
	wActive                              // one a publisher
	wCursor    = wActive + maxPublishers // one a subscriber, as are the next three
	wCursorSeq = wCursor + maxSubscribers
	wGateGen   = wCursorSeq + maxSubscribers
	wGateNum   = wGateGen + maxSubscribers // exclusive: gate numbers
	wIndex     = wGateNum + maxSubscribers
	wUnit      = wIndex + maxIndex
	words      = wUnit + 2*maxUnits
	wPayload   = 64                  // + unit: a payload written inside the lock, both words of the unit at once
	wFill      = wPayload + maxUnits // + unit: a payload written outside, under a claim
)

// States of a record, as in ring/record.go.
const (
	free = iota
	busy
	committed
	aborted
	pad
)

// bias: identity | owned or revoking. mutex: identity | waiters.
const (
	owned    = 1 << 6
	revoking = 1 << 7
	waiters  = 1 << 7
	idBits   = 1<<6 - 1
)

func identity(slot int, gen uint8) uint16 { return uint16(slot+1) | uint16(gen)<<3 }

// A commit word: state 3 bits, extent in units 3 bits, position 8 bits. The
// tag is the whole position, as it is in the ring up to 8 GiB.
func commitWord(state, extent, position int) uint16 {
	return uint16(state) | uint16(extent)<<3 | uint16(position)<<6
}
func stateOf(w uint16) int             { return int(w & 7) }
func extentOf(w uint16) int            { return int(w >> 3 & 7) }
func isOf(w uint16, position int) bool { return int(w>>6&255) == position&255 }
func isBusy(w uint16, position int) bool {
	return isOf(w, position) && stateOf(w) == busy
}

// fields: message 5 bits, sequence 6 bits, slot 3 bits.
func fieldsWord(message, sequence, slot int) uint16 {
	return uint16(message) | uint16(sequence)<<5 | uint16(slot)<<11
}
func messageOf(f uint16) int  { return int(f & 31) }
func sequenceOf(f uint16) int { return int(f >> 5 & 63) }
func slotOf(f uint16) int     { return int(f >> 11 & 7) }

// payloadMark tells the second word of a payload unit from fields. The first
// is the worst a user could write: the committed header of the next lap.
const (
	payloadMark = 1 << 15
	noMessage   = 31
	garbage     = 30
)

type store struct {
	addr uint8
	val  uint16
}

// process is the registers and the store buffer of one participant. Names are
// those of ring.entrant and ring.Consumer; a consumer's position is tail, what
// it published of it is stored.
type process struct {
	pc, status, gen uint8
	op, item        uint8 // script: operation, and message of a batch
	flags           uint8
	next            uint8 // where to go on after an errand
	fenced          uint8 // stepwise membarrier: who is fenced already, and 1<<7 while it runs

	tail, seq, stored, claimed, limit, soft, epoch uint8

	a, b, c, d                   uint8 // of the errand under way
	first, count                 uint8 // sequences given in this entry
	bell, pendingBell, spaceBell uint8 // 1 + doorbells as read before sleeping; 0: not read
	sleepsSeen, spaceSeen        uint8
	view                         uint8 // message handed out but not confirmed, + 1; publisher: gateOf of the gate it looks at
	number                       uint8 // exclusive publisher: of the gate that it may drop
	fresh, held                  uint8 // stores of the last step; stores in the buffer
	buffer                       [bufferSize]store
}

const (
	fBiased  = 1 << iota // inside by the bias
	fInside              // inside
	fSlept               // slept on the mutex
	fPartial             // a batch that did not fit
	fAbort               // the claim was given up
	fTorn                // what the view shows is not one message
	fResync              // a lossy consumer that lost its place
	fLate                // mutations: something was put off
)

const (
	sAbsent = iota // not attached yet
	sLive
	sStopped // as by SIGSTOP: takes no more steps, its stores drain
	sDead    // killed or gone; not repaired
	sRepaired
	sDone // publisher: has published all
)

// state is a state of the whole system, with ghost variables that no process
// reads.
type state struct {
	mem   [words]uint16
	proc  [maxProcesses]process
	kills uint8 // so far
	hosts uint8 // host deaths
	stops uint8
	quits uint8 // waits given up

	granted  uint8              // subscriber slots granted
	detached uint8              // subscribers that Detach was called for
	log      [maxSequence]uint8 // ghost: what each sequence was: message + 1, or abortedMark
	acked    uint16             // ghost: sequences whose publisher was told so
	start    [maxSubscribers]uint8
	since    [maxSubscribers]tenure // ghost, exclusive: by subscriber slot
}

// tenure is where the holder of a gate number began.
type tenure struct{ number, position, seq uint8 }

const abortedMark = 32

// write puts a store into memory.
func (s *state) write(m *machine, addr uint8, v uint16) {
	if addr < wPayload {
		s.mem[addr] = v
		return
	}
	position := int(v >> 5 & 255)
	u := position % m.sc.Units
	s.mem[wUnit+2*u] = commitWord(committed, 1, position+m.sc.Units)
	s.mem[wUnit+2*u+1] = payloadMark | v&31
}

func (s *state) drainOne(m *machine, i int) {
	p := &s.proc[i]
	s.write(m, p.buffer[0].addr, p.buffer[0].val)
	copy(p.buffer[:], p.buffer[1:p.held])
	p.held--
	p.buffer[p.held] = store{}
	p.fresh = min(p.fresh, p.held)
}

// drainExecuted is what another's membarrier does to a process: it drains the
// stores that were executed for certain. Those of the last step may still be
// to come; that they were executed too is a drain before the barrier.
func (s *state) drainExecuted(m *machine, i int) {
	for p := &s.proc[i]; p.held > p.fresh; {
		s.drainOne(m, i)
	}
}

// truncate takes away all but the first keep stores: the rest were not
// executed.
func (p *process) truncate(keep uint8) {
	for ; p.held > keep; p.held-- {
		p.buffer[p.held-1] = store{}
	}
	p.fresh = 0
}

// encode appends the state, canonical as it is, to b.
func (s *state) encode(m *machine, b []byte) []byte {
	for i := range wUnit {
		b = append(b, byte(s.mem[i]))
	}
	for i := wUnit; i < wUnit+2*m.sc.Units; i++ {
		b = append(b, byte(s.mem[i]), byte(s.mem[i]>>8))
	}
	b = append(b, s.kills, s.hosts, s.stops, s.quits, s.granted, s.detached, byte(s.acked), byte(s.acked>>8))
	b = append(b, s.start[:]...)
	for _, t := range s.since {
		b = append(b, t.number, t.position, t.seq)
	}
	b = append(b, s.log[:]...)
	for i := range m.n {
		p := &s.proc[i]
		b = append(b, p.pc, p.status, p.gen, p.op, p.item, p.flags, p.next, p.fenced,
			p.tail, p.seq, p.stored, p.claimed, p.limit, p.soft, p.epoch, p.a, p.b, p.c, p.d, p.first, p.count,
			p.bell, p.pendingBell, p.spaceBell, p.sleepsSeen, p.spaceSeen, p.view, p.number, p.fresh, p.held)
		for _, e := range p.buffer[:p.held] {
			b = append(b, e.addr, byte(e.val), byte(e.val>>8))
		}
	}
	return b
}

// decode reads a state from b and returns what follows it.
func (s *state) decode(m *machine, b []byte) []byte {
	for i := range wUnit {
		s.mem[i] = uint16(b[i])
	}
	b = b[wUnit:]
	for i := range 2 * m.sc.Units {
		s.mem[wUnit+i] = uint16(b[2*i]) | uint16(b[2*i+1])<<8
	}
	b = b[4*m.sc.Units:]
	s.kills, s.hosts, s.stops, s.quits, s.granted, s.detached = b[0], b[1], b[2], b[3], b[4], b[5]
	s.acked = uint16(b[6]) | uint16(b[7])<<8
	b = b[8:]
	b = b[copy(s.start[:], b):]
	for c := range s.since {
		s.since[c] = tenure{b[0], b[1], b[2]}
		b = b[3:]
	}
	b = b[copy(s.log[:], b):]
	for i := range m.n {
		p := &s.proc[i]
		*p = process{}
		for k, f := range [...]*uint8{&p.pc, &p.status, &p.gen, &p.op, &p.item, &p.flags, &p.next, &p.fenced,
			&p.tail, &p.seq, &p.stored, &p.claimed, &p.limit, &p.soft, &p.epoch, &p.a, &p.b, &p.c, &p.d, &p.first, &p.count,
			&p.bell, &p.pendingBell, &p.spaceBell, &p.sleepsSeen, &p.spaceSeen, &p.view, &p.number, &p.fresh, &p.held} {
			*f = b[k]
		}
		b = b[processBytes:]
		for k := range p.held {
			p.buffer[k] = store{b[0], uint16(b[1]) | uint16(b[2])<<8}
			b = b[3:]
		}
	}
	return b
}

const processBytes = 30
