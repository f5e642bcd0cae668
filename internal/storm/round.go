package storm

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/shmbus/shmbus/bus"
)

// A round is what happens between two times at which nothing is left behind.
type round struct {
	*arena
	number int
	kills  int // still to be done
	stops  int
	topics []Role // the keeper's subscribers
	cast   []Spec // what a victim may be; those who die are followed by the same
	wakes  []wake
	lie    string // not yet told to anybody
}

// wake is somebody who is stopped, and until when.
type wake struct {
	p  *process
	at time.Time
}

// runRound does a round with so many kills and stops.
func (a *arena) runRound(number, kills, stops int) error {
	a.mu.Lock()
	a.newRound()
	a.rng = a.config.rng(a.index, number)
	a.mu.Unlock()
	r := &round{arena: a, number: number, kills: kills, stops: stops}
	if number == 0 && a.index == 0 {
		r.lie = a.config.Break
	}
	if err := r.prepare(); err != nil {
		return err
	}
	blows := r.chaos
	if a.config.Hosts {
		blows = r.hunt
	}
	if err := blows(); err != nil {
		return err
	}
	if err := r.lied(); err != nil {
		return err
	}
	if err := r.settle(); err != nil {
		return err
	}
	r.judge()
	if a.failed() {
		return errFailed
	}
	return nil
}

// lied waits, while publishers go on, until the liar of the round has lied.
func (r *round) lied() error {
	if r.number != 0 || r.index != 0 || r.config.Break == "" {
		return nil
	}
	return r.await("the liar to lie", func() bool { return r.counts.Lies > 0 })
}

// prepare chooses what the round is made of, and starts it.
func (r *round) prepare() error {
	r.plan()
	r.armed()
	return r.start()
}

// start makes the topics and starts the cast.
func (r *round) start() error {
	for _, t := range r.topics {
		r.histories[t.Topic] = &History{Topic: t.Topic, Publishers: map[uint32]*PublisherLog{}}
	}
	r.note(r.topics)
	r.mu.Lock()
	r.keeper.ready = false
	r.mu.Unlock()
	if err := r.keeper.order(command{Do: commandTopics, Roles: r.topics}); err != nil {
		return err
	}
	if err := r.await("the keeper to make the topics", func() bool { return r.keeper.ready }); err != nil {
		return err
	}
	if r.config.Hosts {
		r.aim()
	}
	for _, s := range r.cast {
		if _, err := r.arena.spawn(r.incarnate(s)); err != nil {
			return err
		}
	}
	return nil
}

var waits = []bus.WaitStrategy{bus.Adaptive, bus.Adaptive, bus.Park, bus.Spin}

// plan chooses topics and cast.
func (r *round) plan() {
	g := r.rng
	topics := 1 + g.IntN(2)
	if r.config.FailpointProgram != "" || r.lie != "" {
		topics = 1 // all in each other's way; a liar has something to lie about
	}
	for i := range topics {
		r.topics = append(r.topics, Role{ID: r.newID(), Kind: roleSubscriber, Topic: fmt.Sprintf("r%d-%d", r.number, i),
			Capacity: 4 << 10 << (2 * g.IntN(5)), Earliest: true, Wait: waits[g.IntN(3)]})
	}
	style := g.IntN(len(styles))
	for i := range 3 {
		r.cast = append(r.cast, Spec{Roles: []Role{r.publisherRole(styles[(style+i)%len(styles)])}})
	}
	// A process with several participants: its death is the death of all.
	r.cast = append(r.cast, Spec{Roles: []Role{r.publisherRole(styles[(style+3)%len(styles)]), r.subscriberRole(g.IntN(2) == 0), r.subscriberRole(true)}})
	r.cast = append(r.cast, Spec{Roles: []Role{r.subscriberRole(false)}}, Spec{Roles: []Role{r.subscriberRole(true)}},
		Spec{Roles: []Role{{Kind: roleChurner, Wait: waits[g.IntN(3)]}}}, Spec{Roles: []Role{{Kind: roleChurner}}})
	for i := range r.cast {
		r.cast[i].NeverHost = g.IntN(3) == 0 || r.config.Steady
	}
}

