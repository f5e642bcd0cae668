package ring

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/shmbus/shmbus/internal/failpoint"
	"github.com/shmbus/shmbus/internal/trick"
	"github.com/shmbus/shmbus/shm"
)

// Producer publishes into a ring from one publisher slot. It is used by one
// goroutine at a time, except [Producer.Interrupt].
type Producer struct {
	entrant
	parker     atomic.Pointer[Parker] // read by Interrupt
	max        int
	clock      Clock
	short      shortRoad
	fastLimit  uint64 // payloads of this size and more take publishSlow; 0: all do
	sleepsSeen uint64 // subscribers' sleeps that we have woken already
	guestsSeen uint64
	spaceSeen  uint64 // publishers' sleeps that we have woken already
	waiter     *Waiter
	spaceLooks lookTrials
	lookAt     uint64                // bytes published, after which we look who waits: turns.go
	inVain     [maxPublishers]uint32 // whom we waited for in vain
}

// Producer returns the producer of a slot that the host has granted to this
// generation; [ErrNoSlot] otherwise. The log region must be mapped writable.
func (r *Ring) Producer(slot int, generation uint32) (*Producer, error) {
	if slot < 0 || slot >= r.geometry.publishers || generation == 0 || generation > MaxGeneration {
		return nil, fmt.Errorf("%w: publisher slot %d, generation %d", ErrNoSlot, slot, generation)
	}
	if err := r.needBarrier(); err != nil {
		return nil, err
	}
	p := &Producer{entrant: newEntrant(r, slot, generation), max: MaxMessage(r.capacity)}
	// sync(generation), sync(slots): pair with AddPublisher
	if g := p.block.generation.Load(); g != generation || r.log.publisherSlots.Load()>>slot&1 == 0 {
		return nil, fmt.Errorf("%w: publisher slot %d is granted to generation %d, not %d", ErrNoSlot, slot, g, generation)
	}
	if r.options.Exclusive {
		if err := p.catchUp(); err != nil { // it enters by the bias alone, which does not look
			return nil, err
		}
	}
	p.lookAt = p.nextLook()
	if !r.options.Fenced && r.guests == nil {
		p.fastLimit = min(uint64(p.max)+1, largeCopy)
	}
	p.clock = r.Clock()
	p.short = newShortRoad(p)
	return p, nil
}

// UseParker makes waits for space share the parker of a bus handle; without
// one, each waits in the kernel by itself.
func (p *Producer) UseParker(pk *Parker) { p.parker.Store(pk) } // sync(parker): pairs with Interrupt

// MaxMessage returns the largest payload in bytes.
func (p *Producer) MaxMessage() int { return p.max }

// TryPublish publishes payload, which it copies, and returns its sequence. now
// is the publish time, a stamp of the ring's Clock, or [StampNow]; 0: none. It
// does not wait for space, and at most 20 ms for another publisher that is
// inside ([ErrStalled]). [ErrFull], [ErrTooLarge], [ErrClosed], [ErrCorrupt].
func (p *Producer) TryPublish(payload []byte, kind uint32, now int64) (uint64, error) {
	return p.Publish(tryContext, payload, kind, now)
}

// impatient is the context of calls that must not block: entering the ring
// gives up after tryWait.
type impatient struct{ context.Context }

func (impatient) Err() error { return errWouldBlock }

var (
	tryContext    context.Context = impatient{context.Background()}
	errWouldBlock                 = errors.New("gave up after 20 ms")
)

const tryWait = 20 * time.Millisecond

// Publish is TryPublish that waits for space, until ctx ends.
//
// Cost, 64 bytes, by the short road: loads of 4 shared words, two of which
// nobody else writes, 9 stores beside the payload's, no locked instruction, no
// allocation, no system call.
func (p *Producer) Publish(ctx context.Context, payload []byte, kind uint32, now int64) (uint64, error) {
	if p.PublishShort(payload, kind, now) {
		return p.sequence - 1, nil
	}
	return p.publishFlat(ctx, payload, kind, now)
}

