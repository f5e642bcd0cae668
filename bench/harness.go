//go:build linux

package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// harness runs one plan.
type harness struct {
	Options
	processors []int
	clock      clock
	dir        string
	daemons    map[string]func() // what peers need running, and how to end it
	began      time.Time
	turns      int // still to do
	extra      extra
}

// each returns how long a turn may measure now.
func (h *harness) each() time.Duration {
	return each(h.budget()-time.Since(h.began), h.turns, h.extra.mean())
}

// Run measures the cells, round by round, and returns a row for each. It
// blocks until that is done or ctx ends, and takes about as long as o says.
// Errors: ctx's, [ErrActor], [ErrWrong], [ErrHung], [ErrNoPeers].
func Run(ctx context.Context, o Options) (*Report, error) {
	if len(o.Cells) == 0 {
		return nil, ErrNothing
	}
	if slices.ContainsFunc(o.Cells, func(c Cell) bool { return isPeer(c.Mechanism) }) {
		if o.Peers == "" {
			return nil, ErrNoPeers
		}
		var err error
		if o.Peers, err = filepath.Abs(o.Peers); err != nil { // or one without a slash would be looked for in $PATH
			return nil, err
		}
	}
	// Children ask to die with the thread that started them: this one must
	// last as long as they do.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	h := &harness{Options: o, clock: newClock(), daemons: map[string]func(){}, began: time.Now()}
	h.turns = len(o.Cells) * (o.rounds() + 1)
	var err error
	if h.processors, err = allowed(); err != nil {
		return nil, err
	}
	if h.dir, err = os.MkdirTemp("", "shmbus-bench-"); err != nil {
		return nil, err
	}
	defer os.RemoveAll(h.dir)
	defer func() {
		for _, end := range h.daemons {
			end()
		}
	}()
	h.warn()
	rounds, err := h.rounds(ctx)
	if err != nil {
		return nil, err
	}
	return h.report(rounds), nil
}

// allowed returns the processors that this process may use.
func allowed() ([]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, fmt.Errorf("bench: which processors: %w", err)
	}
	var processors []int
	for i := range len(set) * 64 {
		if set.IsSet(i) {
			processors = append(processors, i)
		}
	}
	return processors, nil
}

// warn says what makes the figures worth less.
func (h *harness) warn() {
	h.note("machine: %s", machine(len(h.processors)))
	most := Cell{}
	crowded := 0
	for _, c := range h.Cells {
		if c.actors() > len(h.processors) {
			crowded++
			if most.Mechanism == "" || c.actors() > most.actors() {
				most = c
			}
		}
	}
	if crowded > 0 {
		h.note("warning: %d processors for up to %d actors: %d cells (like %v) measure the scheduler too", len(h.processors), most.actors(), crowded, most)
	}
	if !h.clock.TSC {
		h.note("warning: the processor's counter is no clock here; CLOCK_MONOTONIC costs more to read")
	}
	if load := loadAverage(); load > 0.5 {
		h.note("warning: load average %.1f: others use this machine", load)
	}
}

// machine says what a run is measured on.
func machine(processors int) string {
	model := "unknown processor"
	b, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(b)) {
		if name, text, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			model = strings.TrimSpace(text)
			break
		}
	}
	release := "unknown release"
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		release = unix.ByteSliceToString(u.Release[:])
	}
	return fmt.Sprintf("%s, %d processors used, %s %s, Linux %s, %s", model, processors, runtime.GOOS, runtime.GOARCH, release, runtime.Version())
}

func loadAverage() float64 {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	var load float64
	_, _ = fmt.Sscan(string(b), &load)
	return load
}

// errOver ends a round that would take more than what is left of the time.
var errOver = errors.New("the time is over")

