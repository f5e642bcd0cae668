package steps

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/shmbus/shmbus/ring"
)

// What is demanded at each boundary.
//
//	as the victim fell, before anybody repairs (invariants):
//	  the header at the true end is zero; every record from the slowest reliable cursor and from pending to there
//	  is whole, tagged and numbered without a gap; claimed is beyond the end and its next header; nothing open
//	  lies before pending; no record overtakes a reliable cursor by more than the ring
//	after the repair, once nobody is inside:
//	  the same; the lock and the bias are not the victim's; no claim of its is open
//	of survivors:
//	  the publisher publishes, both subscribers read; sleepers wake; three more laps of the ring pass;
//	  the victim's slot can be granted again and works
//	of messages:
//	  what the victim published before is delivered, once, in order; what its call published is delivered if it had
//	  returned, and whole or not at all if not; both subscribers agree on each number;
//	  given = delivered + lost + aborted + unread

// Where the words are: docs/layout.md. The checks read the bytes by themselves,
// so as not to share a mistake with the ring.
const (
	offGates    = 0x208
	offBias     = 0x280
	offMutex    = 0x300
	offTail     = 0x380
	offSequence = 0x388
	offPending  = 0x390
	offClaimed  = 0x400
	offDoorbell = 0x480
	offSleeps   = 0x080 // cursor region

	stateBusy      = 1
	stateCommitted = 2
	stateAborted   = 3
	statePad       = 4

	identityBits = 1<<30 - 1
)

type bytesOf []byte

func (b bytesOf) u64(off uint64) uint64 { return binary.LittleEndian.Uint64(b[off:]) }
func (b bytesOf) u32(off uint64) uint32 { return binary.LittleEndian.Uint32(b[off:]) }

// walked is what lies in a range of the ring.
type walked struct {
	end      uint64
	sequence uint64 // of the next message
	busy     []uint64
	owners   []int
}

// walk steps over the records from a position to the true end.
func walk(log bytesOf, data, from, sequence uint64) (w walked, err error) {
	w = walked{end: from, sequence: sequence}
	for n := 0; ; n++ {
		offset := w.end & (capacity - 1)
		word := log.u64(data + offset)
		state, length := word>>32&15, word&0xffffffff
		extent := (headerSize + length + 31) &^ 31
		if word>>36 != w.end>>5&(1<<28-1) || state == 0 {
			if word != 0 {
				return w, fmt.Errorf("the header at the end, position %#x, is %#x, not zero", w.end, word)
			}
			return w, nil
		}
		if n > capacity/32 || offset+extent > capacity || state > statePad || state != statePad && extent > capacity/4 {
			return w, fmt.Errorf("position %#x holds %#x, which is no record", w.end, word)
		}
		meta := log.u64(data + offset + 0x18)
		if seq := log.u64(data + offset + 8); seq != w.sequence {
			return w, fmt.Errorf("the record at position %#x has sequence %d, want %d", w.end, seq, w.sequence)
		}
		if state == stateBusy {
			w.busy = append(w.busy, w.end)
			w.owners = append(w.owners, int(meta>>32&0xffff))
		}
		if state != statePad {
			w.sequence++
		}
		w.end += extent
	}
}

// invariants checks the bytes as they are. Nobody may be storing: the victim
// stands still, survivors are outside or asleep. Only one that waits for room
// may have been woken just now; then the first look may be of two moments.
func (s *scene) invariants(when string) walked {
	for tries := 0; ; tries++ {
		end, problems := s.look()
		if len(problems) == 0 {
			return end
		}
		if s.waiting == nil || tries == 50 {
			for _, p := range problems {
				s.problem("%s: %s", when, p)
			}
			return end
		}
		nap()
	}
}