// publishFlat is the way of a publisher that the ring is biased to, when
// nothing is due: no PAD, no gate to look at, no word others wait for. It does
// what publishSlow does, flattened; whatever is odd it leaves to that. One
// comparison with soft says that nothing is due, also that the record and the
// next header lie before the end of the ring, since soft does.
//
// tail, sequence and soft are read before we are inside. They are ours alone
// while the ring is biased to us, which the look at bias then confirms.
func (p *Producer) publishFlat(ctx context.Context, payload []byte, kind uint32, now int64) (uint64, error) {
	p.expect(uint64(len(payload)))
	if now == StampNow {
		now = p.clock.Now()
	}
	n, position := uint64(len(payload)), p.tail
	extent := extentOf(n)
	if n >= p.fastLimit || before(p.soft, position+extent+recordHeader) {
		return p.publishSlow(ctx, payload, kind, now)
	}
	active := &p.block.active
	active.Set(p.generation)            // sync(active): the revoker's membarrier orders this before the next load
	if p.r.log.bias.Load() != p.owned { // sync(bias): pairs with revoke
		active.Store(0) // sync(active): pairs with revoke
		return p.publishSlow(ctx, payload, kind, now)
	}
	seq, offset, data := p.sequence, position&p.r.mask, p.r.data
	rec := shm.Ref[record](data, offset)
	shm.Ref[record](data, offset+extent).commit.Set(0)
	rec.sequence.Set(seq)
	rec.time.Set(uint64(now))
	rec.meta.Set(packMeta(kind, p.slot))
	data.CopyIn(offset+recordHeader, payload)
	p.tail, p.sequence = position+extent, seq+1
	shm.StoreBoth(&rec.commit, uint64(packCommit(stateCommitted, position, n)), active, 0) // sync(commit), sync(active): pair with Take, revoke
	p.count(1, n)
	if p.r.cursors.sleeps.Load() != p.sleepsSeen { // sync(sleeps): pairs with prepareSleep
		p.wake()
	}
	return seq, nil
}

// expect asks for the lines that a record of n bytes of payload will be written
// to, while the ring is biased to us: otherwise others may have gone on from
// there. A subscriber that waits for the record looks at its first line all the
// time, and its processor fetches the next ones along: of a short message, also
// the line of the next header. The sooner they are asked for the better. Without
// that, what is left to chance is which of the two has the upper hand: a stream
// of 1 KiB then may go at a third of its pace for as long as it lasts.
//
// Cost: 1 shared load, a prefetch for each line, of expectMost at most.
func (p *Producer) expect(n uint64) {
	if trick.Prefetch && p.r.log.bias.Load() == p.owned { // sync(bias): a hint; pairs with rebias
		p.r.data.PrefetchWrite(p.tail&p.r.mask, min(n, expectMost)+2*recordHeader)
	}
}

// expectMost is about how many bytes' lines a processor can wait for at once.
const expectMost = 1 << 10

// largeCopy is the shortest payload that is copied outside the lock, by a
// claim: others do not wait for the copy, and a compare-and-swap more does not
// show beside it.
const largeCopy = 16 << 10

// publishSlow publishes by any way in and whatever is due.
func (p *Producer) publishSlow(ctx context.Context, payload []byte, kind uint32, now int64) (uint64, error) {
	if len(payload) >= largeCopy {
		return p.publishLarge(ctx, payload, kind, now)
	}
	seq, err := p.publish(ctx, payload, kind, now)
	for err == ErrFull && ctx != tryContext {
		if err = p.waitForSpace(ctx, uint64(len(payload))); err == nil {
			seq, err = p.publish(ctx, payload, kind, now)
		}
	}
	if err == ErrFull {
		add(&p.block.stats.refused, 1)
	}
	p.stopWaiting()
	return seq, err
}

