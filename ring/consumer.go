package ring

import (
	"fmt"
	"sync/atomic"

	"github.com/shmbus/shmbus/internal/trick"
	"github.com/shmbus/shmbus/shm"
)

// Mode says what happens to a subscriber that does not keep up.
type Mode uint8

const (
	// Reliable: publishers wait for it; it sees every message.
	Reliable Mode = iota
	// Lossy: publishers do not wait for it; it is told how many it lost.
	Lossy
)

func (m Mode) String() string {
	if m == Lossy {
		return "lossy"
	}
	return "reliable"
}

// WaitStrategy says how a consumer waits for a record.
type WaitStrategy uint8

const (
	// Adaptive spins for a moment if that has paid off lately, then parks.
	Adaptive WaitStrategy = iota
	// Spin never parks: lowest latency, one processor each.
	Spin
	// Park goes to sleep at once: no processor time while idle.
	Park
)

// ConsumerOptions are how a subscriber reads.
type ConsumerOptions struct {
	Mode  Mode
	Guest bool // its block is in the guest region; lossy only
	Wait  WaitStrategy
	// UntilDrained: Wait ends also when Drained comes true.
	UntilDrained bool
	// NoRecording: no latency histogram. The counters stay.
	NoRecording bool
}

// Attachment is where the host attached a subscriber: the position and
// sequence of the first record it sees.
type Attachment struct {
	Position uint64
	Sequence uint64
}

// Record is one record as a consumer sees it. Payload points into the ring
// (reliable) or into a buffer of the consumer (lossy) and is valid until the
// consumer's next call.
type Record struct {
	Payload   []byte
	Sequence  uint64
	Lost      uint64 // messages lost between this one and the one before
	Time      int64  // publish time, a stamp of the ring's Clock; 0: none
	Kind      uint32
	Publisher uint16 // slot
}

// Consumer reads a ring in order for one subscriber slot. It is used by one
// goroutine at a time, except [Consumer.Interrupt].
type Consumer struct {
	r          *Ring
	options    ConsumerOptions
	slot       int
	generation uint32
	block      *subscriberBlock
	header     *cursorHeader // of the region block is in
	stop       *shm.Word32
	parker     atomic.Pointer[Parker] // set by Wait, read by Interrupt

	position  uint64      // of the next record
	sequence  uint64      // of the next message
	published uint64      // the cursor that others see
	spaceSeen uint64      // publishers' sleeps that we have woken already
	buffer    []byte      // lossy: the copy of the last payload
	resyncing bool        // lossy: position was set anew, the next record says how much is lost
	reading   bool        // the overrun came while reading a record, not while waiting for one
	carry     uint64      // lossy: lost before a record that was given up, told with the next message
	failed    error       // what every later call returns
	gate      uint32      // exclusive rings: our gate number
	gateWord  *shm.Word32 // holds our generation while we hold publishers back; noGate: ask gated
	data      shm.Span    // of the ring
	mask      uint64      // of the ring
	lazy      uint64      // the cursor is published when it is this many bytes behind
	soft      uint64      // records ending beyond this take the slow road: at first, and of a lossy consumer, all
	lost      uint64      // lossy: messages lost before the record returned last
	copied    record      // lossy: its header

	stats           Stats
	recording       bool
	recorder        recorder
	deliveredAtWait uint64 // what stats.Delivered was at the last wait
	pauses          uint32 // before looking again while spinning
	spins           spinBudget
	waiter          *Waiter

	ahead    [MostAhead]found // what Ahead found
	accepted uint64           // of it, not settled
}

// Stats are a consumer's counters since it was made.
type Stats struct {
	Delivered   uint64 // messages
	Bytes       uint64 // of payload
	LostPolling uint64 // messages overwritten before they were read
	LostReading uint64 // messages lost with one overwritten while it was read
	Aborted     uint64 // claims given up, stepped over
	WakeUps     uint64
	Parks       uint64
	Spins       uint64
}

// Lost is the sum of both kinds of loss.
func (s Stats) Lost() uint64 { return s.LostPolling + s.LostReading }

