package ring

import "github.com/shmbus/shmbus/shm"

// Who takes many records at a time need not do for each what can be done for
// all of them:
//
//	Ahead    looks at those that are there in one loop, and takes none
//	Accept   takes one of them, in order, as it is handled: it looks whether
//	         they are still whole, and counts its latency
//	Settle   goes on behind the last that was accepted, and counts them
//
// Until Settle, position, sequence and statistics are those before the first.

// MostAhead is how many records Ahead finds at most.
const MostAhead = 16

// found is a record that Take would return at once: its position, and the
// length of its payload in bytes.
type found struct{ position, length uint64 }

// Ahead returns how many records from here on can be taken by Accept, at most
// max and MostAhead: whole ones, in a row, with nothing due before. With 0 it
// says nothing; ask Take. It never blocks.
//
// Each record begins where the one before ends, so that the address of one is
// known when the line of the other has come from the publisher's cache: one
// line after the other, as long as each takes. Therefore its length is first
// taken for that of the one before, and then compared. The processor goes on
// by its guess and has several lines on the way.
func (c *Consumer) Ahead(max int) int {
	c.Settle()
	if c.gateWord.Load() != c.generation { // sync(gateGeneration): pairs with ungate
		return 0
	}
	position, sequence, length := c.position, c.sequence, c.ahead[0].length
	into := c.ahead[:min(max, MostAhead)]
	for i := range into {
		rec := shm.Ref[record](c.data, position&c.mask)
		w := commitWord(rec.commit.Load()) // sync(commit): pairs with the publisher's commit
		if w != packCommit(stateCommitted, position, length) {
			if w.head() != committedAt(position) {
				return i
			}
			length = w.length()
		}
		end := position + extentOf(length)
		if before(c.soft, end) || rec.sequence.Get() != sequence {
			return i
		}
		into[i] = found{position, length}
		position = end
		sequence++
	}
	return len(into)
}

// Found returns the payload and header of the nth record, from 0, that Ahead
// found. Accept vouches for what was read of them before; they are valid until
// the next one is accepted.
func (c *Consumer) Found(n int) ([]byte, Header) {
	f := &c.ahead[uint(n)%MostAhead]
	offset := f.position & c.mask
	return c.data.Bytes(offset+recordHeader, f.length), Header{shm.Ref[record](c.data, offset)}
}

// Accept takes the nth record that Ahead found, all before it being taken
// already; stamp is its publish time, read before. [ErrDetached]: they may have
// been overwritten.
func (c *Consumer) Accept(n int, stamp int64) error {
	shm.FenceLoadLoad()                    // behind what was read of them
	if c.gateWord.Load() != c.generation { // sync(gateGeneration): pairs with ungate
		c.Settle()
		return c.fail(ErrDetached)
	}
	c.accepted = uint64(n) + 1
	c.recorder.note(uint64(stamp), c.stats.Delivered+c.accepted)
	return nil
}

// Settle goes on behind the last record that was accepted.
func (c *Consumer) Settle() {
	n := c.accepted
	if n == 0 {
		return
	}
	c.accepted = 0
	taken := c.ahead[:n]
	for i := range taken {
		c.stats.Bytes += taken[i].length
	}
	last := &taken[n-1]
	c.position = last.position + extentOf(last.length)
	c.sequence += n
	c.stats.Delivered += n
}

// Poll calls fn for up to max records that are there, saying of each whether
// it is the last of this batch, and returns how many there were. It never
// blocks. A view is valid until fn returns. If fn fails, Poll stops behind
// that record with its error. If the subscriber was detached meanwhile,
// [ErrDetached] says that the views of this batch may have been overwritten.
func (c *Consumer) Poll(fn func(m Record, last bool) error, max int) (int, error) {
	defer c.Settle() // also when fn panics
	for n, next, ahead := 0, 0, 0; n < max; {
		if next == ahead {
			next, ahead = 0, c.Ahead(max-n)
		}
		p, h, err := c.takeAhead(next, ahead)
		if err == ErrEmpty {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		n++
		if next = min(next+1, ahead); next == ahead {
			c.Settle()
		}
		last := n == max || next == ahead && !c.More()
		m := Record{Payload: p, Sequence: h.Sequence(), Lost: c.lost, Time: h.Time(), Kind: h.Kind(), Publisher: h.Publisher()}
		if err := fn(m, last); err != nil {
			return n, err
		}
		if last {
			return n, c.EndPoll()
		}
	}
	return 0, nil
}

// takeAhead takes a record: the next of those found ahead, if there are any.
func (c *Consumer) takeAhead(next, ahead int) ([]byte, Header, error) {
	if ahead == 0 {
		return c.Take()
	}
	p, h := c.Found(next)
	return p, h, c.Accept(next, h.Time())
}

// EndPoll ends a batch that was read with Take or Accept: it publishes how far
// this consumer has read. [ErrDetached]: the views of the batch may have been
// overwritten.
func (c *Consumer) EndPoll() error {
	c.Settle()
	if c.options.Mode == Reliable && !c.gated() {
		return c.fail(ErrDetached)
	}
	c.Release()
	return nil
}

// More reports whether another message is there now.
func (c *Consumer) More() bool {
	w := commitWord(c.r.at(c.position).commit.Load()) // sync(commit): pairs with the publisher's commit
	return w.head() == committedAt(c.position) || w != 0 && c.more()
}

// more is More that looks behind what Next steps over.
func (c *Consumer) more() bool {
	position := c.position
	for range c.r.capacity / recordAlign {
		rec := c.r.at(position)
		w := commitWord(rec.commit.Load()) // sync(commit): pairs with the publisher's commit
		dead := w.of(position) && (w.state() == stateAborted || w.state() == statePad || w.state() == stateBusy && c.r.orphaned(rec, w))
		if !dead || !w.whole(position&c.r.mask, c.r.capacity) {
			return w.of(position) && w.state() == stateCommitted
		}
		position += w.extent()
	}
	return false
}
