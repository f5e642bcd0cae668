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
	every = flag.Int("every", 0, "kill at every so-many-th boundary; 0: about 24 of each call")
	only  = flag.String("at", "", "kill at this boundary only: a number, with an s where it sleeps")
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
				t.Log(one.String())
				all.add(one)
			})
		}
	}
	t.Log("all: " + all.String())
}

// tally is what came of many kills.
type tally struct {
	instructions int
	kills        int
	missed       int
	violations   int
	progress     []time.Duration
	took         time.Duration
}

func (a *tally) add(b tally) {
	a.instructions += b.instructions
	a.kills += b.kills
	a.missed += b.missed
	a.violations += b.violations
	a.took += b.took
	a.progress = append(a.progress, b.progress...)
}

func (a *tally) String() string {
	if len(a.progress) == 0 {
		return fmt.Sprintf("%d boundaries, none reached", a.instructions)
	}
	slices.Sort(a.progress)
	slow := 0
	for _, d := range a.progress {
		if d > 100*time.Millisecond {
			slow++
		}
	}
	return fmt.Sprintf("%d boundaries, %d kills, %d not reached again, %d violations; survivors made progress after %v (median), %v (worst), %d later than 100 ms; %v",
		a.instructions, a.kills, a.missed, a.violations, a.progress[len(a.progress)/2].Round(time.Microsecond), a.progress[len(a.progress)-1].Round(time.Microsecond), slow, a.took.Round(time.Millisecond))
}

// enumerate records the scenario's call and kills at its boundaries.
func enumerate(t *testing.T, sc *scenario) tally {
	began := time.Now()
	tr := &trace{}
	onThread(t, func(w *worker) { w.first(t, sc, tr) })
	if t.Failed() {
		return tally{}
	}
	if os.Getenv("STEPS_PROFILE") != "" {
		m := map[string]int{}
		for _, a := range tr.address {
			f := runtime.FuncForPC(a)
			n := "vdso"
			if f != nil {
				n = f.Name()
			}
			m[n]++
		}
		var ks []string
		for k := range m {
			ks = append(ks, k)
		}
		slices.SortFunc(ks, func(a, b string) int { return m[b] - m[a] })
		for i, k := range ks {
			if i < 14 {
				t.Log(m[k], k)
			}
		}
	}
	kills := selection(t, tr)
	sum := tally{instructions: len(tr.boundaries())}
	var mu sync.Mutex
	var work sync.WaitGroup
	next := make(chan boundary)
	for cpu := range 2 {
		work.Go(func() {
			onThread(t, func(w *worker) {
				w.cpu = cpu
				for b := range next {
					o := w.kill(sc, tr, b)
					mu.Lock()
					sum.note(t, sc, tr, b, o)
					mu.Unlock()
				}
			})
			for range next { // the worker has no site
			}
		})
	}
	for _, b := range kills {
		next <- b
	}
	close(next)
	work.Wait()
	sum.took = time.Since(began)
	return sum
}

// note counts an outcome, and says what is wrong and how to see it again.
func (a *tally) note(t *testing.T, sc *scenario, tr *trace, b boundary, o outcome) {
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
	at := strconv.Itoa(b.k)
	if b.asleep {
		at += "s"
	}
	t.Errorf("killed at boundary %v of %s, at %s:\n\t%s\n\tagain: go test ./internal/steps -run 'TestEnumeratedDeath/%s$' -at %s -v",
		b, sc.name, place(tr.address[b.k]), strings.Join(o.problems, "\n\t"), sc.name, at)
}

// selection returns the boundaries to kill at.
func selection(t *testing.T, tr *trace) []boundary {
	all := tr.boundaries()
	if *only != "" {
		digits, asleep := strings.CutSuffix(*only, "s")
		k, err := strconv.Atoi(digits)
		b := boundary{k, asleep}
		if err != nil || !slices.Contains(all, b) {
			t.Fatalf("-at %s: the call has no such boundary: they are 0 to %d, and asleep at %v", *only, len(tr.address)-1, tr.slept)
		}
		return []boundary{b}
	}
	step := *every
	if step <= 0 {
		step = max(1, len(all)/24)
	}
	var list []boundary
	for i, b := range all {
		if i%step == 0 || b.asleep || i == len(all)-1 {
			list = append(list, b)
		}
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
		o = w.unharmed(sc, tr)
		if o.err != nil || try == 9 || !tr.preempted() {
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
func (w *worker) kill(sc *scenario, tr *trace, b boundary) (o outcome) {
	for range 3 {
		o = w.dieAt(sc, tr, b, b.k%2 == 1 || *only != "" && *every == 2)
		if len(o.problems) > 0 || o.err != nil && !errors.Is(o.err, errMissed) {
			// Somebody may still be storing into the old ring.
			if st, err := newSite(); err == nil {
				w.site = st
			}
		}
		if !errors.Is(o.err, errMissed) {
			break
		}
	}
	return o
}
