package bench

import (
	"slices"
	"strings"
)

// Choice says what to measure. What is empty is chosen by default: then all
// mechanisms are measured in the cells that matter most. Once a size, a number
// of actors, a wait or stamps are given, the chosen mechanisms are measured in
// every combination that they can do of what is given.
type Choice struct {
	Mechanisms  []string
	Patterns    []string
	Sizes       []int
	Publishers  []int
	Subscribers []int
	Waits       []string
	Stamps      []bool
	Rates       []int // paced: messages a second
	Quick       bool
	Peers       bool // also the programs of bench/peers
}

var defaultRates = []int{1_000, 100_000, 1_000_000}

// Plan returns the cells of a choice, in the order of the table. [ErrUnknown],
// [ErrNothing].
func Plan(c Choice) ([]Cell, error) {
	known, _ := Mechanisms()
	for _, err := range []error{
		checkNames("mechanism", c.Mechanisms, known),
		checkNames("pattern", c.Patterns, []string{string(Stream), string(RTT), string(Paced)}),
		checkNames("wait", c.Waits, []string{"spin", "park", "adaptive", "none"}),
	} {
		if err != nil {
			return nil, err
		}
	}
	cells := c.defaults()
	if len(c.Sizes)+len(c.Publishers)+len(c.Subscribers)+len(c.Waits)+len(c.Stamps)+len(c.Rates) > 0 {
		cells = c.combinations()
	}
	var chosen []Cell
	for _, cell := range cells {
		if cell.can() && within(cell.Mechanism, c.Mechanisms) && within(string(cell.Pattern), c.Patterns) {
			chosen = append(chosen, cell)
		}
	}
	if len(chosen) == 0 {
		return nil, ErrNothing
	}
	return chosen, nil
}

// within reports whether v is in list, or list is empty.
func within[T comparable](v T, list []T) bool {
	for _, l := range list {
		if l == v {
			return true
		}
	}
	return len(list) == 0
}

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

// defaults are the cells that matter most.
func (c Choice) defaults() []Cell {
	var cells []Cell
	add := func(p Pattern, names []string, size int, change func(*Cell)) {
		for _, name := range names {
			t := traitsOf(name)
			cell := Cell{Mechanism: name, Pattern: p, Size: size, Publishers: 1, Subscribers: 1, Wait: t.waits[0], Stamps: !t.unstamp}
			if change != nil {
				change(&cell)
			}
			if cell.can() {
				cells = append(cells, cell)
			}
		}
	}
	stamped := func(cell *Cell) { cell.Stamps = true }
	waiting := func(wait string) func(*Cell) { return func(cell *Cell) { cell.Wait = wait } }
	sizes := []int{64, kib, 64 * kib}
	if c.Quick {
		sizes = sizes[:1]
	}
	for _, size := range sizes {
		add(Stream, c.names(), size, nil)
		add(Stream, []string{"shmbus", "shmbus-batch"}, size, stamped)
	}
	add(RTT, slices.DeleteFunc(c.names(), sameRTT), 64, nil)
	add(RTT, []string{"shmbus"}, 64, waiting("park"))
	add(RTT, []string{"shmbus"}, 64, waiting("adaptive"))
	if c.Quick {
		return cells
	}
	for _, n := range []int{2, 4} {
		add(Stream, []string{"shmbus", "mutex"}, 64, func(cell *Cell) { cell.Publishers = n })
	}
	for _, n := range []int{2, 4, 8} {
		add(Stream, []string{"shmbus"}, 64, func(cell *Cell) { cell.Subscribers = n })
	}
	for _, rate := range defaultRates {
		for _, wait := range allWaits {
			add(Paced, []string{"shmbus"}, 64, func(cell *Cell) { cell.Wait, cell.Rate = wait, rate })
		}
	}
	return cells
}

// sameRTT reports whether a mechanism's round trip is another's: a buffer that
// is flushed for every message is none.
func sameRTT(name string) bool {
	return strings.HasSuffix(name, "-buffered") || name == "shmbus-claim" || name == "shmbus-fenced"
}

// combinations are all of what is given, with one value where nothing is.
func (c Choice) combinations() []Cell {
	or := func(list []int, v int) []int {
		if len(list) == 0 {
			return []int{v}
		}
		return list
	}
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
		for _, size := range or(c.Sizes, 64) {
			for _, publishers := range or(c.Publishers, 1) {
				for _, subscribers := range or(c.Subscribers, 1) {
					for _, rate := range rates {
						cells = append(cells, c.variants(Cell{Pattern: p, Size: size, Publishers: publishers, Subscribers: subscribers, Rate: rate})...)
					}
				}
			}
		}
	}
	return cells
}

// variants are a cell for each mechanism, wait and stamp.
func (c Choice) variants(cell Cell) []Cell {
	var cells []Cell
	for _, name := range c.names() {
		t := traitsOf(name)
		waits, stamps := t.waits[:1], []bool{!t.unstamp}
		// Limits have neither choice, and stand beside whatever is chosen.
		limit := strings.HasPrefix(name, "limit-")
		if len(c.Waits) > 0 && !limit {
			waits = c.Waits
		}
		if len(c.Stamps) > 0 && !limit {
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