// publishLarge copies outside the lock. A death in the copy leaves a claim of
// the dead, which the host aborts.
func (p *Producer) publishLarge(ctx context.Context, payload []byte, kind uint32, now int64) (uint64, error) {
	var c Claim
	var err error
	if ctx == tryContext {
		c, err = p.TryClaim(len(payload), kind, now)
	} else {
		c, err = p.Claim(ctx, len(payload), kind, now)
	}
	if err != nil {
		return 0, err
	}
	c.CopyIn(payload)
	return c.sequence, c.Commit()
}

func (p *Producer) publish(ctx context.Context, payload []byte, kind uint32, now int64) (uint64, error) {
	if len(payload) > p.max {
		return 0, p.tooLarge(len(payload))
	}
	if err := p.arrive(ctx); err != nil {
		return 0, err
	}
	seq := p.sequence
	rec, commit, err := p.write(payload, kind, now)
	if err != nil {
		p.leave()
		return 0, err
	}
	failpoint.Hit("ring.commit")
	// The commit, then the way out: before the first store nothing happened,
	// after it the record is whole.
	rec.commit.Store(uint64(commit)) // sync(commit): pairs with Take
	p.leave()
	p.count(1, uint64(len(payload)))
	p.wake()
	return seq, nil
}

// write writes a record at the end, all but its commit word, which it
// returns; the end moves behind the record. Inside the lock.
//
// A death in here leaves the commit word zero: nothing happened.
func (p *Producer) write(payload []byte, kind uint32, now int64) (*record, commitWord, error) {
	position, rec, err := p.place(uint64(len(payload)))
	if err != nil {
		return nil, 0, err
	}
	rec.sequence.Set(p.sequence)
	rec.time.Set(uint64(now))
	rec.meta.Set(packMeta(kind, p.slot))
	p.r.data.CopyIn(position&p.r.mask+recordHeader, payload)
	p.sequence++
	return rec, packCommit(stateCommitted, position, uint64(len(payload))), nil
}

// place finds the room for a record with n bytes of payload, writes a PAD
// where it would straddle the end of the ring, zeroes the header behind it,
// and moves the end. Inside the lock.
func (p *Producer) place(n uint64) (uint64, *record, error) {
	extent := extentOf(n)
	position := p.tail
	if offset := position & p.r.mask; offset+extent > p.r.capacity {
		position += p.r.capacity - offset
	}
	end := position + extent + recordHeader
	if before(p.soft, end) {
		if err := p.makeRoom(position, end); err != nil {
			p.crowd = 0 // who goes to sleep has no use for the bias
			return 0, nil, err
		}
	}
	if position != p.tail {
		p.pad(position)
	}
	// The next header is zeroed before it is anybody's, so a consumer that
	// gets there finds "free", never a record of an earlier lap.
	p.r.at(position + extent).commit.Set(0)
	p.tail = position + extent
	return position, p.r.at(position), nil
}

// pad fills the gap up to position, where the ring begins again.
func (p *Producer) pad(position uint64) {
	p.r.at(position).commit.Set(0)
	rec := p.r.at(p.tail)
	rec.sequence.Set(p.sequence) // of the record behind it
	rec.time.Set(0)
	rec.meta.Set(packMeta(0, p.slot))
	rec.commit.Store(uint64(packCommit(statePad, p.tail, position-p.tail-recordHeader))) // sync(commit): pairs with Take
	p.tail = position
}

func (p *Producer) count(n, bytes uint64) {
	s := &p.block.stats // sync(stats): only we write; pairs with Publishers
	s.published.Set(s.published.Load() + n)
	s.bytes.Set(s.bytes.Load() + bytes)
}

// CountDropped adds to the messages this publisher dropped by its own policy.
func (p *Producer) CountDropped(n uint64) { add(&p.block.stats.dropped, n) }

func (p *Producer) tooLarge(n int) error {
	return fmt.Errorf("%w: %d bytes, the limit of a ring of %d is %d", ErrTooLarge, n, p.r.capacity, p.max)
}

// Interrupt makes blocked calls, and all later ones that would block, return
// [ErrClosed]. Any goroutine may call it.
func (p *Producer) Interrupt() { interrupt(p.parker.Load(), p.stop) } // sync(parker): pairs with park

