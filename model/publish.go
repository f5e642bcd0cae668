package model

// Op is one operation of a publisher's script. Lengths are extents in units,
// header included.
type Op struct {
	Kind    OpKind
	Extents []int // of the messages; more than one in a batch only
}

// OpKind says what an operation does.
type OpKind uint8

// Kinds of operations.
const (
	Publish      OpKind = iota // one message, or a batch of several in one entry
	Claim                      // claim, fill, commit
	ClaimOrAbort               // claim, fill, commit or abort
)

func (m *machine) op() Op { return m.sc.Publishers[m.i][m.me().op] }

func (m *machine) isClaim() bool { return m.op().Kind != Publish }

// message numbers the messages of a publisher over all its operations.
func (m *machine) message(item int) int {
	n := 8 * m.i
	for _, op := range m.sc.Publishers[m.i][:m.me().op] {
		n += len(op.Extents)
	}
	return n + item
}

func (m *machine) extent() int { return m.op().Extents[m.me().item] }

// room returns where the next record goes and ends, next header included.
func (m *machine) room() (position, end int) {
	position = int(m.me().tail)
	if offset := position % m.sc.Units; offset+m.extent() > m.sc.Units {
		position += m.sc.Units - offset
	}
	end = position + m.extent()
	if !m.has(NoRoomForNextHeader) {
		end++
	}
	return position, end
}

// setSoft is as in ring/space.go: the least of what a record may not reach
// beyond without taking the slow road.
func (m *machine) setSoft(start int) {
	p := m.me()
	soft := min(p.limit, p.claimed, uint8(start-start%m.sc.Block+m.sc.Block))
	if !m.has(StoredTailNoGate) {
		soft = min(soft, p.stored+uint8(m.sc.Fraction))
	}
	p.soft = soft
}

// nextMessage is inside: it begins to place the next record.
func (m *machine) nextMessage() {
	p := m.me()
	if p.count == 0 {
		p.first = p.seq
	}
	_, end := m.room()
	switch {
	case int(p.soft) >= end:
		m.write()
	case m.sc.Exclusive:
		m.goes(pNewGates) // nobody enters to tell us
	case int(p.limit) >= end:
		m.makeRoom()
	default:
		m.beginWalk()
	}
}

// overwrite is what makeRoom does once the gates allow it.
func (m *machine) overwrite() {
	p := m.me()
	_, end := m.room()
	if m.has(ClaimedFalls) && int(p.claimed) != m.roundUp(end) || int(p.claimed) < end {
		m.raiseClaimed(end)
		if m.sc.Exclusive && !m.has(NoLookBehindClaimed) {
			m.goes(pBehindClaimed)
			return
		}
	}
	m.place()
}

// place is the rest of makeRoom: the room is there and is said to be taken.
func (m *machine) place() {
	p := m.me()
	start, end := m.room()
	if !m.has(StoredTailNoGate) && int(p.stored)+m.sc.Fraction < end {
		m.storeTail()
	}
	slot := wIndex + start/m.sc.Block%m.sc.indexes()
	if m.load(slot)/m.sc.Block != start/m.sc.Block {
		entry := start
		if m.has(IndexBeyond) {
			entry = end - 1
		}
		m.say("index %d = %d", slot-wIndex, entry)
		m.store(slot, entry)
	}
	m.setSoft(start)
	m.write()
}

func (m *machine) roundUp(p int) int { return (p + m.sc.Fraction - 1) / m.sc.Fraction * m.sc.Fraction }

func (m *machine) raiseClaimed(end int) {
	p := m.me()
	p.claimed = uint8(m.roundUp(end))
	shown := int(p.claimed)
	switch {
	case m.has(ClaimedWithoutNextHeader):
		shown = m.roundUp(end - 1)
	case m.has(ClaimedNotRounded):
		shown = end
	case m.has(ClaimedRoundedDown):
		shown = end / m.sc.Fraction * m.sc.Fraction
	}
	if m.has(ClaimedAfterRecord) {
		p.flags |= fLate
		return
	}
	m.say("claimed = %d", shown)
	m.store(wClaimed, shown)
}

