//go:build linux

package bench

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/shmbus/shmbus/shm"
)

// A publisher that waits for the time to publish, or for the subscribers to
// have caught up, does something that the mechanism would not. What that takes
// is measured and left out of processor time and switches.

// meter is what was used: nanoseconds of processors, context switches.
type meter struct{ cpu, switches int64 }

// readMeter reads what the process has used.
func readMeter() meter {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return meter{}
	}
	return meter{cpu: unix.TimevalToNsec(u.Utime) + unix.TimevalToNsec(u.Stime), switches: int64(u.Nvcsw) + int64(u.Nivcsw)}
}

// ownTime is what this thread has used of a processor, in nanoseconds. Its share
// of getrusage may be as old as the last tick.
func ownTime() int64 {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t) != nil {
		return 0
	}
	return unix.TimespecToNsec(t)
}

// ownSwitches is how often this thread has been switched.
func ownSwitches() int64 {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_THREAD, &u) != nil {
		return 0
	}
	return int64(u.Nvcsw) + int64(u.Nivcsw)
}

func (m meter) since(before meter) meter {
	return meter{cpu: m.cpu - before.cpu, switches: m.switches - before.switches}
}

// settle writes what the mechanism used.
func (p *place) settle(used meter) {
	p.cpu.Store(uint64(max(used.cpu, 0)))
	p.switches.Store(uint64(max(used.switches, 0)))
}

// wait does what is not the mechanism's work. It returns to the same thread, so
// that its use can be told. Reading that takes a microsecond or two, of which
// most is part of the wait too.
func (a *actor) wait(until func()) {
	runtime.LockOSThread()
	before := meter{cpu: ownTime(), switches: ownSwitches()}
	until()
	a.waited.switches += ownSwitches() - before.switches
	a.waited.cpu += ownTime() - before.cpu
	runtime.UnlockOSThread()
}

// nap sleeps, or is interrupted.
func nap(nanos int64) {
	ts := unix.NsecToTimespec(nanos)
	_ = unix.Nanosleep(&ts, nil) // interrupted: whoever naps looks again
}

// burst publishes a quarter of the ring at a time and then waits until it is
// read. Only the publishing counts.
func (a *actor) burst(n int, _ bool) error {
	subscriber := a.desk.place(a.Cell.Publishers)
	goal := subscriber.read.Load() // sync(burst.read): nobody reads yet
	var spent uint64
	for n > 0 {
		chunk := min(n, a.Cell.chunk())
		began := a.Clock.ticks()
		if err := a.out.send(a.writer, chunk); err != nil {
			return err
		}
		spent += a.Clock.ticks() - began
		n, goal = n-chunk, goal+uint64(chunk)
		a.wait(func() {
			for looks := 1; subscriber.read.Load() < goal; looks++ { // sync(burst.read): pairs with catchUp
				if looks%10_000 == 0 { // the subscriber may need this very processor
					nap(20_000)
				}
				shm.Pause(1)
			}
		})
	}
	a.place.spent.Store(spent)
	return nil
}

// A publisher that waits for the time to publish sleeps if it is far off, and
// spins for the rest, since no sleep is precise.
const (
	lead       = 5 * time.Millisecond // before the first message
	sleepFrom  = 300 * time.Microsecond
	sleepUntil = 150 * time.Microsecond
)

// pace publishes each message when it is due, or at once if that has passed.
func (a *actor) pace(n int, _ bool) error {
	interval := float64(a.Clock.span(int64(time.Second))) / float64(a.Cell.Rate)
	begin := a.Clock.ticks() + a.Clock.span(int64(lead))
	a.place.start.Store(begin)
	for i := range n {
		due := begin + uint64(float64(i)*interval)
		a.await(due)
		a.writer.due = due
		if err := a.out.send(a.writer, 1); err != nil {
			return err
		}
	}
	return nil
}

// await returns once due has come. What a sleep used is read before the rest is
// spun away, so that reading delays no message.
func (a *actor) await(due uint64) {
	left := func() int64 { return int64(due - a.Clock.ticks()) }
	ticks := left()
	if ticks <= 0 {
		return
	}
	if from := int64(a.Clock.span(int64(sleepFrom))); ticks > from {
		a.wait(func() {
			for ; ticks > from; ticks = left() {
				nap(a.Clock.nanos(uint64(ticks)) - int64(sleepUntil))
			}
		})
	}
	a.spun += a.spin(due)
}

// gap is the time between two readings of the clock after which a thread that
// spins has not been running in between.
const gap = 5 * time.Microsecond

// spin spins until due has come and returns for how long it ran. Reading the
// thread's own clock would take as long as there is between two messages: what
// is missing between two readings of the counter was somebody else's. A switch in
// between counts as the mechanism's.
func (a *actor) spin(due uint64) (ran uint64) {
	most := a.Clock.span(int64(gap))
	for last := a.Clock.ticks(); int64(due-last) > 0; {
		shm.Pause(1)
		now := a.Clock.ticks()
		if now-last < most {
			ran += now - last
		}
		last = now
	}
	return ran
}
