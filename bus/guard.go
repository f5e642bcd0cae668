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
//	lent     no call inside, views are out     the next call, or the collection of the handle, settles
//
//	closed   written by Close, from 0 to 1, once
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
// is missing, strong is set and both sides use a full fence.
//
// That two goroutines use one handle is found best effort, as Go's maps do.
type guard struct {
	state  shm.Word32
	closed shm.Word32
	strong bool
}

const (
	idle = iota
	inside
	polling
	lent
)

// enter goes in and reports false if the handle is closed: touch nothing then
// and go out.
//
// Cost: 2 loads, 1 store, no locked instruction.
func (g *guard) enter(as uint32) bool {
	if s := g.state.Load(); s == inside || s == polling {
		concurrent()
	}
	g.state.Store(as) // sync(bus.guard): going in, pairs with Close's barrier
	if g.strong {
		shm.FenceFull()
	}
	return g.closed.Load() == 0 // sync(bus.guard): going in, pairs with shut
}

// out leaves the guard in state as and reports whether it was closed.
//
// Cost: 1 store, 1 load, no locked instruction.
func (g *guard) out(as uint32) bool {
	g.state.Store(as) // sync(bus.guard): going out, pairs with Close's barrier
	if g.strong {
		shm.FenceFull()
	}
	return g.closed.Load() != 0 // sync(bus.guard): going out, pairs with shut
}

// shut sets closed and reports whether it was the first to. When it returns,
// an owner that was not inside finds closed on its way in, and state tells the
// truth about one that was.
func (g *guard) shut() bool {
	if !g.closed.CompareAndSwap(0, 1) { // sync(bus.guard): Close, pairs with enter and out
		return false
	}
	if !g.strong {
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
