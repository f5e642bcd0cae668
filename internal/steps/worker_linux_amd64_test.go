package steps

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// boundary is where a victim dies: before instruction k of the call, counted
// from 0 at the marker, or while it sleeps in that instruction.
type boundary struct {
	k      int
	asleep bool
}

// trace is what a call does when nobody kills it.
type trace struct {
	address []uintptr    // of the instruction at each boundary
	slept   map[int]bool // boundaries at which it slept: whether in the runtime
	acts    []int        // boundaries in whose sleep the worker acted
	stores  []int        // boundaries before which the last instruction changed the ring
	owner   []uintptr    // addresses of the owner, up to where it is left standing
}

// boundaries lists where to kill: behind the first that many sleeps.
func (tr *trace) boundaries(sleeps int) (list []boundary) {
	for k := range tr.address {
		if sleeps > 0 {
			if _, ok := tr.slept[k]; ok {
				sleeps--
			}
			continue
		}
		list = append(list, boundary{k: k})
		if _, ok := tr.slept[k]; ok {
			list = append(list, boundary{k: k, asleep: true})
		}
	}
	return list
}

// endsAsleep says that the call never ended: nobody wakes the victim out of the
// last sleep.
func (tr *trace) endsAsleep() bool {
	_, slept := tr.slept[len(tr.address)-1]
	return slept
}

// worker plays scenes, one at a time, in one thread: the kernel takes ptrace
// requests from the thread that traces only.
type worker struct {
	site  *site
	cpu   int
	scene *scene
	last  bool // no other try follows: a recording that the scheduler came into is taken
}

// onOne confines the thread, and the processes it starts, to one processor:
// there nobody spins.
func (w *worker) onOne(yes bool) {
	var set unix.CPUSet
	for i := range runtime.NumCPU() {
		if !yes || i == w.cpu%runtime.NumCPU() {
			set.Set(i)
		}
	}
	_ = unix.SchedSetaffinity(0, &set) // refused: then they spin
}

// stage lays a scene out up to the first marker of the victim.
func (w *worker) stage(sc *scenario, tr *trace) (*scene, error) {
	w.onOne(sc.oneProcessor)
	s := w.site.lay(sc)
	w.scene = s
	if sc.owner != nil {
		if err := w.stageOwner(s, tr); err != nil {
			return s, fmt.Errorf("the owner: %w", err)
		}
	}
	s.seatVictim()
	var err error
	if s.victim, err = startTracee(s.victimAt.String(), w.site.files()); err != nil {
		return s, err
	}
	if err := s.pauses(s.victim, s.notes); err != nil {
		return s, err
	}
	if tr.address == nil { // to be recorded
		if err := s.victim.hold(); err != nil {
			return s, err
		}
	}
	if sc.begin != nil {
		sc.begin(s)
	}
	return s, nil
}

// pauses lets the worker act at each pause until the call begins.
func (s *scene) pauses(t *tracee, n notes) error {
	for i := 0; n.begun.Load() == 0; i++ {
		s.scenario.pauses[i](s)
		if err := t.toMarker(); err != nil {
			return err
		}
	}
	return nil
}

// stageOwner brings the second process to where it stands inside; the first
// time it looks for the place.
func (w *worker) stageOwner(s *scene, tr *trace) error {
	s.seatOwner()
	var err error
	if s.owner, err = startTracee(s.ownerAt.String(), w.site.files()); err != nil {
		return err
	}
	if err := s.pauses(s.owner, s.ownerNotes); err != nil {
		return err
	}
	if tr.owner != nil {
		err = w.advance(s.owner, tr.owner, 0, len(tr.owner)-1)
	} else {
		tr.owner, err = s.ownerTrace(w.last)
	}
	if err == nil && s.scenario.ownerStands != nil {
		s.scenario.ownerStands(s)
	}
	return err
}

// ownerTrace steps the owner until it is inside, and further as said.
func (s *scene) ownerTrace(last bool) (list []uintptr, err error) {
	if err := s.owner.hold(); err != nil {
		return nil, err
	}
	for further := s.scenario.ownerDepth; further >= 0; {
		list = append(list, uintptr(s.owner.regs.Rip))
		if s.ring.Stat().LockSlot == ownerSlot {
			if further--; further < 0 {
				break
			}
		}
		switch at := uintptr(s.owner.regs.Rip); {
		case at == marker():
			return nil, errors.New("it never was inside for long enough")
		case preempts(at) && !last:
			return nil, errMissed
		}
		if asleep, err := s.owner.step(); err != nil || asleep {
			return nil, errors.Join(err, errMissed)
		}
	}
	return list, s.owner.release()
}

// resumeOwner lets the owner finish its call.
func (s *scene) resumeOwner() {
	if s.owner == nil || s.owner.gone || s.ownerNotes.returned.Load() != 0 {
		return
	}
	s.must(s.owner.toMarker())
}

// killOwner kills it where it stands and repairs.
func (s *scene) killOwner() {
	s.owner.kill()
	s.must(s.host.RemovePublisher(ownerSlot, s.ownerAt.gen))
}

// maxBoundaries is more than any call takes that ends.
const maxBoundaries = 60000

