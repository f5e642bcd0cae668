package storm

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/shmbus/shmbus/control"
)

// An arena is one bus, its keeper, and the processes that are killed on it.
// Everything below mu is guarded by it; one goroutine controls, one each follows
// a child.
type arena struct {
	config Config
	index  int
	root   string // holds the directory of the bus
	dir    *control.BusDir
	fenced bool
	rng    *rand.Rand // of the present round

	mu        sync.Mutex
	progress  uint64 // grows with everything that is heard
	changed   chan struct{}
	processes map[*process]struct{} // those that have not ended
	keeper    *process
	histories map[string]*History
	readers   map[uint32]*SubscriberLog
	writers   map[uint32]*PublisherLog
	stalls    []string // what ErrStalled said, since somebody last asked
	lastID    uint32
	problems  []string
	counts    Counts
	baseline  *baseline
	joins     []time.Duration
	held      []Held // after each round
	closing   bool   // what is heard from now on counts no more
}

// Counts are what a storm has done.
type Counts struct {
	Kills, HostKills, Stops, Starts int
	Rounds, Topics                  int
	Published                       uint64 // messages that the anchors were given
	Acknowledged                    uint64
	Delivered                       uint64 // to all
	Stalled, Detached, Turns        int
	Inside                          int // stops at a place inside the lock
	Named                           int // of these, waited out until an ErrStalled named the one who was stopped
	Lies                            int // told by the children that Config.Break made lie
}

func (c *Counts) add(d Counts) {
	c.Kills += d.Kills
	c.HostKills += d.HostKills
	c.Stops += d.Stops
	c.Starts += d.Starts
	c.Rounds += d.Rounds
	c.Topics += d.Topics
	c.Published += d.Published
	c.Acknowledged += d.Acknowledged
	c.Delivered += d.Delivered
	c.Stalled += d.Stalled
	c.Detached += d.Detached
	c.Turns += d.Turns
	c.Inside += d.Inside
	c.Named += d.Named
	c.Lies += d.Lies
}

// openArena makes the directory and starts the keeper and its first host.
func openArena(c Config, index int) (*arena, error) {
	a := &arena{
		config: c, index: index, fenced: c.Fenced == FencedAll || c.Fenced == FencedHalf && index%2 == 1,
		changed: make(chan struct{}), processes: map[*process]struct{}{},
	}
	a.newRound()
	a.rng = c.rng(index, -1)
	var err error
	if a.root, err = os.MkdirTemp("", "storm"); err != nil {
		return nil, err
	}
	if a.dir, err = control.OpenBusDir(a.root, busName, control.DirOptions{Create: true}); err != nil {
		return nil, errors.Join(err, os.RemoveAll(a.root))
	}
	warden, err := a.spawn(Spec{})
	if err == nil {
		err = a.await("the first host to serve", func() bool { return warden.ready })
	}
	if err == nil {
		a.keeper, err = a.spawn(Spec{Keeper: true, NeverHost: true})
	}
	if err == nil {
		err = a.await("the keeper to join", func() bool { return a.keeper.ready })
	}
	if err != nil {
		return nil, errors.Join(append([]error{err}, a.told(), a.close())...)
	}
	return a, nil
}

// newRound forgets the histories of the last one.
func (a *arena) newRound() {
	a.histories, a.readers, a.writers = map[string]*History{}, map[uint32]*SubscriberLog{}, map[uint32]*PublisherLog{}
}

// close ends all processes.
func (a *arena) close() error {
	a.mu.Lock()
	a.closing = true
	all := a.alive()
	for _, p := range all {
		p.doomed = true
	}
	a.mu.Unlock()
	for _, p := range all {
		_ = p.signal(syscall.SIGKILL)
		<-p.gone
	}
	if a.dir != nil {
		a.dir.Close()
	}
	return os.RemoveAll(a.root)
}

// alive are the processes that have not ended, in the order of their start. mu
// is held.
func (a *arena) alive() []*process {
	var all []*process
	for p := range a.processes {
		all = append(all, p)
	}
	slices.SortFunc(all, func(p, q *process) int { return p.began.Compare(q.began) })
	return all
}

// newID names a participant, leaving room for a second one behind it.
func (a *arena) newID() uint32 {
	a.lastID += 2
	return a.lastID
}

// spawn starts a child of this arena and notes what its roles will tell of.
func (a *arena) spawn(s Spec) (*process, error) {
	s.Dir, s.Fenced = a.root, a.fenced
	if s.Seed == 0 {
		s.Seed = a.rng.Uint64()
	}
	a.note(s.Roles)
	program := a.config.Program
	if s.Failpoint != "" {
		program = a.config.FailpointProgram
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	p, err := start(program, s, a.event, a.report, a.end)
	if err != nil {
		return nil, fmt.Errorf("storm: start of a child: %w", err)
	}
	a.processes[p] = struct{}{}
	a.counts.Starts++
	return p, nil
}

// note makes the logs of roles.
func (a *arena) note(roles []Role) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range roles {
		h := a.histories[r.Topic]
		switch r.Kind {
		case rolePublisher:
			for _, id := range r.ids() {
				log := &PublisherLog{}
				h.Publishers[id], a.writers[id] = log, log
			}
		case roleSubscriber:
			log := &SubscriberLog{ID: r.ID, Lossy: r.Lossy}
			a.readers[r.ID] = log
			if h.Anchor == nil {
				h.Anchor = log // the keeper comes first
			} else {
				h.Subscribers = append(h.Subscribers, log)
			}
		}
	}
}

