package ring

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shmbus/shmbus/shm"
)

// minPark bounds the first futex wait of a sleeper in a [Parker]; each that
// ends by time may be twice as long, up to maxPark. When one is over, the
// waiter's words and Ready are looked at again: that a peer was stopped or
// killed before its wake-up, and the host with it, or that the host of an
// exclusive ring woke just before the sleep and could change no word, costs
// this long and no more. Nothing else needs the bound, so it may grow: each end
// of a wait makes Go's scheduler look around for 10 ms, the larger part of what
// idle subscribers cost.
const (
	minPark = 50 * time.Millisecond
	maxPark = 400 * time.Millisecond
)

// blindPark is the bound where no futex call can wait on all words: without
// futex_waitv, and on systems without futexes.
const blindPark = 2 * time.Millisecond

// A Parker puts goroutines to sleep on words in shared memory. A goroutine in
// a futex call pins an operating system thread, so the first sleeper waits in
// its own goroutine (the shortest way to be woken) and from the second on all
// share parker goroutines, each waiting for up to 127 words and handing over
// by Go channel:
//
//	Wait ──▶ nobody waits directly ──▶ futex_waitv {words…, bell}        caller's thread
//	     └─▶ somebody does ──▶ parkGroup{waiters…} ─ futex_waitv {all words…, bell}
//	                               └─ done channel ──▶ select {done, ctx.Done()}
//
// The direct sleeper joins the others when it has slept for a while.
//
// Parker goroutines start when first needed, end when they have nobody left,
// and are joined by Close. All methods may be called from any goroutine.
type Parker struct {
	// bell wakes the direct waiter: its context ended, it was interrupted, or
	// the parker closes. Only ever added to.
	bell   shm.Word32
	ring   func() // p.ringBell, made once: an AfterFunc without a closure
	closed atomic.Bool

	mu     sync.Mutex
	direct bool       // somebody waits directly and owns words
	words  []shm.Wait // the direct waiter's list, reused
	groups []*parkGroup
	idle   []*parked // waiters to use again
	work   sync.WaitGroup
}

// A Waiter says what one sleeper waits for. It belongs to the caller and is
// not touched after Wait has returned.
type Waiter struct {
	// Words are at most three words with the values seen before deciding to
	// sleep; a word that holds something else ends the wait.
	Words []shm.Wait
	// Ready reports that waiting is over though no word changed. It is called
	// before sleeping and after every wait that ends by time, from whichever goroutine
	// sleeps, must be quick and must not call the parker.
	Ready func() bool
	// Cancel ends the wait with ErrClosed once it is not zero; set it with
	// [Parker.Interrupt]. May be nil.
	Cancel *shm.Word32
}

// NewParker returns a parker that sleeps and starts nothing yet.
func NewParker() *Parker {
	pk := &Parker{}
	pk.ring = pk.ringBell
	return pk
}

// Wait blocks until a word of w differs from its value or w.Ready reports true
// (nil), ctx ends (its error), or w.Cancel is set or the parker closes
// ([ErrClosed]). It may return nil without cause never more often than peers
// wake without cause: callers look again anyway. No word of w is read, by
// anybody, after it has returned, so the memory may be unmapped then.
func (pk *Parker) Wait(ctx context.Context, w *Waiter) error {
	if over, err := pk.over(ctx, w, true); over {
		return err
	}
	pk.mu.Lock()
	if pk.direct {
		p := pk.join(w)
		pk.mu.Unlock()
		return pk.waitParked(ctx, p)
	}
	pk.direct = true
	pk.mu.Unlock()
	p, err := pk.waitDirect(ctx, w)
	if p != nil {
		return pk.waitParked(ctx, p)
	}
	return err
}

// Interrupt sets word and ends the waits that name it as their Cancel with
// ErrClosed. The word stays set.
func (pk *Parker) Interrupt(word *shm.Word32) {
	word.Store(1) // sync(park.cancel): pairs with Parker.over
	pk.ringBell()
	pk.mu.Lock()
	defer pk.mu.Unlock()
	for _, g := range pk.groups {
		g.release(func(w *Waiter) bool { return w.Cancel == word })
	}
}

// Close ends every wait with ErrClosed, now and later, and returns when no
// goroutine of the parker runs any more. Calling it again does nothing.
func (pk *Parker) Close() {
	pk.closed.Store(true) // sync(park.closed): pairs with Parker.over
	pk.ringBell()
	pk.mu.Lock()
	for _, g := range pk.groups {
		g.release(func(*Waiter) bool { return true })
		g.nudge()
	}
	pk.mu.Unlock()
	pk.work.Wait()
}

// over reports whether the wait of w has ended, and how. With deep, Ready is
// asked too.
func (pk *Parker) over(ctx context.Context, w *Waiter, deep bool) (bool, error) {
	if pk.closed.Load() || w.Cancel != nil && w.Cancel.Load() != 0 { // sync(park.closed): pairs with Close; sync(park.cancel): pairs with Interrupt
		return true, ErrClosed
	}
	if w.changed() || deep && w.Ready != nil && w.Ready() {
		return true, nil
	}
	if err := ctx.Err(); err != nil {
		return true, err
	}
	return false, nil
}

// changed reports whether a word no longer holds the value waited on.
func (w *Waiter) changed() bool {
	for i := range w.Words {
		if w.Words[i].Word.Load() != w.Words[i].Value { // sync(doorbell): pairs with the publisher's and consumer's Add before their wake
			return true
		}
	}
	return false
}

// waitDirect sleeps in the caller's goroutine. The bell is read before the
// conditions it stands for, so a ring in between makes the futex call return
// at once. Who has slept for a whole minPark joins the others if there are
// any: each thread that comes out of the kernel now and then keeps the Go
// scheduler's monitor awake for 10 ms each time, which costs more than the
// waiting itself.
func (pk *Parker) waitDirect(ctx context.Context, w *Waiter) (*parked, error) {
	if ctx.Done() != nil {
		stop := context.AfterFunc(ctx, pk.ring)
		defer stop()
	}
	pk.words = append(pk.words[:0], w.Words...)
	pk.words = append(pk.words, shm.Wait{Word: &pk.bell, Private: true})
	deep, patience := true, minPark
	for first := true; ; first = false {
		bell := pk.bell.Load() // sync(park.bell): pairs with ringBell
		over, err := pk.over(ctx, w, deep)
		if over || deep && !first {
			pk.mu.Lock()
			var p *parked
			if !over && len(pk.groups) > 0 {
				p = pk.join(w)
			}
			pk.direct = !over && p == nil
			pk.mu.Unlock()
			if over || p != nil {
				return p, err
			}
		}
		pk.words[len(pk.words)-1].Value = bell
		if deep = sleep(pk.words, patience); deep {
			patience = min(2*patience, maxPark)
		} else {
			patience = minPark // in an exclusive ring the host wakes and can change no word
		}
	}
}

// ringBell wakes the direct waiter, whoever that is by now: it looks and goes
// on sleeping if it was not meant.
func (pk *Parker) ringBell() {
	pk.bell.Add(1) // sync(park.bell): pairs with waitDirect
	shm.FutexWakePrivate(&pk.bell, 1)
}

// sleep waits on words for at most d and reports whether it ended by time, so
// that Ready is due. A kernel that will not wait on them makes it a pause.
func sleep(words []shm.Wait, d time.Duration) bool {
	err := shm.FutexWaitMany(words, d)
	if err == nil {
		return !shm.HaveWaitMany() // then nil may mean that a bounded pause is over
	}
	if !errors.Is(err, shm.ErrTimeout) {
		time.Sleep(blindPark)
	}
	return true
}
