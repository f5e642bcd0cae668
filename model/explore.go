package model

import (
	"fmt"
	"hash/maphash"
	"time"
)

// Result is what an exploration found.
type Result struct {
	Scene     string
	Mutation  Mutation
	States    int
	Depth     int // of the violation, or of the deepest state
	Complete  bool
	Violation string   // "" if none
	Trace     []string // the shortest way to it
	Took      time.Duration
}

// Limits end an exploration early; 0 means no limit.
type Limits struct {
	States int
	Time   time.Duration
}

// MostStates is a limit that keeps two explorations at once within 10 GB.
const MostStates = 40_000_000

// Explore visits all states of a scene, breadth first, so that the first
// violation is one of the shortest.
func Explore(sc *Scene, mut Mutation, limits Limits) Result {
	e := &explorer{m: newMachine(sc, mut), seed: maphash.MakeSeed(), limits: limits}
	e.seen = newTable()
	return e.run()
}

type explorer struct {
	m      *machine
	seed   maphash.Seed
	limits Limits

	seen    table
	parents []uint32 // of each state, by number
	ways    []uint8  // which successor of its parent it is
	edges   []uint64 // from<<32 | to, if the scene's Ends
	ends    []uint32 // states in which nobody moves

	bytes []byte
}

func (e *explorer) run() Result {
	began := time.Now()
	m := e.m
	r := Result{Scene: m.sc.Name, Mutation: m.mut, Complete: true}
	level := m.initial().encode(m, nil)
	e.visit(level, 0, 0)
	for first := uint32(0); len(level) > 0; r.Depth++ {
		next, at, bad := e.level(level, first, began)
		if bad != "" {
			r.Violation, r.Trace = bad, e.trace(at)
			break
		}
		first = at
		if level = next; level == nil {
			r.Complete = false
			break
		}
	}
	r.States = len(e.parents)
	if m.sc.Ends && r.Complete && r.Violation == "" {
		if at, ok := e.stuck(); ok {
			r.Violation, r.Trace = "livelock: no way from here to the end", e.trace(at)
			r.Depth = e.depth(at)
		}
	}
	r.Took = time.Since(began)
	return r
}

// level expands the states of one depth, which are numbered from first. It
// returns those of the next and the number of its first; the number of the
// state that a violation was found in; or nil if a limit was reached.
func (e *explorer) level(level []byte, first uint32, began time.Time) (next []byte, at uint32, bad string) {
	m := e.m
	next = make([]byte, 0, len(level))
	after := uint32(len(e.parents))
	var s state
	for from, rest := first, level; len(rest) > 0; from++ {
		rest = s.decode(m, rest)
		m.bad = m.check(&s)
		way := 0
		moves := 0
		m.successors(&s, func(t *state) {
			e.bytes = t.encode(m, e.bytes[:0])
			to, isNew := e.visit(e.bytes, from, uint8(way))
			if isNew {
				next = append(next, e.bytes...)
			}
			if m.sc.Ends {
				e.edges = append(e.edges, uint64(from)<<32|uint64(to))
			}
			way++
			if t.kills == s.kills && t.hosts == s.hosts && t.stops == s.stops {
				moves++
			}
		})
		if m.bad == "" && moves == 0 {
			m.bad = m.checkEnd(&s)
			e.ends = append(e.ends, from)
		}
		if m.bad != "" {
			return nil, from, m.bad
		}
		if from&4095 == 0 && (e.limits.Time > 0 && time.Since(began) > e.limits.Time || e.limits.States > 0 && len(e.parents) > e.limits.States) {
			return nil, from, ""
		}
	}
	return next, after, ""
}

func (e *explorer) visit(b []byte, from uint32, way uint8) (number uint32, isNew bool) {
	number, isNew = e.seen.insert(maphash.Bytes(e.seed, b), uint32(len(e.parents)))
	if isNew {
		e.parents = append(e.parents, from)
		e.ways = append(e.ways, way)
	}
	return number, isNew
}

func (e *explorer) depth(at uint32) int {
	n := 0
	for ; at != 0; at = e.parents[at] {
		n++
	}
	return n
}

// trace replays the way to a state and one step beyond, if a step fails there.
func (e *explorer) trace(at uint32) []string {
	var ways []uint8
	for ; at != 0; at = e.parents[at] {
		ways = append(ways, e.ways[at])
	}
	m := e.m
	m.tracing = true
	defer func() { m.tracing = false }()
	s := *m.initial()
	var lines []string
	for k := len(ways) - 1; k >= 0; k-- {
		var t state
		way := 0
		from := s
		m.successors(&from, func(u *state) {
			if way == int(ways[k]) {
				t = *u
				lines = append(lines, m.note)
			}
			way++
		})
		s = t
	}
	m.bad = ""
	from := s
	m.successors(&from, func(*state) {
		if m.bad != "" {
			lines = append(lines, m.note)
			m.bad = ""
		}
	})
	return lines
}

// stuck finds a state from which no end can be reached, one of those with the
// shortest way to them.
func (e *explorer) stuck() (uint32, bool) {
	n := len(e.parents)
	begin := make([]uint32, n+1)
	for _, x := range e.edges {
		begin[uint32(x)+1]++
	}
	for i := range n {
		begin[i+1] += begin[i]
	}
	into := make([]uint32, len(e.edges))
	fill := append([]uint32(nil), begin[:n]...)
	for _, x := range e.edges {
		to := uint32(x)
		into[fill[to]] = uint32(x >> 32)
		fill[to]++
	}
	good := make([]bool, n)
	work := append([]uint32(nil), e.ends...)
	for _, x := range work {
		good[x] = true
	}
	for len(work) > 0 {
		x := work[len(work)-1]
		work = work[:len(work)-1]
		for _, y := range into[begin[x]:begin[x+1]] {
			if !good[y] {
				good[y] = true
				work = append(work, y)
			}
		}
	}
	for i, ok := range good {
		if !ok {
			return uint32(i), true
		}
	}
	return 0, false
}

// String is a line of the table.
func (r Result) String() string {
	verdict := "holds"
	switch {
	case r.Violation != "":
		verdict = "VIOLATED: " + r.Violation
	case !r.Complete:
		verdict = "no violation, cut off"
	}
	return fmt.Sprintf("%-34s %9d states  depth %3d  %6.1fs  %s", r.Scene, r.States, r.Depth, r.Took.Seconds(), verdict)
}
