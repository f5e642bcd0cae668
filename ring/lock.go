package ring

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/shmbus/shmbus/internal/failpoint"
	"github.com/shmbus/shmbus/internal/trick"
	"github.com/shmbus/shmbus/shm"
)

// The lock of a ring is a futex mutex with a bias: one publisher, the biased
// owner, enters and leaves with plain stores, and pays for a real lock only
// when somebody else wants in.
//
//	mutex  u32  0, or identity of the holder | waiters
//	            identity: generation 22 bits << 8 | slot+1, never 0
//	bias   u64  0 | owned | identity   that publisher may enter without the mutex
//	            revoking | identity    it may not enter any more, but may still be inside
//	active u32  in each publisher's block: 0, or its generation while inside by its bias
//
//	transition of bias         made by                                    when
//	0 -> owned(x)              x, holding the mutex                       it was alone for a while, or takes its turn (turns.go)
//	owned(x) -> revoking(x)    y, holding the mutex                       y wants in
//	revoking(x) -> 0           y, holding the mutex                       membarrier done, active[x] is not x's generation
//	owned/revoking(x) -> 0     x, holding the mutex; host, x proven dead  any time
//
// If the holder of the mutex dies, the host frees it (repair.go). If a revoker
// dies while it waits, bias still says revoking: the next one to take the
// mutex repeats the membarrier and the wait. Were bias 0 by then, nothing
// would tell that the owner may still be inside.
const (
	biasOwned    = 1 << 32
	biasRevoking = 1 << 33
	lockWaiters  = 1 << 31

	identityBits = 1<<30 - 1

	// A publisher becomes the biased owner after this many entries of its own
	// that nobody contended and between which nobody else was inside.
	rebiasAfter = 64

	// No wait in the kernel is longer: liveness never depends on a peer's wake.
	maxFutexWait = 50 * time.Millisecond
	minPatience  = 100 * time.Microsecond
)

func identityOf(slot int, generation uint32) uint32 { return generation<<8 | uint32(slot+1) }

func identitySlot(id uint32) int          { return int(id&0xff) - 1 }
func identityGeneration(id uint32) uint32 { return id & identityBits >> 8 }

// entrant is one party that enters the ring: a producer or the host. All but
// stop is used by one goroutine at a time.
type entrant struct {
	r          *Ring
	slot       int
	generation uint32
	identity   uint32
	owned      uint64 // the bias word when the ring is biased to us
	block      *publisherBlock
	biased     bool        // inside by the bias, without the mutex
	stop       *shm.Word32 // private to the process; not 0: blocked calls return ErrClosed

	// Valid while inside; while the bias stays ours, also from one entry to
	// the next. Every slow entry reads them anew.
	tail     uint64 // position of the next record
	sequence uint64 // of the next message
	stored   uint64 // the tail that others see
	claimed  uint64 // the claimed that others see
	limit    uint64 // records may end here: gating position + capacity
	soft     uint64 // records ending beyond this take the slow road, space.go
	epoch    uint64 // gate epoch that limit was computed in

	alone       int // slow entries since somebody else was inside or waited
	uncontended bool
	since       int64 // when a call that must not block began to enter

	// See turns.go.
	waiting bool   // others were told that we wait
	crowd   int    // entries, at a crowd's pace, that found somebody else about
	left    int64  // when the last of them ended
	leftAt  uint64 // and how many messages we had published then
}

func newEntrant(r *Ring, slot int, generation uint32) entrant {
	id := identityOf(slot, generation)
	e := entrant{r: r, slot: slot, generation: generation, identity: id, owned: biasOwned | uint64(id), block: r.publisher(slot), stop: new(shm.Word32)}
	e.epoch = ^uint64(0)
	return e
}

// enterBiased enters if the ring is biased to us.
// Cost: 2 loads, 1 store, no locked instruction; in fenced mode a full fence.
//
// A death here leaves active set with nothing written: whoever revokes waits
// until the host has cleared it.
func (e *entrant) enterBiased() bool {
	bias := &e.r.log.bias
	if bias.Load() != e.owned { // sync(bias): a look that spares others our active line; pairs with rebias
		return false
	}
	e.block.active.Set(e.generation) // sync(active): the revoker's membarrier orders this before the next load
	if e.r.options.Fenced {
		shm.FenceFull()
	}
	if bias.Load() == e.owned { // sync(bias): pairs with revoke
		e.biased = true
		return true
	}
	e.block.active.Store(0) // sync(active): pairs with revoke
	return false
}

// enter enters, by the bias if it can. It blocks while another is inside;
// [ErrClosed], [ErrCorrupt], or an error that is [ErrStalled] when ctx ends.
func (e *entrant) enter(ctx context.Context) error {
	if e.enterBiased() {
		return nil
	}
	return e.enterSlow(ctx)
}

