package steps

import (
	"errors"
	"fmt"
	"time"
)

// missLimit is how long a victim is waited for that has yet to sleep until the
// worker acts, or is to sleep for ever. One that sleeps sooner than the one that
// was recorded, and so comes by a place less often, does not come by it any
// more: nobody acts.
const missLimit = 5 * time.Second

// reach brings the victim to a boundary.
func (w *worker) reach(s *scene, tr *trace, b boundary) error {
	acted, err := w.reachActing(s, tr, b)
	if (acted < len(tr.acts) || tr.endsAsleep()) && errors.Is(err, errHung) {
		return fmt.Errorf("%w: it sleeps sooner, and nobody wakes it", errMissed)
	}
	return err
}

// reachActing reports how often the worker acted on the way.
func (w *worker) reachActing(s *scene, tr *trace, b boundary) (acted int, err error) {
	if len(tr.acts) > 0 || tr.endsAsleep() {
		s.victim.limit = missLimit
	}
	here := 0
	for ; acted < len(tr.acts) && tr.acts[acted] < b.k; acted++ {
		k := tr.acts[acted]
		if err := w.advance(s.victim, tr.address, here, k); err != nil {
			return acted, err
		}
		asleep, err := s.victim.step()
		if err != nil {
			return acted, err
		}
		s.scenario.acts[acted](s)
		if acted+1 == len(tr.acts) && !tr.endsAsleep() {
			s.victim.limit = hangLimit
		}
		if asleep {
			if err := s.victim.await(); err != nil {
				return acted + 1, err
			}
		}
		here = k + 1
	}
	return acted, w.arrive(s, tr, here, b)
}

// arrive is the rest of the way, on which nobody acts.
func (w *worker) arrive(s *scene, tr *trace, here int, b boundary) error {
	if b.asleep && tr.slept[b.k] {
		if err := w.holdBefore(s.victim, tr, here, b.k); err != nil {
			return err
		}
	} else if err := w.advance(s.victim, tr.address, here, b.k); err != nil || !b.asleep {
		return err
	}
	asleep, err := s.victim.step()
	if err == nil && !asleep {
		return errMissed
	}
	return err
}

// holdBefore brings the victim near to where it sleeps in the runtime, and
// holds its other threads, which would wake it before it is asleep.
func (w *worker) holdBefore(t *tracee, tr *trace, here, k int) error {
	near := k
	for near > here+1 && near > k-1500 {
		if _, slept := tr.slept[near-1]; slept {
			break
		}
		near--
	}
	if err := w.advance(t, tr.address, here, near); err != nil {
		return err
	}
	if err := t.hold(); err != nil {
		return err
	}
	for range 3000 {
		const waits = 0 // the operation, less its flags
		if uintptr(t.regs.Rip) == tr.address[k] && t.regs.Rsi&(futexPrivate-1) == waits {
			return nil
		}
		if asleep, err := t.step(); err != nil || asleep {
			return errors.Join(err, errMissed)
		}
	}
	return errMissed
}

// advance runs from boundary from, where the thread stands, to boundary to,
// by way of the instruction that costs the fewest stops.
func (w *worker) advance(t *tracee, address []uintptr, from, to int) error {
	steps := 0
	for to > from && (!inText(address[to]) || address[to] == address[to-1]) {
		// The vDSO takes no breakpoints; an instruction that repeats itself
		// passes one once.
		to--
		steps++
	}
	if to > from {
		by, first, second := route(address, from, to)
		if by >= 0 {
			if err := t.runTo(address[by], first); err != nil {
				return err
			}
		}
		if err := t.runTo(address[to], second); err != nil {
			return err
		}
	}
	for ; steps > 0; steps-- {
		if asleep, err := t.step(); err != nil || asleep {
			return errors.Join(err, errMissed)
		}
	}
	return nil
}

// route returns how to get from one boundary to another with few stops: by way
// of an instruction, -1 for none, passing it first times and then the last one
// second times.
func route(address []uintptr, from, to int) (by, first, second int) {
	passes := func(a, b int) (n int) { // times that b's address is come to in (a, b]
		for i := a + 1; i <= b; i++ {
			if address[i] == address[b] && address[i-1] != address[i] {
				n++
			}
		}
		return n
	}
	by, second = -1, passes(from, to)
	best := second
	tries := 0
	for j := to - 1; j > from && best > 3 && tries < 200; j-- {
		tries++
		if !inText(address[j]) || address[j] == address[to] || address[j] == address[j-1] {
			continue
		}
		f, l := passes(from, j), passes(j, to)
		if f+l < best {
			by, first, second, best = j, f, l, f+l
		}
	}
	return by, first, second
}
