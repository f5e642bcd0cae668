//go:build linux

package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/shmbus/shmbus/shm"
)

// Descriptors of an actor, besides the standard ones.
const (
	deskDescriptor = 3 + iota
	samplesDescriptor
	ownDescriptors // of the mechanism, from here on
)

// spec is what an actor is told, as JSON on standard input.
type spec struct {
	Cell       Cell
	Warm       int
	Settle     int
	Count      int
	Actor      int // number; publishers first, the subscriber last
	Actors     int
	Processors []int
	Lonely     bool // all actors share one processor: who waits must let the others run
	Clock      clock
	Dir        string       // directory for names
	Address    string       // of a server
	Rings      []attachment // package ring
}

// outlet publishes. Drivers loop themselves: a call through an interface for
// each message would cost as much as some of the messages do.
type outlet interface {
	// send publishes the next n messages of w and leaves none in a buffer.
	send(w *writer, n int) error
}

// inlet subscribes.
type inlet interface {
	// receive reads exactly n messages.
	receive(k *checker, n int) error
}

// actor is one participant at work.
type actor struct {
	spec
	desk    *desk
	place   *place
	samples shm.Span
	out     outlet
	in      inlet
	writer  *writer
	checker *checker
	waited  meter  // used by waits that are not the mechanism's
	spun    uint64 // ticks, besides that
}

// Actor is the body of a participant's process: it reads what to do from in
// and does it. Only [Run] starts such processes.
func Actor(in io.Reader) error {
	var s spec
	if err := json.NewDecoder(in).Decode(&s); err != nil {
		return fmt.Errorf("bench: reading what to do: %w", err)
	}
	if err := pin(s.Processors); err != nil {
		return err
	}
	if !traitsOf(s.Cell.Mechanism).alone {
		runtime.LockOSThread()
	}
	region, err := mapDescriptor(deskDescriptor)
	if err != nil {
		return err
	}
	samples, err := mapDescriptor(samplesDescriptor)
	if err != nil {
		return err
	}
	a := &actor{
		spec: s, desk: &desk{bytes: region, actors: s.Actors}, samples: shm.NewSpan(samples),
		writer: newWriter(s.Cell.Size, s.Actor%s.Cell.Publishers),
	}
	a.checker = a.newChecker()
	a.place = a.desk.place(s.Actor)
	if s.Cell.Mechanism == "go-channel" {
		return a.playBoth()
	}
	if a.out, a.in, err = drivers[s.Cell.Mechanism].attach(a); err != nil {
		return err
	}
	return a.play()
}

func (a *actor) newChecker() *checker {
	return newChecker(a.Cell, amount{warm: a.Warm, count: a.Count}, &a.Clock)
}

// playBoth plays publisher and subscriber in two goroutines.
func (a *actor) playBoth() error {
	there, back := newChannel(a.Cell.Size), newChannel(a.Cell.Size)
	b := *a
	b.Actor, b.place = 1, a.desk.place(1)
	b.writer, b.checker = newWriter(a.Cell.Size, 0), b.newChecker()
	a.out, a.in = there, back
	b.out, b.in = back, there
	var wg sync.WaitGroup
	var theirs error
	wg.Go(func() { theirs = b.play() })
	err := a.play()
	if err == nil {
		wg.Wait()
		b.place.cpu.Store(0) // one process: counted once, by the publisher
		b.place.switches.Store(0)
	}
	return errors.Join(err, theirs)
}

// play does this actor's part.
func (a *actor) play() error {
	a.desk.reach(a.Actor, stateAttached)
	var err error
	subscriber := a.Actor == a.Cell.Publishers
	switch {
	case a.Cell.Pattern == RTT && subscriber:
		err = a.measure(a.echo)
	case a.Cell.Pattern == RTT:
		err = a.measure(a.ping)
	case a.Cell.Pattern == Paced && subscriber:
		err = a.measure(a.watch)
	case a.Cell.Pattern == Paced:
		err = a.measure(a.pace)
	case a.Cell.Mode == Burst && subscriber:
		err = a.measure(a.catchUp)
	case a.Cell.Mode == Burst:
		err = a.measure(a.burst)
	case a.Cell.Mode == Alone:
		err = a.measure(a.alone)
	case subscriber:
		err = a.measure(func(n int, _ bool) error { return a.in.receive(a.checker, n*a.Cell.Publishers) })
	default:
		err = a.measure(func(n int, _ bool) error { return a.out.send(a.writer, n) })
	}
	if err == nil {
		err = a.checker.err
	}
	if err != nil {
		return fmt.Errorf("%v: actor %d: %w", a.Cell, a.Actor, err)
	}
	// Nobody goes before all are through: a server may still be answering.
	a.desk.reach(a.Actor, stateDone)
	return nil
}