func (r *round) topic() string { return r.topics[r.rng.IntN(len(r.topics))].Topic }

func (r *round) publisherRole(style string) Role {
	return Role{Kind: rolePublisher, Topic: r.topic(), Style: style, Hot: r.rng.IntN(3) == 0}
}

func (r *round) subscriberRole(lossy bool) Role {
	s := Role{Kind: roleSubscriber, Topic: r.topic(), Lossy: lossy, Wait: waits[r.rng.IntN(len(waits))],
		Slow: r.rng.IntN(2) == 0, Earliest: r.rng.IntN(2) == 0}
	if !lossy && r.rng.IntN(4) == 0 && r.lie == "" {
		s.MaxLag = 1 + r.rng.Uint64N(100)
	}
	return s
}

// incarnate gives a member of the cast fresh identities.
func (r *round) incarnate(s Spec) Spec {
	s.Roles = slices.Clone(s.Roles)
	s.Seed = r.rng.Uint64()
	for i := range s.Roles {
		s.Roles[i].ID = r.newID()
	}
	if r.config.Clocks && r.rng.IntN(3) == 0 {
		s.Clock = 1 + r.rng.Int64N(1<<20)
	}
	if r.lie != "" && r.fits(s) {
		s.Break, s.BreakAt, r.lie = r.lie, 3, ""
	}
	return s
}

// fits reports whether s can tell the lie.
func (r *round) fits(s Spec) bool {
	if len(s.Roles) != 1 {
		return false
	}
	role := s.Roles[0]
	if r.lie == breakAck {
		return role.Kind == rolePublisher && role.Style != styleShared
	}
	return role.Kind == roleSubscriber && !role.Lossy && role.MaxLag == 0
}

// chaos kills, stops and continues until there has been enough of it.
func (r *round) chaos() error {
	for r.kills > 0 || r.stops > 0 {
		if r.failed() {
			return errFailed
		}
		r.wakeSome(time.Now())
		if err := r.inside(); err != nil {
			return err
		}
		victims := r.victims()
		switch {
		case len(victims) == 0:
		case r.stops > 0 && (r.kills == 0 || r.rng.IntN(r.kills+r.stops) < r.stops):
			if err := r.stop(victims); err != nil {
				return err
			}
		default:
			if err := r.kill(victims, r.dir.HostPID()); err != nil {
				return err
			}
		}
		time.Sleep(some(r.rng, r.pause()))
	}
	r.wakeSome(time.Now().Add(time.Hour))
	return r.disarm()
}

// pause is the longest time between two blows.
func (r *round) pause() time.Duration {
	if r.kills == 0 {
		return 4 * time.Millisecond
	}
	return 16 * time.Millisecond
}

// victims are those who may be killed now: mostly those that have attached, now
// and then somebody on the way.
func (r *round) victims() []*process {
	early := r.rng.IntN(6) == 0
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(r.alive(), func(p *process) bool {
		return p == r.keeper || r.config.Steady && len(p.spec.Roles) == 0 || p.spec.Break != "" || p.doomed || p.exited || !(early || p.ready && p.told > len(p.spec.Roles)+1 || p.ready && len(p.spec.Roles) == 0)
	})
}

// kill kills one, sometimes two or three at once, and starts their successors.
// host is the pid of the host, if that is known.
func (r *round) kill(victims []*process, host int) error {
	n := 1
	if r.rng.IntN(8) == 0 {
		n = 1 + r.rng.IntN(3)
	}
	r.rng.Shuffle(len(victims), func(i, j int) { victims[i], victims[j] = victims[j], victims[i] })
	victims = victims[:min(n, len(victims), r.kills)]
	for _, p := range victims {
		r.mu.Lock()
		p.doomed = true
		r.counts.Kills++
		if p.pid() == host {
			r.counts.HostKills++
		}
		r.mu.Unlock()
		if err := p.signal(syscall.SIGKILL); err != nil {
			return err
		}
		r.kills--
	}
	for _, p := range victims {
		s := p.spec
		s.Break = ""
		if _, err := r.arena.spawn(r.incarnate(s)); err != nil {
			return err
		}
	}
	return nil
}

