package steps

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/shmbus/shmbus/shm"
)

var (
	every = flag.Int("every", 0, "kill at every so-many-th boundary; 0: where the ring has just changed, and in sleeps")
	only  = flag.String("at", "", "kill at this boundary only, as a violation names it")
)

// TestEnumeratedDeath kills participants between two instructions of each
// call: at each boundary with -every 1.
func TestEnumeratedDeath(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector's instructions are not the ring's")
	}
	if emulated() {
		t.Skip("an emulator does not trace")
	}
	if !shm.HaveMembarrier() {
		t.Skip("without membarrier there are no biased rings")
	}
	scenes := slices.Concat(publishing, contending, claiming, consuming, hosting)
	part := &reduced{kills: fewKills, scenes: len(scenes)}
	if end, ok := t.Deadline(); ok {
		part.until = time.Now().Add(time.Until(end) / 8)
	}
	if *every == 0 {
		// Where the time is over before the end, it is not always the same
		// that are left.
		rand.Shuffle(len(scenes), func(i, j int) { scenes[i], scenes[j] = scenes[j], scenes[i] })
	}
	var all tally
	for _, sc := range scenes {
		t.Run(sc.name, func(t *testing.T) {
			if all.hung {
				t.Skip("a participant hung before")
			}
			if part.over() {
				t.Skip("an eighth of the time that go test gives is over: this machine is too slow for all situations")
			}
			one := enumerate(t, sc, part)
			t.Logf("%s: %s", sc.name, one.String())
			all.add(one)
		})
	}
	t.Log("all: " + all.String())
}

// emulated reports whether an emulator runs this program, as make test-arm64 does.
func emulated() bool { return os.Getenv("SHMBUS_EMULATED") != "" }

// fewKills is how many kills there are where not every boundary is asked for:
// what such a run costs does not grow with the calls and their instructions.
const fewKills = 1200

// reduced is what is left of a run that does not kill at every boundary.
type reduced struct {
	kills  int
	scenes int // not yet played
	until  time.Time
}

// over reports whether the run's share of the time is over.
func (r *reduced) over() bool {
	return *every == 0 && !r.until.IsZero() && time.Now().After(r.until)
}

// take thins the deaths of one scene out to its share; what it does not need is
// the others'.
func (r *reduced) take(list []death) []death {
	most := max(r.kills/r.scenes, 2)
	r.scenes--
	if n := len(list); n > most {
		for i := range most {
			list[i] = list[i*(n-1)/(most-1)] // the first and the last among them
		}
		list = list[:most]
	}
	r.kills -= len(list)
	return list
}

// workers are more than processors: a victim spends most of its life waiting
// for the kernel to register it for barriers.
const workers = 8

// tally is what came of many kills.
type tally struct {
	boundaries int
	kills      int
	missed     int
	violations int
	hung       bool
	progress   []time.Duration
	took       time.Duration
}

func (a *tally) add(b tally) {
	a.boundaries += b.boundaries
	a.kills += b.kills
	a.missed += b.missed
	a.violations += b.violations
	a.hung = a.hung || b.hung
	a.took += b.took
	a.progress = append(a.progress, b.progress...)
}

func (a *tally) String() string {
	if len(a.progress) == 0 {
		return fmt.Sprintf("%d boundaries, none reached", a.boundaries)
	}
	slices.Sort(a.progress)
	slow := 0
	for _, d := range a.progress {
		if d > 100*time.Millisecond {
			slow++
		}
	}
	return fmt.Sprintf("%d boundaries, %d kills, %d not reached again, %d violations; survivors made progress after %v (median), %v (worst), %d later than 100 ms; %v",
		a.boundaries, a.kills, a.missed, a.violations, a.progress[len(a.progress)/2].Round(time.Microsecond), a.progress[len(a.progress)-1].Round(time.Microsecond), slow, a.took.Round(time.Millisecond))
}

// enumerate records the scenario's call and kills at its boundaries. The first
// participant that hangs is the last: each one takes long to notice.
func enumerate(t *testing.T, sc *scenario, part *reduced) tally {
	began := time.Now()
	tr := &trace{}
	var sum tally
	onThread(t, func(w *worker) { sum.hung = w.first(t, sc, tr) })
	if t.Failed() {
		return sum
	}
	kills := selection(t, sc, tr, part)
	sum.boundaries = len(tr.boundaries(sc.skip))
	var mu sync.Mutex
	var work sync.WaitGroup
	next := make(chan death)
	for cpu := range workers {
		work.Go(func() {
			onThread(t, func(w *worker) {
				w.cpu = cpu
				for d := range next {
					o := w.kill(sc, tr, d)
					mu.Lock()
					sum.note(t, sc, tr, d, o)
					mu.Unlock()
				}
			})
			for range next { // the worker has no site
			}
		})
	}
	for _, d := range kills {
		mu.Lock()
		hung := sum.hung
		mu.Unlock()
		if hung {
			break
		}
		next <- d
	}
	close(next)
	work.Wait()
	sum.took = time.Since(began)
	return sum
}