// heard wakes whoever awaits something. mu is held.
func (a *arena) heard(p *process) {
	p.told++
	a.progress++
}

// tellChange wakes await. mu is held.
func (a *arena) tellChange() {
	close(a.changed)
	a.changed = make(chan struct{})
}

// event notes what a child told. Any goroutine.
func (a *arena) event(p *process, e event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.heard(p)
	switch e.kind {
	case eventGot:
		if log := a.readers[e.participant]; log != nil {
			log.Got = append(log.Got, Got{Sequence: e.a, Publisher: uint32(e.b >> 32), Index: uint32(e.b), Lost: uint32(e.c)})
			log.Marked = log.Marked || uint32(e.b>>32) == marker
			return
		}
	case eventMay, eventAck:
		if log := a.writers[e.participant]; log != nil {
			if e.kind == eventMay {
				log.May = uint32(e.a)
			} else {
				log.Acked = uint32(e.a)
			}
			return
		}
	}
	a.problem("%s tells of a participant %d that it is not", p, e.participant)
}

// report notes what a child told in words. Any goroutine.
func (a *arena) report(p *process, r Report) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.heard(p)
	defer a.tellChange()
	log := a.readers[r.Participant]
	switch r.Kind {
	case reportReady:
		p.ready = true
	case reportUp:
		if log != nil {
			log.Up, log.Start = true, r.Start
		}
	case reportEnd:
		if log != nil {
			log.Complete, log.Stats = true, r
		}
	case reportLeft:
		p.left[r.Participant] = true
	case reportUsage:
		p.last = &r
	case reportStalled:
		a.counts.Stalled++
		a.stalls = append(a.stalls, r.Text)
	case reportLie:
		a.counts.Lies++
	case reportNote:
		if r.Text == "turn" {
			a.counts.Turns++
		} else {
			a.counts.Detached++
		}
	case reportViolation:
		a.problem("%s: participant %d: %s", p, r.Participant, r.Text)
	default:
		a.problem("%s: a report of kind %q", p, r.Kind)
	}
}

// end notes the end of a child. Any goroutine.
func (a *arena) end(p *process, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p.exited = true
	delete(a.processes, p)
	a.progress++
	var exit *exec.ExitError
	switch {
	case p.doomed && (err == nil || errors.As(err, &exit)):
	case err != nil:
		a.problem("%s ended: %v\n%s", p, err, p.errs)
	case !p.leaving:
		a.problem("%s ended by itself\n%s", p, p.errs)
	}
	a.tellChange()
}

// problem notes what must not be. mu is held.
func (a *arena) problem(format string, args ...any) {
	if len(a.problems) < 50 && !a.closing {
		a.problems = append(a.problems, fmt.Sprintf(format, args...))
	}
}

// failed reports whether there is a problem.
func (a *arena) failed() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.problems) > 0
}

// patience is how many seconds in a row nothing at all may be heard while
// something is awaited. It bounds no happy path: whatever goes on is heard.
const patience = 45

// await waits until ok reports true, which is called with mu held. If nothing is
// heard for long, it lets every child say what it is doing, and fails.
func (a *arena) await(what string, ok func() bool) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	last, silent := uint64(0), 0
	for {
		a.mu.Lock()
		done, failed, progress, changed := ok(), len(a.problems) > 0, a.progress, a.changed
		a.mu.Unlock()
		if done {
			return nil
		}
		if failed {
			return errFailed
		}
		select {
		case <-changed:
		case <-tick.C:
			if silent++; progress != last {
				last, silent = progress, 0
			}
			if silent >= patience {
				a.hang(what)
				return errFailed
			}
		}
	}
}

// errFailed: the problems are noted.
var errFailed = errors.New("storm: failed")

// hang notes that the storm stands still, with the stacks of all children.
func (a *arena) hang(what string) {
	a.mu.Lock()
	all := a.alive()
	a.problem("hang: nothing heard for %d s while waiting for %s; the host is pid %d", patience, what, a.dir.HostPID())
	for _, p := range all {
		p.doomed = true
	}
	a.mu.Unlock()
	for _, p := range all {
		_ = p.signal(syscall.SIGCONT)
		_ = p.signal(syscall.SIGQUIT) // Go's runtime tells the stacks and ends
		<-p.gone
		a.mu.Lock()
		a.problem("stacks of %s, ready %t, stopped %t:\n%s", p, p.ready, p.stopped, p.errs)
		a.mu.Unlock()
	}
}

// told are the problems as an error.
func (a *arena) told() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var errs []error
	for _, p := range a.problems {
		errs = append(errs, errors.New(p))
	}
	return errors.Join(errs...)
}
