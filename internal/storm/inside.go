package storm

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"
)

// places are the failpoints inside the lock of a ring at which a publisher of
// each round stops itself, every time that it comes there.
var places = []string{"ring.locked", "ring.commit", "ring.revoking", "ring.claimed"}

// armed gives some publishers of the cast a place to stop at.
func (r *round) armed() {
	if r.config.FailpointProgram == "" {
		return
	}
	n := 0
	for i, s := range r.cast {
		r.cast[i].Bounded = true
		if len(s.Roles) == 1 && s.Roles[0].Kind == rolePublisher && n < 2 {
			place := places[(r.number+2*n)%len(places)]
			if place == "ring.claimed" {
				r.cast[i].Roles[0].Style = styleClaim
			}
			r.cast[i].Failpoint = place + "=stop"
			n++
		}
	}
}

// inside continues publishers that have stopped themselves. Now and then it first
// waits until somebody else's context has ended with an error that names the one
// who is stopped; meanwhile nobody may have taken its place.
func (r *round) inside() error {
	r.mu.Lock()
	victims := slices.DeleteFunc(r.alive(), func(p *process) bool { return p.spec.Failpoint == "" || p.doomed || p.stopped })
	r.mu.Unlock()
	for _, p := range victims {
		if state(p.pid()) != "T" {
			continue
		}
		r.mu.Lock()
		r.counts.Inside++
		r.mu.Unlock()
		if r.rng.IntN(10) == 0 && !strings.HasPrefix(p.spec.Failpoint, "ring.claimed") {
			if err := r.awaitNamed(p); err != nil {
				return err
			}
		}
		r.stops--
		if err := p.signal(syscall.SIGCONT); err != nil {
			return err
		}
	}
	return nil
}

// awaitNamed waits until a stalled call names the process that is stopped inside.
// Others may be stopped too, and name each other; all of them are continued.
func (r *round) awaitNamed(p *process) error {
	r.mu.Lock()
	r.stalls = nil
	r.mu.Unlock()
	name := fmt.Sprintf("%q", p.spec.Roles[0].name())
	// Nobody else may stand in the way: who is stopped elsewhere is continued.
	r.wakeSome(time.Now().Add(time.Hour))
	for {
		named := false
		err := r.await("a call to end with ErrStalled that names "+name, func() bool {
			named = slices.ContainsFunc(r.stalls, func(s string) bool { return strings.Contains(s, name) })
			return named || len(r.stalls) > 0 || p.exited
		})
		r.mu.Lock()
		r.stalls = nil
		if named {
			r.counts.Named++
		}
		r.mu.Unlock()
		if err != nil || named || p.exited {
			return err
		}
		// Somebody else was inside then, and stopped, too.
		for _, q := range r.others(p) {
			_ = q.signal(syscall.SIGCONT)
		}
	}
}

// others are the other publishers that stop themselves.
func (r *round) others(p *process) []*process {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(r.alive(), func(q *process) bool { return q == p || q.spec.Failpoint == "" })
}

// disarm kills those who stop themselves: nobody would continue them any more.
func (r *round) disarm() error {
	for _, p := range r.others(nil) {
		r.mu.Lock()
		p.doomed = true
		r.mu.Unlock()
		if err := p.signal(syscall.SIGKILL); err != nil {
			return err
		}
	}
	return nil
}