func (e *entrant) enterSlow(ctx context.Context) error {
	if e.r.options.Exclusive {
		return &CorruptError{Region: "log", Offset: 0x280, Got: e.r.log.bias.Load(), Want: "the bias of the one publisher"} // sync(bias): fixed, pairs with AddPublisher
	}
	needContext(ctx)
	if ctx == tryContext {
		e.since = shm.Now()
	}
	e.letOwnerGoOn()
	if err := e.lock(ctx); err != nil {
		return err
	}
	in := false
	defer func() {
		if !in { // also when a context panics: others must not wait for ever for one that lives
			e.unlock()
		}
	}()
	failpoint.Hit("ring.locked")
	err := e.revoke(ctx)
	if err == nil {
		err = e.catchUp()
	}
	in = err == nil
	return err
}

// needContext panics if there is no context, before anything is held.
func needContext(ctx context.Context) {
	if ctx == nil {
		panic("ring: nil Context")
	}
}

// leave stores what others need to know and leaves the ring.
func (e *entrant) leave() {
	if e.biased {
		e.biased = false
		e.block.active.Store(0) // sync(active): pairs with revoke
		return
	}
	e.leaveSlow(true)
}

func (e *entrant) leaveSlow(mayRebias bool) {
	e.storeTail()
	h := e.r.log
	if !e.uncontended || h.lastEntrant.Load() != e.identity {
		e.alone = 0
		e.countCrowd()
	}
	h.lastEntrant.Store(e.identity)
	e.alone++
	if trick.Bias && mayRebias && (e.alone >= rebiasAfter || e.crowded()) && h.mutex.Load()&lockWaiters == 0 {
		// Before the mutex is released: after it, another might be inside.
		h.bias.Store(e.owned) // sync(bias): pairs with enterBiased
		e.alone = 0
	}
	e.unlock()
}

// lock takes the mutex.
func (e *entrant) lock(ctx context.Context) error {
	m := &e.r.log.mutex
	e.uncontended = true
	if m.CompareAndSwap(0, e.identity) { // sync(mutex): pairs with unlock
		return nil
	}
	e.uncontended = false
	add(&e.block.stats.contended, 1)
	if spinning {
		for range 100 {
			if m.Load() == 0 && m.CompareAndSwap(0, e.identity) {
				return nil
			}
			shm.Pause(1)
		}
	}
	slept := uint32(0)
	for {
		word := m.Load()
		if word == 0 {
			// Once we slept there may be other sleepers whose mark the
			// unlocker took away with the word.
			if m.CompareAndSwap(0, e.identity|slept) {
				return nil
			}
			continue
		}
		if word&identityBits == condemned {
			return errCondemned
		}
		if slot := identitySlot(word & identityBits); slot < 0 || slot > e.r.geometry.HostSlot() {
			return &CorruptError{Region: "log", Offset: 0x300, Got: uint64(word), Want: "a mutex that is free or held by a slot"}
		}
		if word&lockWaiters == 0 {
			if !m.CompareAndSwap(word, word|lockWaiters) {
				continue
			}
			word |= lockWaiters
		}
		slept = lockWaiters
		e.startWaiting()
		_ = shm.FutexWait(m, word, e.patience(ctx)) // any outcome: look again
		if m.Load() == 0 {
			continue
		}
		if err := e.blockedBy(ctx, word&identityBits); err != nil {
			return err
		}
	}
}

// patience returns how long to wait before looking again: not beyond the
// deadline of ctx, but when that has passed, long enough for ctx to say so.
func (e *entrant) patience(ctx context.Context) time.Duration {
	if ctx == tryContext {
		return tryWait - time.Duration(shm.Now()-e.since)
	}
	if deadline, ok := ctx.Deadline(); ok {
		return min(max(time.Until(deadline), minPatience), maxFutexWait)
	}
	return maxFutexWait
}

// blockedBy returns why a wait for the holder of identity must end, or nil.
// That one holder follows another is no reason to give up early.
func (e *entrant) blockedBy(ctx context.Context, identity uint32) error {
	if e.stop.Load() != 0 { // sync(stop): pairs with interrupt
		return ErrClosed
	}
	if ctx == tryContext && e.patience(ctx) > 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		slot := identitySlot(identity)
		add(&e.block.stats.stalls, 1)
		return &StalledError{Slot: slot, Name: e.r.publisherName(slot), Cause: err}
	}
	return nil
}

// unlock releases the mutex and wakes one waiter. A death between the two is
// mended by the host, which wakes everybody on every word.
func (e *entrant) unlock() {
	if e.r.log.mutex.Swap(0)&lockWaiters != 0 { // sync(mutex): pairs with lock
		shm.FutexWake(&e.r.log.mutex, 1)
	}
}

// revoke ends another's bias: holding the mutex, it returns once nobody is
// inside by a bias. It may be called by the next one if we die in here.
func (e *entrant) revoke(ctx context.Context) error {
	bias := &e.r.log.bias
	b := bias.Load() // sync(bias): pairs with rebias
	if b == 0 {
		return nil
	}
	x := uint32(b & identityBits)
	slot := identitySlot(x)
	if slot < 0 || slot > e.r.geometry.HostSlot() || b&^(identityBits|biasOwned|biasRevoking) != 0 {
		return &CorruptError{Region: "log", Offset: 0x280, Got: b, Want: "a bias word"}
	}
	if x != e.identity {
		e.uncontended = false
		// Not a store: x may be dead and its bias be freed since we looked, and
		// a bias of nobody who is granted must not be left if we die here too.
		if !bias.CompareAndSwap(b, biasRevoking|uint64(x)) { // sync(bias): pairs with enterBiased, freeLock
			return nil // only freeLock can have done that: we hold the mutex
		}
		failpoint.Hit("ring.revoking")
		add(&e.block.stats.revocations, 1)
		if err := e.awaitInactive(ctx, x); err != nil {
			return err
		}
	}
	bias.Store(0) // sync(bias): pairs with enterBiased
	return nil
}

