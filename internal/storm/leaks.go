package storm

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"
)

// baseline is what the keeper, the host and the directory hold while there is no
// topic and nobody else is there.
type baseline struct {
	keeper, host Usage
	files        []string
}

// counts are what must stay the same.
func (b baseline) counts() []any {
	return []any{b.keeper.Descriptors, b.keeper.Goroutines, b.host.Descriptors, b.host.Goroutines, b.files}
}

// Held is what the processes held that are there between two rounds.
type Held struct{ Keeper, Host Usage }

func (h Held) String() string {
	return fmt.Sprintf("keeper %v, host %v", h.Keeper, h.Host)
}

// quietState asks for what is held now, and says what is still going on.
func (a *arena) quietState() (baseline, []string, error) {
	var b baseline
	a.mu.Lock()
	both := a.alive()
	for _, p := range both {
		p.last = nil
	}
	a.mu.Unlock()
	for _, p := range both { // one after the other: a host that answers somebody holds more
		if err := p.order(command{Do: commandUsage}); err != nil {
			return b, nil, err
		}
		if err := a.await("the usage of keeper and host", func() bool { return p.last != nil || p.exited }); err != nil {
			return b, nil, err
		}
	}
	var on []string
	var err error
	for _, p := range both {
		switch r := p.last; {
		case p == a.keeper:
			b.keeper = *r.Usage
			if r.Host == 0 {
				on = append(on, "the keeper has no host")
			}
		default:
			b.host = *r.Usage
			if r.Host != p.pid() {
				on = append(on, fmt.Sprintf("pid %d hosts, not the one that is left, %d", r.Host, p.pid()))
			}
			if r.Memory != 0 || len(r.Topics) > 0 {
				on = append(on, fmt.Sprintf("the host has %d bytes in topics %v", r.Memory, r.Topics))
			}
			if r.Clients != 2 {
				on = append(on, fmt.Sprintf("the host has %d clients, there are 2", r.Clients))
			}
		}
	}
	b.files, err = filesOf(a.dir.String())
	return b, on, err
}

// steadyLooks is how many looks in a row must find the same before that is what
// all later ones are compared with, exactly.
const steadyLooks = 8

// leaks compares what is held with the baseline, or makes it. What ends by
// itself, like goroutines without work, gets a while.
func (a *arena) leaks() {
	var found []string
	var last *baseline
	same := 0 // looks in a row that found what last did
	for range 200 {
		now, on, err := a.quietState()
		if err != nil {
			a.mu.Lock()
			a.problem("leaks: %v", err)
			a.mu.Unlock()
			return
		}
		found = on
		if a.baseline == nil && len(on) == 0 {
			// Not by one look, which may be at something that just ends.
			if last == nil || !reflect.DeepEqual(now.counts(), last.counts()) {
				last, same = &now, 0
			}
			if same++; same == steadyLooks {
				a.baseline = &now
				return
			}
			found = []string{fmt.Sprintf("no %d counts in a row are the same", steadyLooks)}
		}
		if a.baseline != nil {
			for _, d := range now.keeper.differs(a.baseline.keeper) {
				found = append(found, "keeper: "+d)
			}
			for _, d := range now.host.differs(a.baseline.host) {
				found = append(found, "host: "+d)
			}
			if !slices.Equal(now.files, a.baseline.files) {
				found = append(found, fmt.Sprintf("files %v, before %v", now.files, a.baseline.files))
			}
		}
		if len(found) == 0 {
			a.mu.Lock()
			a.held = append(a.held, Held{now.keeper, now.host})
			a.mu.Unlock()
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, p := range a.alive() {
		found = append(found, fmt.Sprintf("%s holds %v", p, descriptorsOf(p.pid())))
	}
	a.problem("left behind: %s", strings.Join(found, "; "))
}

// descriptorsOf lists the descriptors of a process, for people.
func descriptorsOf(pid int) []string {
	var all []string
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	names, err := filesOf(dir)
	if err != nil {
		return []string{err.Error()}
	}
	for _, n := range names {
		if target, err := os.Readlink(dir + "/" + n); err == nil {
			all = append(all, target)
		}
	}
	return all
}
