package storm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/shmbus/shmbus/bus"
)

// hunt kills whoever is the host, again and again, and measures how long it takes
// until somebody new can join. Everybody else goes on.
func (r *round) hunt() error {
	for r.kills > 0 {
		if r.failed() {
			return errFailed
		}
		r.wakeSome(time.Now())
		p, err := r.findHost()
		if err != nil {
			return err
		}
		if r.stops > 0 && r.rng.IntN(4) == 0 {
			if err := r.stop([]*process{p}); err != nil {
				return err
			}
		}
		at := time.Now()
		if err := r.kill([]*process{p}, p.pid()); err != nil {
			return err
		}
		joined, err := r.join(p.pid())
		if err != nil {
			return err
		}
		r.mu.Lock()
		r.joins = append(r.joins, joined.Sub(at))
		r.mu.Unlock()
		if late := joined.Sub(at); late > time.Second {
			r.explain(p, at, late)
		}
	}
	r.wakeSome(time.Now().Add(time.Hour))
	return nil
}

// explain logs what everybody said while a newcomer had to wait for so long.
func (r *round) explain(dead *process, at time.Time, late time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.config.logf("%v from the death of host %s at %s to the next newcomer:", late, dead, at.Format(time.RFC3339Nano))
	for _, p := range r.alive() {
		r.config.logf("  %s, stopped %t: %s", p, p.stopped, p.errs)
	}
}

// findHost waits until one of the children that may be killed is the host.
func (r *round) findHost() (host *process, err error) {
	for host == nil {
		pid := r.dir.HostPID()
		err := r.await("a host", func() bool { pid = r.dir.HostPID(); return pid != 0 })
		if err != nil {
			return nil, err
		}
		r.mu.Lock()
		for p := range r.processes {
			if p.pid() == pid && !p.doomed && p.ready {
				host = p
			}
		}
		r.mu.Unlock()
		if host == nil {
			time.Sleep(time.Millisecond)
		}
	}
	return host, nil
}

// join joins the bus as a newcomer would, and returns when it has got a slot.
// Whoever served it holds the lock of the host, and is not the dead one.
func (r *round) join(dead int) (time.Time, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	topic := r.topics[0].Topic
	for {
		b, err := bus.Open(ctx, bus.Config{Dir: r.root, Name: busName, NeverHost: true})
		if err == nil {
			var s *bus.Subscriber
			if s, err = b.Subscriber(ctx, topic, bus.SubscriberConfig{Mode: bus.Lossy, NoWait: true}); err == nil {
				at := time.Now()
				info, hostErr := b.Host(ctx)
				if hostErr == nil && info.PID == dead {
					err = fmt.Errorf("pid %d serves after its death", dead)
				}
				return at, errors.Join(err, s.Close(), b.Close())
			}
			err = errors.Join(err, b.Close())
		}
		if !passing(err) {
			r.mu.Lock()
			r.problem("a newcomer after the death of the host: %v", err)
			r.mu.Unlock()
			return time.Time{}, errFailed
		}
	}
}

// aim makes one kind of process the hosts of a round: those with publishers, those
// with subscribers, or those with neither.
func (r *round) aim() {
	kind := []string{rolePublisher, roleSubscriber, ""}[r.number%3]
	for i, s := range r.cast {
		r.cast[i].NeverHost = kind == "" || !slices.ContainsFunc(s.Roles, func(x Role) bool { return x.Kind == kind })
	}
	if kind == "" {
		r.cast = append(r.cast, Spec{}, Spec{})
	} else {
		// The warden of the round before would serve for ever.
		r.mu.Lock()
		for p := range r.processes {
			if p != r.keeper {
				p.doomed = true
				_ = p.signal(syscall.SIGKILL)
			}
		}
		r.mu.Unlock()
	}
}

// Percentiles says how long joins took.
func Percentiles(all []time.Duration) string {
	if len(all) == 0 {
		return "no joins"
	}
	all = slices.Clone(all)
	slices.Sort(all)
	at := func(p float64) time.Duration {
		return all[min(len(all)-1, int(p*float64(len(all))))].Round(time.Millisecond / 10)
	}
	late := len(all) - len(slices.DeleteFunc(slices.Clone(all), func(d time.Duration) bool { return d > time.Second }))
	return fmt.Sprintf("a newcomer joined after p50 %v, p90 %v, p99 %v, p99.9 %v, at worst %v; %d of %d needed more than 1 s",
		at(0.5), at(0.9), at(0.99), at(0.999), all[len(all)-1].Round(time.Millisecond/10), late, len(all))
}
