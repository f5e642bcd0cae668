package bench

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Choice says what to measure. A plan is a list of cells, of which those are
// taken that fit what is given. Without a plan, once a size, a capacity, a
// number of actors, a wait, a rate or stamps are given, the chosen mechanisms
// are measured in every combination that they can do of what is given.
type Choice struct {
	Plan        string // one of [Plans]; empty means default, or quick
	Mechanisms  []string
	Patterns    []string
	Sizes       []int
	Capacities  []uint64 // bytes
	Publishers  []int
	Subscribers []int
	Waits       []string
	Stamps      []bool
	Rates       []int // messages a second; without Patterns, those are paced
	Quick       bool
	Peers       bool // also the programs of bench/peers
}

// plans are all plans and about how long each may take.
var plans = []struct {
	name, about string
	budget      time.Duration
	cells       func(*planner)
}{
	{"default", "the cells that matter most", defaultBudget, (*planner).most},
	{"quick", "the least that says something", QuickBudget, (*planner).quick},
	{"growth", "the next four", 13 * time.Minute, func(p *planner) {
		p.growthSize()
		p.growthPublishers()
		p.growthSubscribers()
		p.growthRing()
	}},
	{"growth-size", "payloads from 8 B to 1 MiB", 4 * time.Minute, (*planner).growthSize},
	{"growth-publishers", "1 to 8 publishers", 3 * time.Minute, (*planner).growthPublishers},
	{"growth-subscribers", "1 to 64 subscribers", 3 * time.Minute, (*planner).growthSubscribers},
	{"growth-ring", "rings from 64 KiB to 1 GiB", 3 * time.Minute, (*planner).growthRing},
	{"tricks", "each trick of the ring switched off in turn; in a build with the tag shmbus_tricks", 4 * time.Minute, (*planner).tricks},
}

// Plans returns the names of all plans and what each is.
func Plans() (names, abouts []string) {
	for _, p := range plans {
		names = append(names, p.name)
		abouts = append(abouts, fmt.Sprintf("%s (%v)", p.about, p.budget))
	}
	return names, abouts
}

// Budget returns about how long the plan of a choice may take.
func (c Choice) Budget() time.Duration { return plans[c.plan()].budget }

// plan returns the index in plans; the default's if there is none of the name.
func (c Choice) plan() int {
	name := c.Plan
	if name == "" && c.Quick {
		name = "quick"
	}
	for i, p := range plans {
		if p.name == name {
			return i
		}
	}
	return 0
}

var defaultRates = []int{1_000, 100_000, 1_000_000}

// Plan returns the cells of a choice, in the order of the table. [ErrUnknown],
// [ErrNothing], [ErrNoPeers].
func Plan(c Choice) ([]Cell, error) {
	known, _ := Mechanisms()
	names, _ := Plans()
	for _, err := range []error{
		checkNames("plan", slices.DeleteFunc([]string{c.Plan}, func(s string) bool { return s == "" }), names),
		checkNames("mechanism", c.Mechanisms, known),
		checkNames("pattern", c.Patterns, []string{string(Stream), string(RTT), string(Paced)}),
		checkNames("wait", c.Waits, []string{"spin", "park", "adaptive", "none"}),
	} {
		if err != nil {
			return nil, err
		}
	}
	if !c.Peers && slices.ContainsFunc(c.Mechanisms, isPeer) {
		return nil, ErrNoPeers
	}
	if len(c.Patterns) == 0 && len(c.Rates) > 0 {
		c.Patterns = []string{string(Paced)} // nothing else has a rate
	}
	var cells []Cell
	if c.Plan == "" && c.dimensions() {
		cells = c.combinations()
	} else {
		p := planner{names: c.names()}
		plans[c.plan()].cells(&p)
		cells = p.cells
	}
	var chosen []Cell
	for _, cell := range cells {
		if cell.can() && c.fits(cell) && !slices.Contains(chosen, cell) {
			chosen = append(chosen, cell)
		}
	}
	if len(chosen) == 0 {
		return nil, ErrNothing
	}
	return chosen, nil
}

