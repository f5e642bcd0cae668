package ring

import "github.com/shmbus/shmbus/shm"

// Who takes many records at a time need not ask the same of each by itself:
// Ahead looks at those that are there in one loop, which takes none, and Accept
// takes them, one after the other, as they are handled. What may go
// wrong in between goes wrong by the word that Accept looks at.

// MostAhead is how many records Ahead finds at most.
const MostAhead = 16

// found is a record that Take would return at once: where its header is in the
// ring, the length of its payload in bytes, and its publish time.
type found struct{ offset, length, stamp uint64 }

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
	if c.gateWord.Load() != c.generation { // sync(gateGeneration): pairs with ungate
		return 0
	}
	c.accepted = 0
	position, sequence, length := c.position, c.sequence, c.ahead[0].length
	into := c.ahead[:min(max, MostAhead)]
	for i := range into {
		offset := position & c.mask
		rec := shm.Ref[record](c.data, offset)
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
		into[i] = found{offset, length, rec.time.Get()}
		position = end
		sequence++
	}
	return len(into)
}

// Found returns the payload and header of the record that Accept takes as the
// nth, from 0, behind Ahead. They are valid until Accept takes the next one.
func (c *Consumer) Found(n int) ([]byte, Header) {
	f := &c.ahead[uint(n)%MostAhead]
	return c.data.Bytes(f.offset+recordHeader, f.length), Header{shm.Ref[record](c.data, f.offset)}
}

// Accept takes the next of the records that Ahead found. [ErrDetached]: they
// may have been overwritten.
func (c *Consumer) Accept() error {
	shm.FenceLoadLoad()                    // behind what was read of the view before
	if c.gateWord.Load() != c.generation { // sync(gateGeneration): pairs with ungate
		return c.fail(ErrDetached)
	}
	f := &c.ahead[c.accepted%MostAhead]
	c.accepted++
	c.position += extentOf(f.length)
	c.sequence++
	c.stats.Delivered++
	c.stats.Bytes += f.length
	c.recorder.note(f.stamp, c.stats.Delivered)
	return nil
}

// Poll calls fn for up to max records that are there, saying of each whether
// it is the last of this batch, and returns how many there were. It never
// blocks. A view is valid until fn returns. If fn fails, Poll stops behind
// that record with its error. If the subscriber was detached meanwhile,
// [ErrDetached] says that the views of this batch may have been overwritten.
func (c *Consumer) Poll(fn func(m Record, last bool) error, max int) (int, error) {
	n, ahead := 0, 0
	for n < max {
		if ahead == 0 {
			ahead = c.Ahead(max - n)
		}
		p, h, err := c.takeAhead(ahead)
		if err == ErrEmpty {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		if ahead > 0 {
			ahead--
		}
		n++
		last := n == max || ahead == 0 && !c.More()
		m := Record{Payload: p, Sequence: h.Sequence(), Lost: c.lost, Time: h.Time(), Kind: h.Kind(), Publisher: h.Publisher()}
		if err := fn(m, last); err != nil {
			return n, err
		}
		if last {
			return n, c.EndPoll()
		}
	}
	return n, nil
}

// takeAhead takes a record, if so many are left of those found by Accept.
func (c *Consumer) takeAhead(ahead int) ([]byte, Header, error) {
	if ahead == 0 {
		return c.Take()
	}
	p, h := c.Found(int(c.accepted))
	return p, h, c.Accept()
}

// EndPoll ends a batch that was read with Take or Accept: it publishes how far
// this consumer has read. [ErrDetached]: the views of the batch may have been
// overwritten.
func (c *Consumer) EndPoll() error {
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
