package bench

import (
	"fmt"
	"io"
	"time"
)

// Options say how to run a plan.
type Options struct {
	Cells   []Cell
	Rounds  int           // 0 means 7
	Budget  time.Duration // about how long all of it may take; 0 means 9 minutes
	Count   int           // not 0: so many messages a publisher and round, instead of by time; for tests
	Program []string      // command line that runs [Actor]; empty means this program and "bench-actor"
	Peers   string        // directory of the programs of bench/peers; empty means none
	Notes   io.Writer     // what one should know about the run, a line each; nil means nowhere
}

// Report is what a run found.
type Report struct {
	Rows  []Row
	Slow  int     // rounds left out of the medians
	Lines []int64 // p50 of the raw line ping-pong before and after each round, nanoseconds; none on one processor
}

// What a round of a cell takes at first guess besides measuring (starting
// processes, mapping and touching memory, the warm-up), and for how long it may
// measure.
const (
	defaultBudget = 9 * time.Minute
	overhead      = 45 * time.Millisecond
	shortest      = 10 * time.Millisecond
	longest       = 300 * time.Millisecond

	defaultRounds = 7
	pingTime      = 10 * time.Millisecond // of a raw line ping-pong between rounds
)

func (o *Options) note(format string, args ...any) {
	if o.Notes != nil {
		fmt.Fprintf(o.Notes, format+"\n", args...)
	}
}

func (o *Options) rounds() int {
	if o.Rounds > 0 {
		return o.Rounds
	}
	return defaultRounds
}

func (o *Options) budget() time.Duration {
	if o.Budget > 0 {
		return o.Budget
	}
	return defaultBudget
}

// QuickBudget is the Budget of a quick run, which ends within half a minute.
const QuickBudget = 26 * time.Second

// each returns how long one turn may measure when so many are left for so
// much time, and each takes some more.
func each(left time.Duration, turns int, extra time.Duration) time.Duration {
	return min(max(left/time.Duration(max(turns, 1))-extra, shortest), longest)
}

// extra learns what turns take besides what they may measure, so that the last
// round ends in time on a slow machine too.
type extra struct {
	turns int
	sum   time.Duration
}

func (e *extra) add(took, measured time.Duration) {
	e.turns++
	e.sum += max(took-measured, 0)
}

// mean is a guess until there were some turns.
func (e *extra) mean() time.Duration {
	const guesses = 8
	return (e.sum + guesses*overhead) / time.Duration(e.turns+guesses)
}
