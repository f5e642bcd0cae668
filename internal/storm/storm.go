package storm

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// A Verdict is the outcome of a storm.
type Verdict struct {
	Counts
	Problems []string
	Joins    []time.Duration // Hosts: from each death to the next newcomer
	// What keepers and hosts held after the first round and after the last, by
	// arena.
	First, Last []Held
	Took        time.Duration
}

// OK reports whether nothing was wrong.
func (v Verdict) OK() bool { return len(v.Problems) == 0 }

func (v Verdict) String() string {
	c := v.Counts
	s := fmt.Sprintf("%d kills (%d of hosts), %d stops, %d processes, %d rounds with %d topics in %v (%.0f kills/s): %d messages, %d acknowledged, %d deliveries compared; %d ErrStalled, %d detached, %d topics churned",
		c.Kills, c.HostKills, c.Stops, c.Starts, c.Rounds, c.Topics, v.Took.Round(time.Millisecond), float64(c.Kills)/v.Took.Seconds(),
		c.Published, c.Acknowledged, c.Delivered, c.Stalled, c.Detached, c.Turns)
	if c.Inside > 0 {
		s += fmt.Sprintf("; %d stops inside the lock, %d of them until an ErrStalled named who it was", c.Inside, c.Named)
	}
	for i := range v.Last {
		s += fmt.Sprintf("\narena %d after the first round: %v; after the last: %v", i, v.First[i], v.Last[i])
	}
	if len(v.Joins) > 0 {
		s += "\n" + Percentiles(v.Joins)
	}
	if v.OK() {
		return s + "\n0 violations"
	}
	return fmt.Sprintf("%s\n%d VIOLATIONS\n%s", s, len(v.Problems), strings.Join(v.Problems, "\n"))
}

// Run does a storm: arenas at the same time, rounds one after the other in each,
// until all kills and stops are done or something is wrong.
func Run(c Config) (Verdict, error) {
	c = c.withDefaults()
	began := time.Now()
	var v Verdict
	var mu sync.Mutex
	var all sync.WaitGroup
	var errs []error
	for i := range c.Arenas {
		all.Go(func() {
			kills, stops := share(c.Kills, c.Arenas, i), share(c.Stops, c.Arenas, i)
			one, err := c.arena(i, kills, stops)
			mu.Lock()
			defer mu.Unlock()
			v.add(one.Counts)
			v.Problems = append(v.Problems, one.Problems...)
			v.Joins = append(v.Joins, one.Joins...)
			v.First, v.Last = append(v.First, one.First...), append(v.Last, one.Last...)
			if err != nil {
				errs = append(errs, err)
			}
		})
	}
	all.Wait()
	v.Took = time.Since(began)
	return v, errors.Join(errs...)
}

// share is the i-th of n parts of all.
func share(all, n, i int) int { return all*(i+1)/n - all*i/n }

// arena does the rounds of one arena.
func (c Config) arena(index, kills, stops int) (v Verdict, err error) {
	a, err := openArena(c, index)
	if err != nil {
		return v, err
	}
	a.leaks() // makes the baseline
	end := time.Now().Add(c.Duration)
	stop := a.tell(c.Interval)
	for number := 0; err == nil && (kills > 0 || stops > 0 || time.Now().Before(end)); number++ {
		rounds := max((kills+c.Round-1)/c.Round, (stops+c.Round-1)/c.Round, 1)
		k, s := kills/rounds, stops/rounds
		if c.Duration > 0 {
			k, s = c.Round, c.Round
			kills, stops = k, s
		}
		began := time.Now()
		before := a.counts
		err = a.runRound(number, k, s)
		kills, stops = kills-k, stops-s
		if c.Duration > 0 {
			continue
		}
		c.logf("arena %d round %d: %d kills, %d stops, %d messages in %v", index, number, a.counts.Kills-before.Kills,
			a.counts.Stops-before.Stops, a.counts.Published-before.Published, time.Since(began).Round(time.Millisecond))
	}
	stop()
	if (c.Duration > 0 || c.Steady) && err == nil {
		a.flat()
	}
	closing := a.close()
	a.mu.Lock()
	defer a.mu.Unlock()
	return Verdict{First: a.held[:min(1, len(a.held))], Last: a.held[max(0, len(a.held)-1):], Counts: a.counts, Problems: a.problems, Joins: a.joins}, errors.Join(ignoreFailed(err), closing)
}

// ignoreFailed drops the error that stands for problems already noted.
func ignoreFailed(err error) error {
	if errors.Is(err, errFailed) {
		return nil
	}
	return err
}