// record steps a victim through its call and notes each boundary.
func (w *worker) record(s *scene, tr *trace) error {
	t := s.victim
	tr.address, tr.acts, tr.stores, tr.slept = nil, nil, nil, map[int]bool{}
	ring := newSnapshot(w.site)
	for sleeps := 0; len(tr.address) < maxBoundaries; {
		at := uintptr(t.regs.Rip)
		if ring.changed() {
			tr.stores = append(tr.stores, len(tr.address))
		}
		tr.address = append(tr.address, at)
		switch {
		case at == marker():
			return nil
		case preempts(at) && !w.last:
			return errMissed
		}
		asleep, err := t.step()
		if err != nil {
			return err
		}
		if !asleep {
			continue
		}
		k := len(tr.address) - 1
		tr.slept[k] = t.private
		sleeps++
		more, err := w.wakeUp(s, tr, k, sleeps)
		if !more {
			return err
		}
	}
	if !w.last {
		return errMissed // the runtime may have had this thread do work of its own
	}
	return fmt.Errorf("%d instructions, and no end", maxBoundaries)
}

// wakeUp deals with a sleep at boundary k of a victim that is recorded: the
// runtime's own sleeps end when its threads go on, others when the worker
// acts. Where it has nothing to do any more, that was the last boundary.
func (w *worker) wakeUp(s *scene, tr *trace, k, sleeps int) (more bool, err error) {
	t, sc := s.victim, s.scenario
	held := len(t.held) > 0
	if held {
		if err := t.release(); err != nil {
			return false, err
		}
	}
	if !t.private || sc.patience > 0 && sleeps >= sc.patience {
		if len(tr.acts) < len(sc.acts) {
			act := sc.acts[len(tr.acts)]
			tr.acts = append(tr.acts, k)
			act(s)
		} else if !t.private {
			return false, nil
		}
	}
	if err := t.await(); err != nil {
		return false, err
	}
	if held {
		return true, t.hold()
	}
	return true, nil
}

// preempts reports whether the runtime's scheduler comes between there, as it
// may where the process had to wait for long before its other threads were held.
func preempts(address uintptr) bool {
	f := runtime.FuncForPC(address)
	return f != nil && f.Name() == "runtime.gopreempt_m"
}

// outcome is what came of one kill.
type outcome struct {
	at       uintptr
	progress time.Duration // from the kill until survivors had published and read
	problems []string
	err      error // the boundary was not reached, or the scene could not be laid
	hung     bool
}

// dieAt plays the scene with one death.
func (w *worker) dieAt(sc *scenario, tr *trace, d death) (o outcome) {
	defer w.finish(&o)
	s, err := w.stage(sc, tr)
	if err != nil {
		o.err = err
		return o
	}
	if err := w.reach(s, tr, d.boundary); err != nil {
		o.err = err
		return o
	}
	if o.at = uintptr(s.victim.regs.Rip); o.at != tr.address[d.k] && inText(o.at) {
		o.err = errMissed
		return o
	}
	w.die(s, d.k, d.beside, &o)
	return o
}

// die kills the victim where it stands, and demands everything of the rest.
func (w *worker) die(s *scene, seed int, besides bool, o *outcome) {
	sc := s.scenario
	s.invariants("as it fell")
	var other *waiting
	if besides {
		other = beside(s.progress)
	}
	began := time.Now()
	s.victim.kill()
	s.repair()
	if sc.owner != nil {
		if sc.ownerDies {
			s.killOwner()
		}
		s.resumeOwner()
	}
	if s.claim != nil {
		s.claim() // nothing behind it is read before
		s.claim = nil
	}
	if other == nil {
		s.progress()
	} else {
		other.end("the survivor that was publishing when the victim fell")
	}
	o.progress = time.Since(began)
	if s.waiting != nil {
		s.waiting.end("a publisher that waited for room")
		s.waiting = nil
	}
	if s.deep != nil {
		if err := <-s.deep.woken; err != nil {
			panic(violation{fmt.Errorf("%w: a subscriber that slept was not woken: %w", errHung, err)})
		}
	}
	s.drain()
	s.repaired()
	s.laps(seed)
	s.seatAgain()
	s.drain()
	if s.owner != nil {
		s.owner.kill()
		s.must(s.host.RemovePublisher(ownerSlot, s.ownerAt.gen))
		s.publish(s.survivor, survivorSlot, 1, 20)
		s.drain()
	}
	s.invariants("at last")
	s.messages()
}

// repair is what the host does once the death is proven.
func (s *scene) repair() {
	switch s.scenario.victim.kind {
	case "publisher":
		s.must(s.host.RemovePublisher(s.victimAt.slot, s.victimAt.gen))
	case "subscriber", "lossy":
		s.host.RemoveSubscriber(s.victimAt.slot, s.victimAt.gen, false)
	case "host":
		s.takeOver()
		s.scenario.again(s)
	}
}

// finish ends what is left of the scene, and turns a panic of survivors into
// what it says.
func (w *worker) finish(o *outcome) {
	switch p := recover().(type) {
	case nil:
	case violation:
		o.problems, o.hung = append(o.problems, p.Error()), errors.Is(p.error, errHung)
	case setupError:
		o.problems, o.hung = append(o.problems, p.Error()), errors.Is(p.error, errHung)
	default:
		panic(p)
	}
	s := w.scene
	if s == nil {
		return
	}
	s.victim.kill()
	s.owner.kill()
	o.problems = slices.Concat(s.problems, o.problems)
	w.scene = nil
	o.hung = o.hung || errors.Is(o.err, errHung)
	if s.waiting != nil || len(o.problems) > 0 || o.err != nil {
		// A survivor may still be storing into the ring: the next scene is
		// laid elsewhere, and this place is left to it.
		if st, err := newSite(); err == nil {
			w.site = st
		}
	}
}
