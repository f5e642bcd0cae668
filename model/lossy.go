package model

// Lossy consumers, as in ring/lossy.go: read, copy, then ask whether anything
// of it may have been overwritten meanwhile.

const unknown = 7 // a commit word of no state, or of another position

func stepLossyRead(m *machine) {
	p := m.me()
	position := int(p.tail)
	w := uint16(m.header(position))
	m.say("reads %#x at %d", w, position)
	p.a, p.b = uint8(extentOf(w)), uint8(stateOf(w))
	switch {
	case w == 0 || isBusy(w, position):
		p.a, p.b = 0, free
		m.goes(lCheck)
		if m.has(ZeroMeansEmpty) {
			m.lossyEmpty()
		}
	case !isOf(w, position) || stateOf(w) > pad || stateOf(w) == free:
		p.a, p.b = 0, unknown
		m.goes(lCheck)
	case p.b == committed && p.a > 1:
		m.goes(lCopy)
	default:
		m.goes(lFields)
	}
}

func stepLossyCopy(m *machine) {
	p := m.me()
	p.c = uint8(m.fields(int(p.tail)+1) & 31)
	if uint16(m.fields(int(p.tail)+1))&payloadMark == 0 {
		p.c = noMessage
	}
	m.goes(lFields)
}

func stepLossyFields(m *machine) {
	p := m.me()
	f := uint16(m.fields(int(p.tail)))
	p.d = uint8(sequenceOf(f))
	message := uint8(messageOf(f))
	if f&payloadMark != 0 {
		message, p.d = garbage, 0
	}
	if p.b == committed {
		if p.a > 1 && p.c != message {
			p.flags |= fTorn
		}
		p.c = message
	}
	m.say("message %d, sequence %d", message, p.d)
	m.goes(lCheck)
}

func stepLossyCheck(m *machine) {
	p := m.me()
	claimed := m.load(wClaimed)
	if claimed > int(p.tail)+m.sc.Units {
		m.say("overrun: claimed = %d", claimed)
		p.a, p.b, p.c, p.d = 0, 0, 0, 0
		p.flags = p.flags&^fTorn | fResync
		m.goes(lFloor)
		return
	}
	m.say("not overrun: claimed = %d", claimed)
	switch {
	case p.b == free:
		m.lossyEmpty()
		return
	case p.b == unknown:
		m.wrong("finds no record at %d though it was not overrun", p.tail)
		return
	case p.d < p.seq || p.d != p.seq && p.flags&fResync == 0:
		m.wrong("finds sequence %d at %d where %d is due", p.d, p.tail, p.seq)
	}
	m.lossyTake()
	m.goes(lRead)
}

func (m *machine) lossyTake() {
	p := m.me()
	if p.b != pad {
		p.seq = p.d + 1
		p.flags &^= fResync
	}
	switch {
	case p.b == aborted:
		m.record(int(p.d), abortedMark)
	case p.b == committed && (p.flags&fTorn != 0 || p.c >= garbage):
		m.wrong("takes torn bytes at %d for message %d", p.tail, p.c)
	case p.b == committed:
		m.say("message %d is handed out", p.c)
		m.record(int(p.d), int(p.c)+1)
	}
	p.d = 0
	m.pass()
}

func (m *machine) lossyEmpty() {
	m.goes(cSpin)
	if m.sc.Park {
		m.goes(cPark)
	}
}

// The steps of oldest: floor in a, the best so far in b, the next entry in c.
func stepFloor(m *machine) {
	p := m.me()
	p.a = uint8(max(m.load(wClaimed)-m.sc.Units, 0))
	if m.has(ResyncWithoutFloor) {
		p.a = 0
	}
	m.goes(lTail)
}

func stepLossyTail(m *machine) {
	p := m.me()
	p.b = uint8(m.load(wTail))
	if p.b < p.a {
		m.wrong("finds the stored tail %d more than a lap behind claimed, %d", p.b, int(p.a)+m.sc.Units)
	}
	if m.has(ResyncBeyondTail) {
		p.b = 250
	}
	m.goes(lIndex)
}

func stepIndex(m *machine) {
	p := m.me()
	if entry := uint8(m.load(wIndex + int(p.c))); entry >= p.a && entry < p.b {
		p.b = entry
	}
	p.c++
	if int(p.c) < m.sc.indexes() {
		return
	}
	if p.b <= p.tail {
		m.wrong("is overrun at %d and finds no record further on", p.tail)
	}
	p.tail = p.b
	m.say("goes on at %d", p.tail)
	p.a, p.b, p.c = 0, 0, 0
	m.goes(lRead)
}