// Flush stores what others may see late: how far the ring goes.
func (p *Producer) Flush() {
	if p.enterBiased() {
		p.storeTail()
		p.leave()
	}
}

// WaitCounts blocks until ok reports true of the participants of the ring, or
// ctx ends, or Interrupt.
func (p *Producer) WaitCounts(ctx context.Context, ok func(Counts) bool) error {
	w := p.spaceWaiter()
	for {
		w.Words[0].Value = w.Words[0].Word.Load()
		w.Words[1].Value = w.Words[1].Word.Load()
		w.Words[2].Value = w.Words[2].Word.Load()
		if ok(p.r.Counts()) {
			return nil
		}
		w.Ready = func() bool { return ok(p.r.Counts()) }
		if err := p.park(ctx, w); err != nil {
			return err
		}
	}
}

// waitForSpace waits, outside the lock, until a record with n bytes of payload
// may fit.
func (p *Producer) waitForSpace(ctx context.Context, n uint64) error {
	needContext(ctx)
	began := shm.Now()
	defer func() { add(&p.block.stats.blockedNanos, uint64(shm.Now()-began)) }()
	extent := extentOf(n)
	position := p.tail
	if offset := position & p.r.mask; offset+extent > p.r.capacity {
		position += p.r.capacity - offset
	}
	end := position + extent + recordHeader
	if spinning && p.spaceLooks.pays() {
		for range 64 {
			if p.mayFit(end) {
				p.spaceLooks.found()
				return nil
			}
			shm.Pause(16)
		}
		p.spaceLooks.missed()
	}
	w := p.prepareSleep()
	w.Ready = func() bool { return p.mayFit(end) }
	if p.mayFit(end) {
		return nil
	}
	p.startWaiting()
	return p.park(ctx, w)
}

// prepareSleep announces that we are about to sleep for want of space, which
// must be looked for behind it. The order matters: the doorbells as they are,
// then the announcement, then the barrier, then the look. Whoever makes room
// after our look finds the announcement and changes a doorbell.
func (p *Producer) prepareSleep() *Waiter {
	w := p.spaceWaiter()
	w.Words[0].Value = w.Words[0].Word.Load() // sync(spaceDoorbell): pairs with wakeSpace
	w.Words[1].Value = w.Words[1].Word.Load() // sync(pendingDoorbell): pairs with wakePending
	w.Words[2].Value = w.Words[2].Word.Load()
	p.r.log.spaceSleeps.Add(1) // sync(spaceSleeps): pairs with wakeSpace, wakePending
	_ = p.r.barrier()          // refused: the bounded wait looks again
	return w
}

// mayFit looks, without the lock, whether a record may end at end now. If
// another publisher takes the room first, we come again.
func (p *Producer) mayFit(end uint64) bool {
	e := entrant{r: p.r, tail: later(p.tail, p.r.log.tail.Load())} // sync(tail): a hint; pairs with storeTail
	if before(p.tail, e.tail) {
		return true // others were inside: where our record goes has changed
	}
	gate, _, _ := e.gatingCursor(false)
	if before(gate+p.r.capacity, end) {
		return false
	}
	pending := p.r.log.pending.Load() // sync(pending): pairs with walkPending
	w := commitWord(p.r.at(pending).commit.Load())
	return reaches(pending+p.r.capacity, end) || !(w.of(pending) && w.state() == stateBusy)
}

func (p *Producer) spaceWaiter() *Waiter {
	if p.waiter == nil {
		p.waiter = &Waiter{Cancel: p.stop, Words: []shm.Wait{
			{Word: &p.r.cursors.spaceDoorbell},
			{Word: &p.r.log.pendingDoorbell},
			{Word: &p.r.log.doorbell}, // the host rings it when participants come and go
		}}
	}
	return p.waiter
}

func (p *Producer) park(ctx context.Context, w *Waiter) error {
	pk := p.parker.Load()
	if pk == nil {
		pk = NewParker()
		p.parker.Store(pk) // sync(parker): pairs with Interrupt
	}
	return pk.Wait(ctx, w)
}