// note counts an outcome, and says what is wrong and how to see it again.
func (a *tally) note(t *testing.T, sc *scenario, tr *trace, d death, o outcome) {
	if errors.Is(o.err, errMissed) {
		a.missed++
		return
	}
	a.kills++
	a.hung = a.hung || o.hung
	if o.err != nil {
		o.problems = append(o.problems, o.err.Error())
	} else {
		a.progress = append(a.progress, o.progress)
	}
	if len(o.problems) == 0 {
		return
	}
	if a.violations++; a.violations > 20 {
		return
	}
	t.Errorf("killed at boundary %s of %s, at %s:\n\t%s\n\tagain: go test ./internal/steps -run 'TestEnumeratedDeath/^%s$' -at %s -v",
		d, sc.name, place(tr.address[d.k]), strings.Join(o.problems, "\n\t"), sc.name, d)
}

// death is where a victim dies, and whether a survivor is publishing then.
type death struct {
	boundary
	beside bool
}

// String is what -at takes.
func (d death) String() string {
	s := strconv.Itoa(d.k)
	if d.asleep {
		s += "s"
	}
	if d.beside {
		s += "b"
	}
	return s
}

// selection returns the deaths to die. With every 1 these are all boundaries;
// those at which the ring has just changed twice, with a survivor publishing
// and without.
func selection(t *testing.T, sc *scenario, tr *trace, part *reduced) (list []death) {
	all := tr.boundaries(sc.skip)
	if *only != "" {
		for _, b := range all {
			for _, d := range []death{{b, false}, {b, true}} {
				if d.String() == *only {
					return []death{d}
				}
			}
		}
		t.Fatalf("-at %s: the call has no such boundary: they are %v to %v, with an s where it sleeps, with a b where a survivor is publishing", *only, all[0], all[len(all)-1])
	}
	if *every > 0 {
		for i, b := range all {
			if i%*every == 0 || i == len(all)-1 {
				list = append(list, death{b, b.k%2 == 1})
			}
			if *every == 1 && !b.asleep && slices.Contains(tr.stores, b.k) {
				list = append(list, death{b, b.k%2 == 0})
			}
		}
		return list
	}
	for i, b := range all {
		if i == 0 || i == len(all)-1 || b.asleep || slices.Contains(tr.stores, b.k) {
			list = append(list, death{b, len(list)%2 == 1})
		}
	}
	return part.take(list)
}

// onThread runs f with a worker, in a thread of its own that ends with it.
func onThread(t *testing.T, f func(w *worker)) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: its affinity is not for others
		st, err := newSite()
		if err != nil {
			t.Error(err)
			return
		}
		w := &worker{site: st}
		defer func() { w.site.close() }()
		f(w)
	}()
	<-done
}

// first records the call, checks that it went the way the scenario means, and
// lets the victim die at its end. It reports whether somebody hung.
func (w *worker) first(t *testing.T, sc *scenario, tr *trace) bool {
	const tries = 10
	var o outcome
	for try := range tries {
		w.last = try == tries-1
		*tr = trace{}
		if o = w.unharmed(sc, tr); o.err == nil && !w.last && !w.comesAgain(sc, tr) {
			continue
		}
		if !errors.Is(o.err, errMissed) {
			break
		}
	}
	switch {
	case errors.Is(o.err, unix.EPERM) && *every == 0:
		t.Skipf("this system does not let a process trace its children: %v", o.err)
	case o.err != nil:
		t.Errorf("%s, unharmed: %v", sc.name, o.err)
	}
	for _, p := range o.problems {
		t.Errorf("%s, killed behind its end: %s", sc.name, p)
	}
	return o.hung
}

// comesAgain reports whether other victims go the recorded way: to where the
// worker acts last, and to the end. In a recording the runtime may have slept
// once more than it does otherwise, because a thread that is stepped through is
// slow.
func (w *worker) comesAgain(sc *scenario, tr *trace) bool {
	places := []int{len(tr.address) - 1}
	if n := len(tr.acts); n > 0 {
		places = append(places, tr.acts[n-1])
	}
	for _, k := range places {
		d := death{boundary: boundary{k: k}}
		if o := w.dieAt(sc, tr, d); !errors.Is(o.err, errMissed) {
			continue
		}
		if o := w.dieAt(sc, tr, d); errors.Is(o.err, errMissed) {
			return false
		}
	}
	return true
}

func (w *worker) unharmed(sc *scenario, tr *trace) (o outcome) {
	defer w.finish(&o)
	s, err := w.stage(sc, tr)
	if err == nil {
		err = w.record(s, tr)
	}
	if err == nil && sc.verify != nil {
		err = sc.verify(s)
	}
	if o.err = err; err == nil {
		w.die(s, 0, false, &o)
	}
	return o
}

// kill plays one boundary, again where the process went another way.
func (w *worker) kill(sc *scenario, tr *trace, d death) (o outcome) {
	for range 8 {
		o = w.dieAt(sc, tr, d)
		if !errors.Is(o.err, errMissed) {
			break
		}
	}
	return o
}
