package bus

import "github.com/shmbus/shmbus/shm"

// guard lets any goroutine close what another one is using, without a locked
// instruction in the one that uses it.
//
//	state    written by the owner, the goroutine that uses the handle
//	idle     no call inside, no view out       the memory may be unmapped once closed is set
//	inside   a call is inside                  it settles what Close left when it goes out
//	polling  Poll is inside, perhaps in the    the same
//	         user's function
//	lent     no call inside, views are out     the next call settles, or the collection of the handle
//
//	closed   shutBit is set by Close, once; strongBit from the start, or never
//
// Going in, the owner stores state, then loads closed; Close stores closed,
// then loads state. If each could miss the other's store, Close would unmap
// under the owner's feet. On x86 and on arm64 alike a store may still sit in
// the processor's buffer when a later load is made, so one of the two needs a
// fence between. Close is rare: it makes the kernel run a fence on every
// processor that runs a thread of this process (shm.MembarrierProcess). At
// that instant the owner's store has been made or it has not. If made, it is
// out of the buffer and Close sees it. If not, the load that follows it comes
// after the barrier, and Close's store came before: the owner sees closed and
// touches nothing. Going out it is the same with the sides of state swapped:
// either Close sees that the owner is out, or the owner sees closed on its way
// out, or both, and then the participant's mutex sorts them. Where membarrier
// is missing, strongBit is set and both sides use a full fence.
//
// Each way costs a store, a load and a branch: whatever is odd about a guard
// is in the word that both look at anyway.
//
// That two goroutines use one handle is found best effort, as Go's maps do.
type guard struct {
	state  shm.Word32
	closed shm.Word32
}

const (
	idle    = 0
	lent    = 1
	inside  = busy
	polling = busy | 1

	busy = 4 // in state: a call is inside

	shutBit   = 1 // in closed
	strongBit = 2
)

// arm makes a guard of a process without membarrier.
func (g *guard) arm(without bool) {
	if without {
		g.closed.Store(strongBit) // sync(bus.guard): before anybody has it
	}
}

// enter goes in and reports false if the handle is closed: touch nothing then
// and go out.
//
// Cost: 2 loads, 1 store, no locked instruction.
func (g *guard) enter(as uint32) bool {
	odd := g.goIn(as)
	return odd == 0 || g.open(odd)
}

// goIn is enter that leaves what is odd, bits of state and closed, to open: it
// is small enough for the compiler to put it into the calls whose speed matters.
func (g *guard) goIn(as uint32) (odd uint32) {
	if odd = g.state.Load() & busy; odd != 0 {
		return odd // the state is another's
	}
	g.state.Store(as)      // sync(bus.guard): going in, pairs with Close's barrier
	return g.closed.Load() // sync(bus.guard): going in, pairs with shut
}

func (g *guard) open(odd uint32) bool {
	if odd&busy != 0 {
		concurrent()
	}
	return !g.isShut()
}

// isShut looks once more, behind a fence where the closer has no barrier.
func (g *guard) isShut() bool {
	if g.closed.Load()&strongBit != 0 { // sync(bus.guard): fixed
		shm.FenceFull()
	}
	return g.closed.Load()&shutBit != 0 // sync(bus.guard): going in or out, pairs with shut
}

// out leaves the guard in state as and reports whether it was closed.
//
// Cost: 1 store, 1 load, no locked instruction.
func (g *guard) out(as uint32) bool { return g.goOut(as) && g.isShut() }

// goOut is out that leaves what is odd to isShut.
func (g *guard) goOut(as uint32) (odd bool) {
	g.state.Store(as)           // sync(bus.guard): going out, pairs with Close's barrier
	return g.closed.Load() != 0 // sync(bus.guard): going out, pairs with shut
}

// shut sets closed and reports whether it was the first to. When it returns,
// an owner that was not inside finds closed on its way in, and state tells the
// truth about one that was.
func (g *guard) shut() bool {
	was := g.closed.Or(shutBit) // sync(bus.guard): Close, pairs with enter and out
	if was&shutBit != 0 {
		return false
	}
	if was&strongBit == 0 {
		// It worked when the bus was opened, and nothing takes it away later.
		if err := shm.MembarrierProcess(); err != nil {
			panic("bus: membarrier worked before and does not now: " + err.Error())
		}
	}
	return true
}

func concurrent() {
	panic("bus: concurrent use of a Publisher or Subscriber: each belongs to one goroutine at a time (Close excepted); see Publisher.Shared")
}
