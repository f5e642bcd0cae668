package steps

import (
	"errors"
	"flag"
	"fmt"
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
	if os.Getenv("SHMBUS_EMULATED") != "" {
		t.Skip("an emulator does not trace")
	}
	if !shm.HaveMembarrier() {
		t.Skip("without membarrier there are no biased rings")
	}
	var all tally
	for _, group := range []struct {
		name string
		list []*scenario
	}{{"publish", publishing}, {"contend", contending}, {"claim", claiming}, {"consume", consuming}, {"host", hosting}} {
		for _, sc := range group.list {
			t.Run(sc.name, func(t *testing.T) {
				one := enumerate(t, sc)
				t.Logf("%s: %s", sc.name, one.String())
				all.add(one)
			})
		}
	}
	t.Log("all: " + all.String())
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
	progress   []time.Duration
	took       time.Duration
}

func (a *tally) add(b tally) {
	a.boundaries += b.boundaries
	a.kills += b.kills
	a.missed += b.missed
	a.violations += b.violations
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

// enumerate records the scenario's call and kills at its boundaries.
func enumerate(t *testing.T, sc *scenario) tally {
	began := time.Now()
	tr := &trace{}
	onThread(t, func(w *worker) { w.first(t, sc, tr) })
	if t.Failed() {
		return tally{}
	}
	kills := selection(t, sc, tr)
	sum := tally{boundaries: len(tr.boundaries(sc.skip))}
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
func selection(t *testing.T, sc *scenario, tr *trace) (list []death) {
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
	if most := 40; len(list) > most {
		thin := (len(list) + most - 1) / most
		for i := range list {
			if i%thin == 0 {
				list[i/thin] = list[i]
			}
		}
		list = list[:(len(list)+thin-1)/thin]
	}
	return list
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
// lets the victim die at its end.
func (w *worker) first(t *testing.T, sc *scenario, tr *trace) {
	var o outcome
	for try := 0; ; try++ {
		*tr = trace{}
		o = w.unharmed(sc, tr)
		if try == 9 || !errors.Is(o.err, errMissed) && (o.err != nil || !tr.preempted()) {
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