// stop stops somebody for a while, the keeper as well. Many kills hit somebody
// who is stopped.
func (r *round) stop(victims []*process) error {
	p := victims[r.rng.IntN(len(victims))]
	if r.rng.IntN(8) == 0 {
		p = r.keeper
	}
	if p.stopped {
		return nil
	}
	if err := p.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	r.mu.Lock()
	p.stopped = true
	r.counts.Stops++
	r.mu.Unlock()
	r.stops--
	r.wakes = append(r.wakes, wake{p, time.Now().Add(some(r.rng, shortly))})
	return nil
}

// wakeSome continues those whose time has come.
func (r *round) wakeSome(now time.Time) {
	r.wakes = slices.DeleteFunc(r.wakes, func(w wake) bool {
		if w.at.After(now) {
			return false
		}
		r.mu.Lock()
		w.p.stopped = false
		r.mu.Unlock()
		_ = w.p.signal(syscall.SIGCONT) // it may be dead meanwhile
		return true
	})
}

// settle lets everybody come to the end: publishers leave, the keeper marks, and
// all subscribers come to the mark. One warden stays, to be the host.
func (r *round) settle() error {
	warden, err := r.heir()
	if err != nil {
		return err
	}
	r.mu.Lock()
	all := r.alive()
	for _, p := range all {
		p.leaving = p != r.keeper && p != warden
	}
	r.mu.Unlock()
	for _, p := range all {
		if p.leaving && len(p.spec.Roles) > 0 {
			p.input.Close()
		}
	}
	err = r.await("everybody to join and publishers to leave", func() bool {
		return !slices.ContainsFunc(all, func(p *process) bool { return !p.exited && !r.quiet(p) })
	})
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.keeper.ready = false
	r.mu.Unlock()
	if err := r.keeper.order(command{Do: commandMark}); err != nil {
		return err
	}
	if err := r.await("the keeper to come to the marks", func() bool { return r.keeper.ready }); err != nil {
		return err
	}
	err = r.await("all subscribers to come to the mark", func() bool {
		return !slices.ContainsFunc(all, func(p *process) bool { return p.leaving && len(p.spec.Roles) > 0 && !p.exited })
	})
	if err != nil {
		return err
	}
	for _, p := range all { // other wardens, so that the one left is the host
		if p.leaving && !p.exited {
			p.input.Close()
		}
	}
	return r.await("the other wardens to leave", func() bool { return len(r.processes) == 2 })
}

// heir is the warden that will be the host when all others have left.
func (r *round) heir() (*process, error) {
	if r.config.Steady {
		r.mu.Lock()
		defer r.mu.Unlock()
		for p := range r.processes {
			if len(p.spec.Roles) == 0 && !p.spec.Keeper {
				return p, nil
			}
		}
	}
	return r.arena.spawn(Spec{Seed: r.rng.Uint64()})
}

// quiet reports whether p's publishers have left and its subscribers are
// attached. mu is held.
func (r *round) quiet(p *process) bool {
	if !p.ready {
		return false
	}
	for _, role := range p.spec.Roles {
		if role.Kind == rolePublisher && !p.left[role.ID] {
			return false
		}
	}
	return p.spec.Keeper || len(p.spec.Roles) == 0 || p.exited || !slices.ContainsFunc(p.spec.Roles, func(x Role) bool { return x.Kind == roleChurner })
}

// judge compares the histories and looks for what was left behind.
func (r *round) judge() {
	r.mu.Lock()
	for _, name := range r.names() {
		h := r.histories[name]
		r.problems = append(r.problems, Check(h)...)
		r.counts.Topics++
		r.counts.Published += uint64(len(h.Anchor.Got))
		r.counts.Delivered += uint64(len(h.Anchor.Got))
		for _, p := range h.Publishers {
			r.counts.Acknowledged += uint64(p.Acked)
		}
		for _, s := range h.Subscribers {
			r.counts.Delivered += uint64(len(s.Got))
		}
	}
	r.counts.Rounds++
	failed := len(r.problems) > 0
	r.mu.Unlock()
	if !failed {
		r.leaks()
	}
}

func (r *round) names() []string {
	var names []string
	for name := range r.histories {
		if !strings.HasPrefix(name, "churn-") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
