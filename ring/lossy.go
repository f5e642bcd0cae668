package ring

import (
	"fmt"

	"github.com/shmbus/shmbus/shm"
)

// A lossy consumer holds nobody back. It reads a header, copies the payload,
// and only then asks whether publishers had come around meanwhile: claimed is
// how far they may have overwritten, and everything from claimed - capacity on
// was whole when it was read. Before that check nothing read means anything,
// not even "empty".

// overrun reports whether the record at our position may be overwritten. What
// was read before the fence preceding this call was whole if it says no.
func (c *Consumer) overrun() bool {
	claimed := c.r.log.claimed.Load() // sync(claimed): pairs with makeRoom
	return before(c.position+c.r.capacity, claimed)
}

// maxResyncs is how often one call begins anew.
const maxResyncs = 1000

func (c *Consumer) takeLossy() ([]byte, Header, error) {
	if c.failed != nil {
		return nil, Header{}, c.failed
	}
	for tries := 0; ; tries++ {
		rec := c.r.at(c.position)
		w := commitWord(rec.commit.Load()) // sync(commit): pairs with the publisher's commit
		offset := c.position & c.r.mask
		known := w.of(c.position) && w.whole(offset, c.r.capacity)
		var payload []byte
		if known && w.state() == stateCommitted {
			payload = c.copyOut(rec, offset, w.length())
		}
		sequence := rec.sequence.Load()
		shm.FenceLoadLoad()
		if c.overrun() {
			if err := c.resync(known && w.state() == stateCommitted); err != nil {
				return nil, Header{}, c.fail(err)
			}
			if tries > maxResyncs {
				return nil, Header{}, ErrEmpty // publishers outrun us again and again: let the caller breathe
			}
			continue
		}
		switch {
		case w == 0 || w.of(c.position) && w.state() == stateBusy && !c.r.orphaned(rec, w):
			c.Release()
			if c.stop.Load() != 0 {
				return nil, Header{}, ErrClosed
			}
			return nil, Header{}, ErrEmpty
		case !known || w.state() == stateFree || w.state() > statePad:
			return nil, Header{}, c.fail(c.r.corrupt(c.position, w, "a record that lies within the ring,"))
		case before(sequence, c.sequence) || sequence != c.sequence && !c.resyncing:
			return nil, Header{}, c.fail(c.r.corrupt(c.position, w, "a record with the next sequence,"))
		}
		c.position += w.extent()
		if w.state() == statePad {
			continue // carries the sequence of the record behind it, which will count the loss
		}
		lost := c.account(sequence)
		if w.state() == stateAborted || w.state() == stateBusy {
			c.stats.Aborted++
			c.carry += lost
			continue
		}
		c.copied.sequence.Set(sequence)
		c.lost, c.carry = lost+c.carry, 0
		c.stats.Delivered++
		c.stats.Bytes += uint64(len(payload))
		if c.recording {
			c.recorder.note(c.copied.time.Load(), c.stats.Delivered) // sync(commit): our own copy; pairs with nobody
		}
		if c.position-c.published > fraction(c.r.capacity) {
			c.Release()
		}
		return payload, Header{&c.copied}, nil
	}
}

// copyOut takes the record out of the ring, whatever it is by now.
func (c *Consumer) copyOut(rec *record, offset, n uint64) []byte {
	if uint64(cap(c.buffer)) < n {
		c.buffer = make([]byte, roundUp(n, pageSize))
	}
	b := c.buffer[:n]
	c.r.data.CopyOut(b, offset+recordHeader)
	c.copied.meta.Set(rec.meta.Load()) // sync(claimed): the check after the copy decides; pairs with makeRoom
	c.copied.time.Set(rec.time.Load())
	return b
}

// account moves on to the sequence behind this one and returns how many were
// lost before it.
func (c *Consumer) account(sequence uint64) uint64 {
	lost := sequence - c.sequence
	c.sequence = sequence + 1
	c.resyncing = false
	if c.reading {
		c.stats.LostReading += lost
	} else {
		c.stats.LostPolling += lost
	}
	c.reading = false
	return lost
}

// resync goes on at the oldest record that is whole. In a ring that is sound
// that is always further on: the tail is less than a lap behind claimed.
func (c *Consumer) resync(reading bool) error {
	c.reading = reading
	c.resyncing = true
	p, err := c.r.oldest()
	if err == nil && !before(c.position, p) {
		err = &CorruptError{Region: "log", Offset: 0x400, Got: c.r.log.claimed.Load(), Want: fmt.Sprintf("claimed at most a lap beyond the oldest record %d", p)} // sync(claimed): pairs with makeRoom
	}
	c.position = p
	return err
}

// oldest returns the position of the oldest record that nobody has begun to
// overwrite, as far as the sparse index knows, or the stored tail. The caller
// reads there and then checks claimed.
func (r *Ring) oldest() (uint64, error) {
	claimed := r.log.claimed.Load() // sync(claimed): pairs with makeRoom
	best := r.log.tail.Load()       // sync(tail): pairs with storeTail
	floor := claimed - r.capacity
	if before(best, floor) {
		// The stored tail gates publishers, so this was never so.
		return 0, &CorruptError{Region: "log", Offset: 0x400, Got: claimed, Want: fmt.Sprintf("claimed at most a lap beyond the tail %d", best)}
	}
	for i := range r.log.index {
		p := r.log.index[i].Load() // sync(index): pairs with makeRoom
		if p%recordAlign == 0 && reaches(p, floor) && before(p, best) {
			best = p
		}
	}
	return best, nil
}