// dimensions reports whether combinations are asked for.
func (c Choice) dimensions() bool {
	return len(c.Sizes)+len(c.Capacities)+len(c.Publishers)+len(c.Subscribers)+len(c.Waits)+len(c.Stamps)+len(c.Rates) > 0
}

// fits reports whether a cell is among what is asked for. Limits have neither
// wait nor stamps to choose, and stand beside whatever is chosen.
func (c Choice) fits(cell Cell) bool {
	limit := isLimit(cell.Mechanism)
	return within(cell.Mechanism, c.Mechanisms) && within(string(cell.Pattern), c.Patterns) && within(cell.Size, c.Sizes) &&
		within(cell.Publishers, c.Publishers) && within(cell.Subscribers, c.Subscribers) &&
		(limit || within(cell.Wait, c.Waits)) && (limit || within(cell.Stamps, c.Stamps)) &&
		(cell.Pattern != Paced || within(cell.Rate, c.Rates)) && within(cell.Capacity, c.Capacities)
}

// within reports whether v is in list, or list is empty.
func within[T comparable](v T, list []T) bool {
	return len(list) == 0 || slices.Contains(list, v)
}

func isLimit(name string) bool { return strings.HasPrefix(name, "limit-") }

// names returns the mechanisms that are asked for, or all that are measured
// without being asked for.
func (c Choice) names() []string {
	var names []string
	for _, m := range mechanisms {
		if len(c.Mechanisms) == 0 && m.extra && !(c.Peers && isPeer(m.name)) {
			continue
		}
		if within(m.name, c.Mechanisms) {
			names = append(names, m.name)
		}
	}
	return names
}

// planner collects the cells of a plan.
type planner struct {
	names []string // mechanisms where all are meant
	cells []Cell
}

// add adds a cell for each mechanism, changed as is said.
func (p *planner) add(pattern Pattern, names []string, size int, changes ...func(*Cell)) {
	for _, name := range names {
		t := traitsOf(name)
		c := Cell{Mechanism: name, Pattern: pattern, Size: size, Publishers: 1, Subscribers: 1, Wait: t.waits[0], Stamps: !t.unstamp}
		for _, change := range changes {
			change(&c)
		}
		p.cells = append(p.cells, c)
	}
}

// What cells are changed by.
func stamped(c *Cell)                 { c.Stamps = true }
func bursts(c *Cell)                  { c.Mode = Burst }
func alone(c *Cell)                   { c.Mode = Alone }
func polls(c *Cell)                   { c.Mode = Poll }
func waiting(wait string) func(*Cell) { return func(c *Cell) { c.Wait = wait } }
func paced(rate int) func(*Cell)      { return func(c *Cell) { c.Rate = rate } }
func publishers(n int) func(*Cell)    { return func(c *Cell) { c.Publishers = n } }
func subscribers(n int) func(*Cell)   { return func(c *Cell) { c.Subscribers = n } }
func ringOf(bytes uint64) func(*Cell) { return func(c *Cell) { c.Capacity = bytes } }

var (
	ours    = []string{"shmbus"}
	rivals  = []string{"shmbus", "mutex"}
	stamper = []string{"shmbus", "shmbus-batch", "shmbus-claim"}
)

func (p *planner) quick() {
	p.stream(64)
	p.roundTrips()
}

// most are the cells of the default plan: all that the targets in bench/report
// look at.
func (p *planner) most() {
	for _, size := range []int{64, kib, 64 * kib} {
		p.stream(size)
	}
	p.roundTrips()
	for _, n := range []int{2, 4} {
		p.add(Stream, rivals, 64, publishers(n))
		p.add(Stream, ours, 64, publishers(n), alone)
	}
	p.add(Stream, ours, 64, bursts)
	p.add(Stream, ours, 64, polls)
	for _, n := range []int{2, 4, 8} {
		p.add(Stream, ours, 64, subscribers(n))
		p.add(Stream, ours, 64, subscribers(n), bursts)
	}
	for _, rate := range defaultRates {
		for _, wait := range allWaits {
			p.add(Paced, ours, 64, paced(rate), waiting(wait))
		}
	}
}