func (s *scene) look() (end walked, problems []string) {
	log, cursors := bytesOf(s.site.maps[0].Bytes()), bytesOf(s.site.maps[1].Bytes())
	off, _ := s.site.geometry.DataRange()
	data := uint64(off)
	bad := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	tail, pending, claimed := log.u64(offTail), log.u64(offPending), log.u64(offClaimed)
	// The stored sequence may be ahead of the stored tail by a death between
	// the two: the record at tail says which number it has.
	sequence := log.u64(offSequence)
	if word := log.u64(data + tail&(capacity-1)); word>>36 == tail>>5&(1<<28-1) && word>>32&15 != 0 {
		sequence = log.u64(data + tail&(capacity-1) + 8)
	}
	end, err := walk(log, data, tail, sequence)
	if err != nil {
		bad("from the stored tail: %v", err)
		return end, problems
	}
	if ahead := int64(claimed - (end.end + headerSize)); ahead < 0 {
		bad("claimed is %#x, but records and the next header reach to %#x", claimed, end.end+headerSize)
	}
	if int64(claimed-capacity-tail) > 0 {
		bad("claimed %#x is more than a lap beyond the stored tail %#x", claimed, tail)
	}
	from := []uint64{pending}
	for slot := range uint64(subscribers) {
		if log.u64(offGates)>>slot&1 == 0 || log.u32(0x800+4*slot) == 0 {
			continue
		}
		block, _ := s.site.geometry.SubscriberBlock(int(slot))
		from = append(from, cursors.u64(uint64(block)))
	}
	for i, p := range from {
		if p == end.end {
			continue
		}
		if int64(end.end-p) < 0 || int64(end.end+headerSize-p-capacity) > 0 {
			bad("gate %d at %#x, but the ring ends at %#x", i, p, end.end)
			continue
		}
		w, err := walk(log, data, p, log.u64(data+p&(capacity-1)+8))
		switch {
		case err != nil:
			bad("from gate %d at %#x: %v", i, p, err)
		case w.end != end.end || w.sequence != end.sequence:
			bad("from gate %d at %#x records lead to %#x with sequence %d, from the tail to %#x with %d", i, p, w.end, w.sequence, end.end, end.sequence)
		case i == 0:
			end.busy, end.owners = w.busy, w.owners
		case len(w.busy) > len(end.busy):
			bad("of the claims at %#x one lies before pending, %#x", w.busy, pending)
		}
	}
	if err := s.ring.Check(capacity); err != nil {
		bad("%v", err)
	}
	return end, problems
}

// repaired checks what the repair is for. Nobody may be inside.
func (s *scene) repaired() {
	end := s.invariants("after the repair")
	log := bytesOf(s.site.maps[0].Bytes())
	id := s.victimAt.gen<<8 | uint32(s.victimAt.slot+1)
	if m := log.u32(offMutex); m != 0 {
		s.problem("after the repair the mutex is %#x with nobody inside", m)
	}
	if b := log.u64(offBias); uint32(b)&identityBits == id {
		s.problem("after the repair the bias is %#x, the victim's", b)
	}
	if s.scenario.victim.kind != "publisher" {
		return
	}
	block, _ := s.site.geometry.PublisherBlock(s.victimAt.slot)
	if a := log.u32(uint64(block)); a != 0 {
		s.problem("after the repair the victim's active is %d", a)
	}
	for i, owner := range end.owners {
		if owner == s.victimAt.slot {
			s.problem("after the repair the victim's claim at %#x is open", end.busy[i])
		}
	}
}

// progress lets the survivors go on until a message published after the kill
// is read by both subscribers.
func (s *scene) progress() {
	s.publish(s.survivor, survivorSlot, 1, 40)
	want := s.sent[survivorSlot] - 1
	until := time.Now().Add(hangLimit)
	for !s.reader.reached(survivorSlot, want) || !s.lossy.reached(survivorSlot, want) {
		s.drain()
		if time.Now().After(until) {
			panic(violation{fmt.Errorf("%w: message %d of the survivor was published and does not come; %+v", errHung, want, s.ring.Stat())})
		}
	}
}

// reached reports whether the message was delivered, looking from the last.
func (r *reader) reached(slot int, number uint64) bool {
	for i := len(r.got) - 1; i >= 0; i-- {
		if r.got[i].slot == slot {
			return r.got[i].number >= number
		}
	}
	return false
}

// laps lets three more laps pass.
func (s *scene) laps(seed int) {
	from := s.ring.Stat().Position
	sizes := []int{10, 700, 33, 1500, 100, 2900, 64, 400}
	for i := seed; s.ring.Stat().Position-from < 3*capacity; i++ {
		s.publish(s.survivor, survivorSlot, 1, sizes[i%len(sizes)])
		if i%7 != 0 {
			s.drainOne(s.reader)
		}
		if i%3 == 0 {
			s.drainOne(s.lossy)
		}
	}
	s.drain()
}