// Consumer returns the consumer of a slot that the host has granted to this
// generation; [ErrNoSlot] otherwise. The cursor region (of a guest: the guest
// region) must be mapped writable.
func (r *Ring) Consumer(slot int, generation uint32, a Attachment, o ConsumerOptions) (*Consumer, error) {
	if slot < 0 || slot >= r.geometry.subscribers || generation == 0 || o.Guest && (r.guests == nil || o.Mode != Lossy) {
		return nil, fmt.Errorf("%w: subscriber slot %d, generation %d, %s, guest %t", ErrNoSlot, slot, generation, o.Mode, o.Guest)
	}
	if a.Position%recordAlign != 0 {
		return nil, fmt.Errorf("%w: attached at position %d, want a multiple of %d", ErrNoSlot, a.Position, recordAlign)
	}
	if err := r.needBarrier(); err != nil {
		return nil, err
	}
	c := &Consumer{
		r: r, options: o, slot: slot, generation: generation, block: r.subscriber(slot, o.Guest), header: r.cursors, stop: new(shm.Word32),
		gateWord: noGate, position: a.Position, sequence: a.Sequence, published: a.Position, resyncing: o.Mode == Lossy,
	}
	if o.Guest {
		c.header = r.guests
	}
	if o.Mode == Reliable && !r.options.Exclusive {
		c.gateWord = &r.log.gateGenerations[slot]
	}
	c.data, c.mask, c.soft = r.data, r.mask, c.position
	if r.options.Exclusive {
		c.gate = r.cursors.gateNumbers[slot].Load() // sync(gateNumber): pairs with tryStart
	}
	c.recorder = noRecorder()
	if c.recording = !o.NoRecording; c.recording {
		c.recorder = newRecorder(r.Clock(), c.block)
	}
	if g := c.block.generation.Load(); g != generation { // sync(generation): pairs with AddSubscriber
		return nil, fmt.Errorf("%w: subscriber slot %d is granted to generation %d, not %d", ErrNoSlot, slot, g, generation)
	}
	// Publishers judge by the cursor how far it is behind: who may not be far
	// publishes it that much sooner.
	c.lazy = fraction(r.capacity)
	if most := c.block.maxLag; most != 0 {
		c.lazy = min(c.lazy, min(c.lazy, most)/2*recordAlign)
	}
	return c, nil
}

// Next returns the next record, or [ErrEmpty]. It never blocks. It gives up
// the view of the record before. [ErrDetached], [ErrClosed], [ErrCorrupt].
func (c *Consumer) Next() (Record, error) {
	p, h, err := c.Take()
	if err != nil {
		return Record{}, err
	}
	return Record{
		Payload: p, Sequence: h.Sequence(), Lost: c.lost,
		Time: h.Time(), Kind: h.Kind(), Publisher: h.Publisher(),
	}, nil
}

// Header is what a record says besides its payload, read where it is: valid as
// long as the payload's view.
type Header struct{ rec *record }

// Sequence returns the number of the message in its topic.
func (h Header) Sequence() uint64 { return h.rec.sequence.Get() } // sync(commit): behind the commit word; pairs with Take

// Time returns the publish time, a stamp of the ring's Clock; 0: none.
func (h Header) Time() int64 { return int64(h.rec.time.Get()) } // sync(commit): behind the commit word; pairs with Take

// Kind returns what the publisher said it is.
func (h Header) Kind() uint32 { return metaKind(h.rec.meta.Get()) } // sync(commit): behind the commit word; pairs with Take

// Publisher returns the slot of the publisher.
func (h Header) Publisher() uint16 { return metaSlot(h.rec.meta.Get()) } // sync(commit): behind the commit word; pairs with Take

// Lost returns how many messages were lost between the record that Take
// returned last and the one before.
func (c *Consumer) Lost() uint64 { return c.lost }