// stream are the streams of one publisher to one subscriber.
func (p *planner) stream(size int) {
	p.add(Stream, p.names, size)
	p.add(Stream, stamper, size, stamped)
}

// roundTrips are those of 64 bytes. A buffer that is flushed for every message
// is none, and the round trips of some are those of others.
func (p *planner) roundTrips() {
	p.add(RTT, slices.DeleteFunc(slices.Clone(p.names), sameRTT), 64)
	p.add(RTT, ours, 64, stamped)
	p.add(RTT, ours, 64, waiting("park"))
	p.add(RTT, ours, 64, waiting("adaptive"))
}

func sameRTT(name string) bool {
	return strings.HasSuffix(name, "-buffered") || name == "shmbus-claim" || name == "shmbus-fenced"
}

func (p *planner) growthSize() {
	for _, size := range []int{8, 64, 256, kib, 4 * kib, 16 * kib, 64 * kib, 256 * kib, kib * kib} {
		p.add(Stream, []string{"limit-spsc", "shmbus", "shmbus-batch", "shmbus-claim", "mutex", "unix-stream", "unix-stream-buffered"}, size)
	}
}

func (p *planner) growthPublishers() {
	for n := 1; n <= 8; n++ {
		p.add(Stream, []string{"shmbus", "shmbus-batch", "shmbus-fenced", "mutex"}, 64, publishers(n))
	}
}

func (p *planner) growthSubscribers() {
	for n := 1; n <= 64; n *= 2 {
		read := subscribers(n)
		if n == 1 {
			read = polls // as several read
		}
		p.add(Stream, []string{"shmbus", "shmbus-batch"}, 64, read)
		p.add(Stream, ours, 64, subscribers(n), bursts)
	}
}

func (p *planner) growthRing() {
	for capacity := uint64(64 * kib); capacity <= 1<<30; capacity *= 4 {
		p.add(Stream, []string{"limit-spsc", "shmbus", "shmbus-batch"}, 64, ringOf(capacity))
		p.add(Stream, ours, kib, ringOf(capacity))
	}
}

// combinations are all of what is given, with one value where nothing is.
func (c Choice) combinations() []Cell {
	patterns := []Pattern{Stream, RTT}
	if len(c.Patterns) > 0 {
		patterns = nil
		for _, p := range c.Patterns {
			patterns = append(patterns, Pattern(p))
		}
	}
	var cells []Cell
	for _, p := range patterns {
		rates := []int{0}
		if p == Paced {
			if rates = c.Rates; len(rates) == 0 {
				rates = defaultRates
			}
		}
		for _, size := range orOne(c.Sizes, 64) {
			for _, capacity := range orOne(c.Capacities, 0) {
				for _, publishers := range orOne(c.Publishers, 1) {
					for _, subscribers := range orOne(c.Subscribers, 1) {
						for _, rate := range rates {
							cells = append(cells, c.variants(Cell{
								Pattern: p, Size: size, Capacity: capacity, Publishers: publishers, Subscribers: subscribers, Rate: rate,
							})...)
						}
					}
				}
			}
		}
	}
	return cells
}

// orOne returns list, or v alone if that is empty.
func orOne[T any](list []T, v T) []T {
	if len(list) == 0 {
		return []T{v}
	}
	return list
}

// variants are a cell for each mechanism, wait and stamp.
func (c Choice) variants(cell Cell) []Cell {
	var cells []Cell
	for _, name := range c.names() {
		t := traitsOf(name)
		waits, stamps := t.waits[:1], []bool{!t.unstamp}
		if len(c.Waits) > 0 && !isLimit(name) {
			waits = c.Waits
		}
		if len(c.Stamps) > 0 && !isLimit(name) {
			stamps = c.Stamps
		}
		for _, wait := range waits {
			for _, stamp := range stamps {
				cell.Mechanism, cell.Wait, cell.Stamps = name, wait, stamp
				cells = append(cells, cell)
			}
		}
	}
	return cells
}