// seatAgain grants the victim's slot to somebody new.
func (s *scene) seatAgain() {
	switch s.scenario.victim.kind {
	case "publisher":
		p := s.producer(victimSlot)
		old := s.sent[victimSlot]
		s.sent[victimSlot] = reborn
		s.publish(p, victimSlot, 3, 50)
		s.drain()
		if got := s.sent[victimSlot] - reborn; got != 3 {
			s.problem("the slot's next owner published %d of 3", got)
		}
		s.sent[victimSlot] = old
		s.must(s.host.RemovePublisher(victimSlot, s.generation))
	case "subscriber", "lossy":
		mode := ring.Reliable
		if s.scenario.victim.kind == "lossy" {
			mode = ring.Lossy
		}
		r := s.subscribe("the slot's next owner", readerVictim, mode)
		s.publish(s.survivor, survivorSlot, 3, 50)
		s.drain()
		s.drainOne(r)
		if len(r.got) != 3 {
			s.problem("the slot's next owner was delivered %d of 3", len(r.got))
		}
		s.host.RemoveSubscriber(readerVictim, s.generation, false)
	}
}

// reborn is where the numbers of the next owner of the victim's slot begin.
const reborn = 1 << 40

// messages checks what the subscribers got.
func (s *scene) messages() {
	bySequence := map[uint64]message{}
	for _, r := range []*reader{s.reader, s.lossy} {
		r.c.Release()
		next := map[int]uint64{}
		var last int64 = -1
		skipped := map[int]bool{}
		for _, m := range r.got {
			if int64(m.seq) <= last {
				s.problem("%s: sequence %d behind %d", r.name, m.seq, last)
			}
			last = int64(m.seq)
			if before, ok := bySequence[m.seq]; ok && before != m {
				s.problem("sequence %d is %+v to one subscriber, %+v to another", m.seq, before, m)
			}
			bySequence[m.seq] = m
			if m.number >= reborn {
				continue
			}
			switch want := next[m.slot]; {
			case m.number < want:
				s.problem("%s: message %d of publisher %d is delivered behind %d: twice or out of order", r.name, m.number, m.slot, want-1)
			case m.number > want && r == s.reader:
				if !s.maySkip(m.slot, want) {
					s.problem("%s: message %d of publisher %d is missing, %d is delivered", r.name, want, m.slot, m.number)
				}
				skipped[m.slot] = true
			}
			next[m.slot] = m.number + 1
		}
		stats, given := r.c.Stats(), s.ring.Stat().Sequence-s.base
		if stats.Delivered != uint64(len(r.got)) || stats.Delivered+stats.Lost()+stats.Aborted != given {
			s.problem("%s: %d given, %d delivered + %d lost + %d aborted, nothing unread", r.name, given, stats.Delivered, stats.Lost(), stats.Aborted)
		}
		if r == s.reader {
			s.complete(next)
			if stats.Lost() != 0 {
				s.problem("%s lost %d", r.name, stats.Lost())
			}
		}
	}
}

// maySkip reports whether a number of the victim's need not be delivered
// though a later one is: claims are committed in any order.
func (s *scene) maySkip(slot int, number uint64) bool {
	return slot == victimSlot && s.scenario.anyOrder && number >= s.notes.acked.Load() && s.notes.returned.Load() == 0
}

// complete checks that all that was acknowledged is delivered to the reliable
// subscriber, and nothing that nobody published; next is behind what was.
func (s *scene) complete(next map[int]uint64) {
	for slot := range publishers {
		least, most := s.sent[slot], s.sent[slot]
		switch {
		case slot == victimSlot && s.scenario.victim.kind == "publisher":
			least = s.notes.acked.Load()
			most = least + uint64(s.scenario.attempts)
			if s.notes.returned.Load() != 0 {
				least += s.notes.published.Load()
				most = least
			}
		case slot == ownerSlot && s.scenario.owner != nil:
			least = s.ownerNotes.acked.Load()
			most = least + 1
			if s.ownerNotes.returned.Load() != 0 {
				least = most
			}
		}
		if next[slot] < least || next[slot] > most {
			s.problem("publisher %d: %d messages are delivered, %d were acknowledged and %d attempted", slot, next[slot], least, most)
		}
	}
}