// Take is Next in parts that fit into registers: a [Record] is written to
// memory and read back by each caller on the way.
//
// What is written out here is the way of a reliable consumer that finds the
// record it waits for; whatever is odd it leaves to takeSlow.
//
// Cost, reliable: 4 loads beside the payload's, no shared store, no locked
// instruction, no allocation, no system call; a store each 1/16 of the ring
// and when empty.
func (c *Consumer) Take() ([]byte, Header, error) {
	position, data := c.position, c.data
	offset := position & c.mask
	rec := shm.Ref[record](data, offset)
	shm.FenceLoadLoad()                    // behind what was read of the view before
	if c.gateWord.Load() != c.generation { // sync(gateGeneration): pairs with ungate
		return c.takeSlow()
	}
	w := commitWord(rec.commit.Load()) // sync(commit): pairs with the publisher's commit
	n, extent := w.length(), w.extent()
	if w.head() != committedAt(position) || before(c.soft, position+extent) || rec.sequence.Get() != c.sequence {
		return c.takeSlow()
	}
	c.position = position + extent
	c.sequence++
	c.stats.Delivered++
	c.stats.Bytes += n
	stamp := rec.time.Get() // sync(commit): behind the commit word; pairs with the publisher's commit
	if c.recorder.ends(stamp, c.stats.Delivered) {
		return c.takeFirst(rec, offset, n)
	}
	c.recorder.sum += stamp
	return data.Bytes(offset+recordHeader, n), Header{rec}, nil
}

// noGate is the gate word of who has none: no generation is 0.
var noGate = new(shm.Word32)

// takeFirst is the rest of Take where a run of the recorder begins: in Take
// itself every message would save registers for this call.
func (c *Consumer) takeFirst(rec *record, offset, n uint64) ([]byte, Header, error) {
	c.recorder.begin(rec.time.Load(), c.stats.Delivered) // sync(commit): behind the commit word; pairs with Take
	return c.r.data.Bytes(offset+recordHeader, n), Header{rec}, nil
}

func (c *Consumer) takeSlow() ([]byte, Header, error) {
	if c.options.Mode == Lossy {
		return c.takeLossy()
	}
	if c.failed != nil {
		return nil, Header{}, c.failed
	}
	if !c.gated() {
		return nil, Header{}, c.fail(ErrDetached)
	}
	if c.position-c.published > c.lazy || !trick.LazyCursor {
		c.Release()
	}
	for {
		rec := c.r.at(c.position)
		w := commitWord(rec.commit.Load()) // sync(commit): pairs with the publisher's commit
		if w.state() != stateCommitted || !w.of(c.position) {
			if more, err := c.step(rec, w); !more {
				return nil, Header{}, err
			}
			continue
		}
		offset := c.position & c.r.mask
		if !w.whole(offset, c.r.capacity) || rec.sequence.Load() != c.sequence {
			return nil, Header{}, c.broken(w, "a whole record with the next sequence,")
		}
		n := w.length()
		c.position += w.extent()
		c.sequence++
		c.stats.Delivered++
		c.stats.Bytes += n
		c.setSoft()
		if c.recording {
			c.recorder.note(rec.time.Load(), c.stats.Delivered)
		}
		return c.r.data.Bytes(offset+recordHeader, n), Header{rec}, nil
	}
}

// setSoft sets soft to where the cursor is to be published next, or where the
// ring begins again: no record of a sound ring reaches beyond that.
func (c *Consumer) setSoft() {
	c.soft = earlier(c.published+c.lazy, c.position+c.r.capacity-c.position&c.mask)
	if !trick.LazyCursor {
		c.soft = c.position
	}
}

// step deals with what is not a message: nothing, a claim, one given up, a
// PAD. It reports whether to look at the next record.
func (c *Consumer) step(rec *record, w commitWord) (bool, error) {
	switch {
	case w == 0 || w.of(c.position) && w.state() == stateBusy && !c.r.orphaned(rec, w):
		// Nothing more for now. The cursor is published before any kind of
		// wait: a publisher may be waiting for just that.
		c.Release()
		if c.stop.Load() != 0 {
			return false, ErrClosed
		}
		return false, ErrEmpty
	case !w.of(c.position) || w.state() == stateFree || w.state() == stateCommitted || w.state() > statePad:
		return false, c.broken(w, "a record")
	case !w.whole(c.position&c.r.mask, c.r.capacity) || rec.sequence.Load() != c.sequence: // sync(commit): read behind the commit word; pairs with the publisher's commit
		return false, c.broken(w, "a whole record with the next sequence,")
	}
	if w.state() != statePad {
		c.sequence++
		c.stats.Aborted++
	}
	c.position += w.extent()
	return true, nil
}

