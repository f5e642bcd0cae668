package ring

import "github.com/shmbus/shmbus/shm"

// The commit word of a record:
//
//	bits 63..36  tag: low 28 bits of position/32, so that a header of another lap is never taken for this one's
//	bits 35..32  state
//	bits 31..0   length of the payload in bytes; never changes from BUSY on
//
//	state      means                                made by                       next
//	0 free     no record yet; the word is 0         who commits the one before    BUSY, COMMITTED, PAD
//	1 BUSY     claimed, being filled outside        publisher, inside the lock    COMMITTED, ABORTED
//	2 COMMITTED whole, may be read                  publisher (inside; or CAS by the claim's owner)   overwritten
//	3 ABORTED  to be stepped over; has a sequence   claim's owner, or the host once the owner is dead (CAS)  overwritten
//	4 PAD      gap before the end of the ring;      publisher, inside the lock    overwritten
//	           carries the sequence of the record behind it and uses none
//
// An all-zero word is never a record, so a hole punched into the region cannot
// be taken for one.
type commitWord uint64

const (
	stateFree      = 0
	stateBusy      = 1
	stateCommitted = 2
	stateAborted   = 3
	statePad       = 4
)

func packCommit(state, position, length uint64) commitWord {
	return commitWord(position>>5<<36 | state<<32 | length)
}

func (w commitWord) state() uint64  { return uint64(w) >> 32 & 15 }
func (w commitWord) length() uint64 { return uint64(w) & 0xffffffff }

// of reports whether the word belongs to a record at position.
func (w commitWord) of(position uint64) bool { return uint64(w)>>36 == position>>5&(1<<28-1) }

// head returns tag and state.
func (w commitWord) head() uint64 { return uint64(w) >> 32 }

// committedAt returns the head of a record at position that is whole.
func committedAt(position uint64) uint64 { return position>>5&(1<<28-1)<<4 | stateCommitted }

// with returns the word in another state.
func (w commitWord) with(state uint64) commitWord {
	return w&^(15<<32) | commitWord(state<<32)
}

// extent returns how many bytes a record of this length takes in the ring.
func (w commitWord) extent() uint64 { return extentOf(w.length()) }

// extentOf returns how many bytes a record with n bytes of payload takes.
func extentOf(n uint64) uint64 { return roundUp(recordHeader+n, recordAlign) }

// whole reports whether a record of this word at offset lies within the ring:
// a length read from shared memory is used only after this.
func (w commitWord) whole(offset, capacity uint64) bool {
	limit := capacity / 4
	if w.state() == statePad {
		limit = capacity
	}
	e := w.extent()
	return e <= limit && offset+e <= capacity
}

func packMeta(kind uint32, slot int) uint64 { return uint64(kind) | uint64(slot)<<32 }

func metaKind(m uint64) uint32 { return uint32(m) }
func metaSlot(m uint64) uint16 { return uint16(m >> 32) }

// at returns the record header at a position.
func (r *Ring) at(position uint64) *record {
	return shm.Ref[record](r.data, position&r.mask)
}