// measure warms up and then does it with the clock running.
func (a *actor) measure(work func(n int, measured bool) error) error {
	if err := work(a.Warm, false); err != nil {
		return err
	}
	a.settle()
	a.desk.reach(a.Actor, stateWarm)
	a.waited, a.spun = meter{}, 0
	m := readMeter()
	a.place.start.Store(a.Clock.ticks())
	err := work(a.Count, true)
	a.place.end.Store(a.Clock.ticks())
	used := readMeter()
	a.waited.cpu += a.Clock.nanos(a.spun)
	a.place.settle(used.since(m).since(a.waited))
	a.place.messages.Store(uint64(a.Count))
	a.place.sum.Store(a.checker.sum)
	a.place.share.Store(a.checker.contest.share)
	a.place.contest.Store(a.checker.contest.count)
	a.place.until.Store(a.checker.contest.end)
	return err
}

// settle ends the warm-up, in which every word of a message is written and
// checked.
func (a *actor) settle() {
	a.writer.settle()
	a.checker.settle()
	if f, ok := a.in.(interface{ settle() }); ok {
		f.settle()
	}
}

// catchUp reads bursts.
func (a *actor) catchUp(n int, _ bool) error {
	for n > 0 {
		chunk := min(n, a.Cell.chunk())
		if err := a.in.receive(a.checker, chunk); err != nil {
			return err
		}
		n -= chunk
		a.place.read.Store(a.place.read.Load() + uint64(chunk)) // sync(burst.read): pairs with burst
	}
	return nil
}

// alone is a warm-up of all, after which only publisher 0 goes on.
func (a *actor) alone(n int, measured bool) error {
	subscriber := a.Actor == a.Cell.Publishers
	switch {
	case subscriber && !measured:
		return a.in.receive(a.checker, n*a.Cell.Publishers)
	case subscriber:
		a.checker.alone()
		return a.in.receive(a.checker, a.Settle+n)
	case !measured:
		return a.out.send(a.writer, n)
	case a.Actor > 0:
		return nil
	}
	if err := a.out.send(a.writer, a.Settle); err != nil {
		return err
	}
	a.place.start.Store(a.Clock.ticks())
	return a.out.send(a.writer, n)
}

// unsampled round trips after each barrier let both sides find their rhythm.
const unsampled = 16

func (a *actor) ping(n int, measured bool) error {
	for i := range n {
		t := a.Clock.ticks()
		if err := a.out.send(a.writer, 1); err != nil {
			return err
		}
		if err := a.in.receive(a.checker, 1); err != nil {
			return err
		}
		t = a.Clock.ticks() - t
		if measured && i >= unsampled {
			a.sample(i-unsampled, t)
		}
	}
	return nil
}

func (a *actor) echo(n int, _ bool) error {
	for range n {
		if err := a.in.receive(a.checker, 1); err != nil {
			return err
		}
		if err := a.out.send(a.writer, 1); err != nil {
			return err
		}
	}
	return nil
}

// sample records latency number i.
func (a *actor) sample(i int, ticks uint64) {
	if off := uint64(i) * sampleSize; off < a.samples.Len() {
		shm.Ref[shm.Word64](a.samples, off).Set(ticks)
		a.place.samples.Set(uint64(i) + 1)
	}
}

// watch reads messages that are due at fixed times and records how late each
// came.
func (a *actor) watch(n int, measured bool) error {
	for i := range n {
		if err := a.in.receive(a.checker, 1); err != nil {
			return err
		}
		if measured {
			// Another processor's counter may be a few ticks behind.
			late := max(int64(a.Clock.ticks()-a.checker.due), 0)
			a.sample(i, uint64(late))
		}
	}
	return nil
}

// pin binds the whole process to processors.
func pin(processors []int) error {
	var set unix.CPUSet
	for _, p := range processors {
		set.Set(p)
	}
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, t := range threads {
		var id int
		if _, err := fmt.Sscan(t.Name(), &id); err != nil {
			return err
		}
		if err := unix.SchedSetaffinity(id, &set); err != nil && err != unix.ESRCH {
			return fmt.Errorf("bench: pinning to processors %v: %w", processors, err)
		}
	}
	return nil
}

// mapDescriptor maps a memfd, its pages touched, for the life of the process.
func mapDescriptor(n int) ([]byte, error) {
	region, err := shm.FromFile(os.NewFile(uintptr(n), "descriptor"))
	if err != nil {
		return nil, fmt.Errorf("bench: descriptor %d: %w", n, err)
	}
	m, err := region.Map(true)
	if err != nil {
		return nil, err
	}
	if err := m.Populate(0, region.Size()); err != nil {
		return nil, err
	}
	return m.Bytes(), nil
}
