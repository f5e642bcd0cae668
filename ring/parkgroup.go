package ring

import (
	"context"
	"time"

	"github.com/shmbus/shmbus/shm"
)

// maxGroupWords is what one futex_waitv call takes (128), less the bell.
const maxGroupWords = 127

// A parkGroup is one parker goroutine and the waiters it sleeps for. All
// fields but bell are under the parker's mutex.
type parkGroup struct {
	pk *Parker
	// bell tells the goroutine that its list changed. Only ever added to.
	bell     shm.Word32
	waiters  []*parked
	words    int           // in waiters
	sleeping bool          // in, or about to enter, the futex call
	list     []shm.Wait    // what it sleeps on, reused
	patience time.Duration // of the next futex call: who joins waits minPark at first
}

// A parked is one sleeping caller of Wait. While group is set the waiter's
// words belong to the group; whoever clears it has taken the waiter out.
type parked struct {
	w     *Waiter
	group *parkGroup
	index int           // in group.waiters
	done  chan struct{} // one token: taken out because the wait is over
}

// join enters w into a group, starting one if all are full. Parker's mutex
// is held.
func (pk *Parker) join(w *Waiter) *parked {
	var p *parked
	if n := len(pk.idle); n > 0 {
		p, pk.idle = pk.idle[n-1], pk.idle[:n-1]
	} else {
		p = &parked{done: make(chan struct{}, 1)}
	}
	p.w = w
	if pk.closed.Load() { // sync(park.closed): pairs with Close
		p.done <- struct{}{}
		return p
	}
	g := pk.roomFor(len(w.Words))
	p.group, p.index = g, len(g.waiters)
	g.waiters = append(g.waiters, p)
	g.words += len(w.Words)
	g.patience = minPark
	if g.sleeping {
		g.nudge()
	}
	return p
}

// roomFor returns a group that can take n more words.
func (pk *Parker) roomFor(n int) *parkGroup {
	for _, g := range pk.groups {
		if g.words+n <= maxGroupWords {
			return g
		}
	}
	g := &parkGroup{pk: pk}
	pk.groups = append(pk.groups, g)
	pk.work.Go(g.run)
	return g
}

// waitParked waits for the group's token or for ctx, which needs no futex: a
// cancelled caller returns at once.
func (pk *Parker) waitParked(ctx context.Context, p *parked) error {
	var err error
	select {
	case <-p.done:
		if _, e := pk.over(context.Background(), p.w, false); e != nil {
			err = e
		}
	case <-ctx.Done():
		err = ctx.Err()
	}
	pk.mu.Lock()
	defer pk.mu.Unlock()
	if p.group != nil {
		p.group.remove(p)
	}
	select {
	case <-p.done:
	default:
	}
	p.w = nil
	pk.idle = append(pk.idle, p)
	return err
}

// run is the group's goroutine. It reads waiters' words only under the mutex,
// while they are in the list. In the futex call the kernel reads them, where a
// word unmapped meanwhile is an error (EFAULT), not a fault; where
// FutexWaitMany would read them itself, for want of futex_waitv, the group
// waits on its bell alone, briefly.
func (g *parkGroup) run() {
	g.pk.mu.Lock()
	defer g.pk.mu.Unlock()
	deep := true
	for {
		g.release(func(w *Waiter) bool { over, _ := g.pk.over(context.Background(), w, deep); return over })
		if len(g.waiters) == 0 {
			g.leave()
			return
		}
		d := g.patience
		g.patience = min(2*d, maxPark)
		g.list = g.list[:0]
		if shm.HaveWaitMany() {
			for _, p := range g.waiters {
				g.list = append(g.list, p.w.Words...)
			}
		} else {
			d = blindPark
		}
		g.list = append(g.list, shm.Wait{Word: &g.bell, Value: g.bell.Load(), Private: true}) // sync(park.group): pairs with nudge
		g.sleeping = true
		g.pk.mu.Unlock()

		deep = sleep(g.list, d)

		g.pk.mu.Lock()
		g.sleeping = false
		if !deep {
			g.patience = minPark // something happened
		}
	}
}

// release takes out every waiter that over holds for and wakes its caller.
func (g *parkGroup) release(over func(*Waiter) bool) {
	for i := 0; i < len(g.waiters); {
		p := g.waiters[i]
		if !over(p.w) {
			i++
			continue
		}
		g.remove(p)
		p.done <- struct{}{}
	}
}

// remove takes p out of the group; the last one moves into its place.
func (g *parkGroup) remove(p *parked) {
	last := len(g.waiters) - 1
	moved := g.waiters[last]
	g.waiters[p.index], moved.index = moved, p.index
	g.waiters[last] = nil
	g.waiters = g.waiters[:last]
	g.words -= len(p.w.Words)
	p.group = nil
	if last == 0 && g.sleeping {
		g.nudge()
	}
}

// leave takes the group out of the parker; its goroutine ends.
func (g *parkGroup) leave() {
	for i, other := range g.pk.groups {
		if other == g {
			g.pk.groups = append(g.pk.groups[:i], g.pk.groups[i+1:]...)
			return
		}
	}
}

// nudge makes a sleeping group look at its list again.
func (g *parkGroup) nudge() {
	g.bell.Add(1) // sync(park.group): pairs with run
	shm.FutexWakePrivate(&g.bell, 1)
}