// rounds finds out how much of each cell is a good measure, and then does all
// cells once a round. At least one round is done whatever it takes.
func (h *harness) rounds(ctx context.Context) ([]round, error) {
	amounts := make([]amount, len(h.Cells))
	for i, c := range h.Cells {
		var err error
		if amounts[i], err = h.calibrate(ctx, c); err != nil {
			return nil, err
		}
	}
	var rounds []round
	for len(rounds) < h.Options.rounds() {
		r, err := h.round(ctx, amounts, len(rounds) == 0)
		if err == errOver {
			h.note("warning: %d of %d rounds: %v", len(rounds), h.Options.rounds(), err)
			break
		}
		if err != nil {
			return nil, err
		}
		rounds = append(rounds, r)
	}
	return rounds, nil
}

// lonely reports whether all actors share one processor.
func (h *harness) lonely() bool { return len(h.processors) == 1 }

// calibrate returns how much of a cell fits the time it has.
func (h *harness) calibrate(ctx context.Context, c Cell) (amount, error) {
	if h.Count > 0 {
		return amount{warm: min(h.Count, 64), count: h.Count}, nil
	}
	if c.Pattern == Paced {
		return c.amountFor(0, h.each()), nil
	}
	// Guesses that take a millisecond or two; after each round the next one's
	// amount follows from its speed.
	count := 500
	switch {
	case c.Wait == "spin" || c.Wait == "none":
		count = 20_000
	case strings.HasPrefix(c.Mechanism, "http-"):
		count = 64
	}
	if c.Size > 16*kib {
		count /= 8
	}
	if h.lonely() { // where one that spins keeps the other away, a message can take milliseconds
		r, err := h.turn(ctx, c, amount{warm: few, count: few})
		if err != nil || r.perSecond < float64(count)/longest.Seconds() {
			return c.amountFor(r.perSecond, h.each()), err
		}
	}
	r, err := h.turn(ctx, c, amount{warm: 64, count: count})
	if err != nil {
		return amount{}, err
	}
	return c.amountFor(r.perSecond, h.each()), nil
}

// few messages are a trial that ends soon whatever they take.
const few = 32

// round does every cell once, between two raw line ping-pongs.
func (h *harness) round(ctx context.Context, amounts []amount, first bool) (round, error) {
	r := round{results: make([]result, len(h.Cells))}
	var err error
	if r.before, err = h.line(ctx); err != nil {
		return r, err
	}
	for i, c := range h.Cells {
		if !first && time.Since(h.began) > h.budget() {
			return r, errOver
		}
		began, may := time.Now(), h.each()
		if r.results[i], err = h.turn(ctx, c, amounts[i]); err != nil {
			return r, err
		}
		h.extra.add(time.Since(began), may)
		if h.Count == 0 {
			amounts[i] = c.amountFor(r.results[i].perSecond, h.each())
		}
	}
	r.after, err = h.line(ctx)
	return r, err
}

// line is the raw line ping-pong: the median round trip in nanoseconds. On one
// processor no line goes anywhere, and it is 0.
func (h *harness) line(ctx context.Context) (int64, error) {
	if h.lonely() {
		return 0, nil
	}
	c := Cell{Mechanism: "limit-line", Pattern: RTT, Size: lineSize, Publishers: 1, Subscribers: 1, Wait: "spin"}
	a := c.amountFor(5e6, pingTime)
	if h.Count > 0 {
		a = amount{warm: 64, count: h.Count}
	}
	r, err := h.turn(ctx, c, a)
	return r.percentiles[0], err
}

func (h *harness) report(rounds []round) *Report {
	p := &Report{Slow: markSlow(rounds), Rows: rowsOf(h.Cells, rounds)}
	if h.lonely() {
		h.note("one processor: no raw line ping-pong before and after each round, and no round is marked slow")
		return p
	}
	text := ""
	for _, r := range rounds {
		p.Lines = append(p.Lines, r.before, r.after)
		mark := ""
		if r.slow {
			mark = " slow"
		}
		text += fmt.Sprintf(" %d-%d%s", r.before, r.after, mark)
	}
	h.note("raw line ping-pong before and after each round, p50 in ns:%s", text)
	if p.Slow > 0 {
		h.note("warning: %d of %d rounds are marked slow and left out", p.Slow, len(rounds))
	}
	return p
}