// awaitInactive waits until the revoked owner is outside.
func (e *entrant) awaitInactive(ctx context.Context, x uint32) error {
	// The barrier makes every processor drain its stores: from here on either
	// the owner sees revoking, or we see its active. Without it neither is so.
	if err := e.r.barrier(); err != nil {
		return err // bias stays revoking, and the owner outside once it looks
	}
	active := &e.r.publisher(identitySlot(x)).active
	for spins := 0; active.Load() == identityGeneration(x); spins++ { // sync(active): pairs with enterBiased, leave
		switch {
		case spinning && spins < 200:
			shm.Pause(4)
		case spins < 220:
			runtime.Gosched()
		default:
			time.Sleep(min(time.Duration(spins-219)*50*time.Microsecond, e.patience(ctx)))
			if err := e.blockedBy(ctx, x); err != nil {
				return err // bias stays revoking: the next one repeats all of this
			}
		}
	}
	return nil
}

// needBarrier prepares this process for others' barriers. On a ring that
// relies on membarrier, a process that lacks it cannot take part.
func (r *Ring) needBarrier() error {
	if r.options.Fenced {
		return nil
	}
	if err := shm.RegisterMembarrier(); err != nil {
		return fmt.Errorf("%w: %w; have the bus served by `shmbus serve --fenced`", ErrNoBarrier, err)
	}
	return nil
}

// barrier orders the caller's stores before its loads, and makes everybody
// else's stores so far visible to it: membarrier, or a fence of our own where
// everyone uses fences. [ErrNoBarrier] if the kernel refuses what it granted
// before (a filter put on the process since): then nothing is ordered. A
// sleeper may go on all the same, since its waits are bounded.
func (r *Ring) barrier() error {
	if r.options.Fenced {
		shm.FenceFull()
		return nil
	}
	if err := shm.Membarrier(); err != nil {
		return fmt.Errorf("%w: %w", ErrNoBarrier, err)
	}
	return nil
}

// catchUp makes our picture of the ring true. From the stored tail it steps
// over every record that is there: the biased owner does not store the tail
// each time, and whoever was inside may have died anywhere. Before its commit
// word nothing happened, after it the record is whole; nobody needs to know
// which. If it stepped over anything, it stores sequence, then tail.
func (e *entrant) catchUp() error {
	h := e.r.log
	e.tail, e.sequence = h.tail.Load(), h.sequence.Load() // sync(tail): pairs with storeTail
	e.stored, e.claimed = e.tail, h.claimed.Load()        // sync(claimed): pairs with raiseClaimed
	if e.tail%recordAlign != 0 {
		return &CorruptError{Region: "log", Offset: 0x380, Got: e.tail, Want: "a tail that is a multiple of 32"}
	}
	for steps := uint64(0); ; steps++ {
		rec := e.r.at(e.tail)
		w := commitWord(rec.commit.Load()) // sync(commit): pairs with commit
		if w.state() == stateFree || !w.of(e.tail) {
			if w != 0 {
				return e.r.corrupt(e.tail, w, "a zero header at the end,")
			}
			break
		}
		if !w.whole(e.tail&e.r.mask, e.r.capacity) || steps > e.r.capacity/recordAlign {
			return e.r.corrupt(e.tail, w, "a record that lies within the ring,")
		}
		e.sequence = rec.sequence.Load()
		if w.state() != statePad {
			e.sequence++
		}
		e.tail += w.extent()
	}
	e.storeTail()
	e.newGates()
	e.soft = e.tail // the first record looks at everything, the sparse index included
	return nil
}

// newGates forgets the limit that was computed before somebody was attached,
// and reports whether there was such a one.
func (e *entrant) newGates() bool {
	epoch := e.r.gates.gateEpoch.Load() // sync(gates): pairs with attach
	changed := epoch != e.epoch
	if changed {
		e.epoch = epoch
		e.limit = e.tail
	}
	e.limit = later(e.limit, e.tail)
	return changed
}

// storeTail tells others how far the ring goes: sequence, then tail. Between
// the two a death leaves a sequence that catch-up corrects from the records.
func (e *entrant) storeTail() {
	if e.stored == e.tail {
		return
	}
	e.r.log.sequence.Store(e.sequence)
	e.r.log.tail.Store(e.tail) // sync(tail): pairs with catchUp
	e.stored = e.tail
}

// add adds to a counter that only we write.
func add(w *shm.Word64, n uint64) { w.Set(w.Load() + n) }

// spinning says whether waiting without the kernel can pay: another processor
// must be there to bring what is waited for.
var spinning = runtime.NumCPU() > 1
