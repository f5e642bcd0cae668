package bench

import "github.com/shmbus/shmbus/internal/trick"

// What makes the ring fast can be switched off, trick by trick, in a program
// built with the tag shmbus_tricks: package trick. Actors find in their
// environment what to do without.

// tricks are the names of all, in the order of the table; none without the tag.
var tricks = trick.Names()

// tricksVariable tells a process which tricks to do without.
const tricksVariable = trick.Variable

// tricks measures the cells that the tricks are for, with all of them and
// without each.
func (p *planner) tricks() {
	for _, name := range append([]string{""}, tricks...) {
		without := func(c *Cell) { c.Without = name }
		p.add(Stream, stamper[:2], 64, without)
		p.add(Stream, ours, 64, without, stamped)
		p.add(Stream, ours, 64, without, subscribers(8))
		p.add(Stream, ours, kib, without)
		p.add(Stream, []string{"shmbus-claim"}, 64*kib, without)
		p.add(RTT, ours, 64, without)
		p.add(RTT, ours, 64, without, waiting("park"))
	}
	if len(tricks) == 0 {
		p.cells = nil
	}
}