// broken says why the bytes make no sense: they may be another record's
// because we no longer hold publishers back.
func (c *Consumer) broken(w commitWord, want string) error {
	if !c.gated() {
		return c.fail(ErrDetached)
	}
	return c.fail(c.r.corrupt(c.position, w, want))
}

func (c *Consumer) fail(err error) error {
	if err == ErrDetached {
		c.recorder.drop() // the last stamp may have been read where somebody else was writing
	}
	c.failed = err
	c.gateWord = noGate
	c.flush()
	return err
}

// gated reports whether we still hold publishers back. What was read before
// the call was not overwritten if it says so.
func (c *Consumer) gated() bool {
	shm.FenceLoadLoad()
	if c.r.options.Exclusive {
		return c.gatedByNumber()
	}
	return c.r.log.gateGenerations[c.slot].Load() == c.generation // sync(gateGeneration): pairs with ungate
}

// ready reports whether Next would find anything to do: a message, something
// to step over, loss, or an end.
func (c *Consumer) ready() bool {
	rec := c.r.at(c.position)
	w := commitWord(rec.commit.Load()) // sync(commit): pairs with the publisher's commit
	if w != 0 && !(w.of(c.position) && w.state() == stateBusy && !c.r.orphaned(rec, w)) {
		return true
	}
	shm.FenceLoadLoad()
	if c.options.Mode == Lossy {
		return c.overrun()
	}
	return !c.gated()
}

// Release publishes how far this consumer has read, wakes publishers that
// wait for that, and stores its statistics.
func (c *Consumer) Release() {
	if c.position != c.published {
		c.publishCursor()
	}
	c.flush()
}

// publishCursor tells publishers how far we have read.
func (c *Consumer) publishCursor() {
	c.block.sequence.Set(c.sequence)
	c.block.cursor.Store(c.position) // sync(cursor): pairs with gatingCursor
	c.published = c.position
	if c.options.Mode == Lossy {
		return // it holds nobody back
	}
	if c.r.options.Fenced {
		shm.FenceFull()
	}
	if s := c.r.log.spaceSleeps.Load(); s != c.spaceSeen { // sync(spaceSleeps): pairs with waitForSpace
		c.spaceSeen = s
		d := &c.r.cursors.spaceDoorbell
		d.Add(1) // sync(spaceDoorbell): pairs with waitForSpace
		shm.FutexWake(d, allWaiters)
	}
}

// flush stores the statistics, which nobody else writes.
func (c *Consumer) flush() {
	s := &c.block.stats
	s.delivered.Set(c.stats.Delivered)
	s.bytes.Set(c.stats.Bytes)
	s.lostPolling.Set(c.stats.LostPolling)
	s.lostReading.Set(c.stats.LostReading)
	s.aborted.Set(c.stats.Aborted)
	s.wakeUps.Set(c.stats.WakeUps)
	s.parks.Set(c.stats.Parks)
	s.spins.Set(c.stats.Spins)
	if c.recording {
		c.recorder.flush(c.stats.Delivered)
	}
}

// Stats returns the counters.
func (c *Consumer) Stats() Stats { return c.stats }

// Position returns the position and sequence of the next record.
func (c *Consumer) Position() Attachment {
	return Attachment{Position: c.position, Sequence: c.sequence}
}

// Drained reports whether the topic has had a publisher, has none now, and
// everything is read.
func (c *Consumer) Drained() bool {
	n := c.r.Counts()
	return n.PublishersEver > 0 && n.Publishers == 0 && !c.ready()
}

// Interrupt makes blocked calls, and later ones that find nothing, return
// [ErrClosed]. Any goroutine may call it.
func (c *Consumer) Interrupt() { interrupt(c.parker.Load(), c.stop) } // sync(parker): pairs with Wait