// write writes the record and either goes on inside or leaves.
func (m *machine) write() {
	p := m.me()
	position, _ := m.room()
	if position != int(p.tail) {
		m.pad(position)
	}
	message, extent := m.message(int(p.item)), m.extent()
	after := position + extent
	claim := m.isClaim()
	zero := !m.has(NoZeroNext) && !(m.has(NoZeroNextUnderClaim) && claim)
	if zero && !m.has(ZeroAfterCommit) {
		m.store(m.unit(after), 0)
	}
	if m.has(TailBeforeCommit) && p.flags&fBiased == 0 {
		p.tail, p.seq = uint8(after), p.seq+1
		m.storeTail()
		p.tail, p.seq = uint8(position), p.seq-1
	}
	commit := commitWord(committed, extent, position)
	if claim {
		commit = commitWord(busy, extent, position)
		if !m.has(BusyEndAfterBusy) {
			m.store(wBusyEnd, after)
		}
	}
	if m.has(CommitBeforeFields) {
		m.store(m.unit(position), int(commit))
	}
	if !(m.has(FieldsAfterBusy) && claim) {
		m.store(m.unit(position)+1, int(fieldsWord(message, int(p.seq), m.i)))
	}
	if extent > 1 && !claim {
		m.store(wPayload+(position+1)%m.sc.Units, message|(position+1)<<5)
	}
	if !m.has(CommitBeforeFields) {
		m.store(m.unit(position), int(commit))
	}
	if m.has(FieldsAfterBusy) && claim {
		m.store(m.unit(position)+1, int(fieldsWord(message, int(p.seq), m.i)))
	}
	if zero && m.has(ZeroAfterCommit) {
		m.store(m.unit(after), 0)
	}
	if m.has(BusyEndAfterBusy) && claim {
		m.store(wBusyEnd, after)
	}
	if p.flags&fLate != 0 && m.has(ClaimedAfterRecord) {
		p.flags &^= fLate
		m.store(wClaimed, int(p.claimed))
	}
	m.say("record of message %d at %d, sequence %d, state %d", message, position, p.seq, stateOf(commit))
	if after > 250-m.sc.Units || int(p.seq) >= maxSequence {
		m.wrong("the scene is too long for the model")
		return
	}
	p.tail, p.seq = uint8(after), p.seq+1
	p.count++
	p.item++
	switch {
	case claim:
		p.a = uint8(position)
		m.leave(pFill)
	case int(p.item) < len(m.op().Extents):
		m.goes(pNext)
	default:
		m.leave(pWake)
	}
}

func (m *machine) pad(position int) {
	p := m.me()
	if !m.has(NoZeroBehindPad) {
		m.store(m.unit(position), 0)
	}
	m.store(m.unit(int(p.tail))+1, int(fieldsWord(noMessage, int(p.seq), m.i)))
	m.store(m.unit(int(p.tail)), int(commitWord(pad, position-int(p.tail), int(p.tail))))
	m.say("PAD at %d", p.tail)
	p.tail = uint8(position)
}

func stepNext(m *machine) { m.nextMessage() }

// full is ErrFull: the publisher leaves and waits for space.
func (m *machine) full() {
	p := m.me()
	m.say("full")
	if p.count > 0 {
		p.flags |= fPartial
		if m.has(PartialBatchWithoutWake) {
			m.ack()
			m.leave(pSpace)
			return
		}
		m.leave(pWake)
		return
	}
	m.leave(pSpace)
}

func stepFill(m *machine) {
	p := m.me()
	position := int(p.a)
	extent := m.op().Extents[0]
	if w := uint16(m.header(position)); w != commitWord(busy, extent, position) {
		m.wrong("is about to fill a claim at %d that is %#x by now", position, w)
	}
	if extent > 1 {
		m.store(wFill+(position+1)%m.sc.Units, m.message(0)|(position+1)<<5)
	}
	m.say("fills the claim at %d", position)
	m.goes(pEnd)
}

func stepEnd(m *machine) {
	p := m.me()
	if !m.locked() {
		return
	}
	position := int(p.a)
	extent := m.op().Extents[0]
	if m.s.mem[m.unit(position)] != commitWord(busy, extent, position) {
		m.wrong("its claim at %d was taken from it", position)
		m.block()
		return
	}
	state := committed
	if m.op().Kind == ClaimOrAbort && m.choose(2) == 1 {
		state = aborted
		p.flags |= fAbort
	}
	m.s.mem[m.unit(position)] = commitWord(state, extent, position)
	m.say("claim at %d is now %d", position, state)
	p.a = 0
	m.goes(pWake)
	if state == aborted && m.has(AbortWithoutWake) {
		m.ack()
		m.done()
	}
}

// done ends the operation.
func (m *machine) done() {
	p := m.me()
	p.op++
	p.item, p.count, p.first = 0, 0, 0
	p.flags &^= fPartial | fAbort | fSlept
	m.goes(pIdle)
}
