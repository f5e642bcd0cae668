package bench

import (
	"fmt"
	"time"
)

// Pattern is what publishers and subscribers do.
type Pattern string

// The patterns.
const (
	Stream Pattern = "stream" // as fast as it goes
	RTT    Pattern = "rtt"    // one there, one back
	Paced  Pattern = "paced"  // due at fixed times
)

// Cell is one thing to measure: a row of the table.
type Cell struct {
	Mechanism   string
	Pattern     Pattern
	Size        int // bytes of payload
	Publishers  int
	Subscribers int
	Wait        string
	Stamps      bool
	Rate        int    // paced: messages a second; otherwise 0
	Mode        Mode   // what is done otherwise than usual
	Capacity    uint64 // bytes of the ring; 0 means the default for the size
	Without     string // one of the ring's tricks, which is switched off; tricks.go
}

// Mode says how a stream differs from one that goes as fast as it can.
type Mode string

// The modes. Row.Mode tells of more that a row can be.
const (
	Usual Mode = ""
	// Burst: the publisher waits for the subscribers after each quarter of the
	// ring, so that it never waits for space, and only the time it spends
	// publishing counts. What a message costs the publisher.
	Burst Mode = "burst"
	// Poll: the one subscriber reads with Poll, as several in one process do.
	Poll Mode = "poll"
	// Alone: all publishers take part in the warm-up; then one goes on by
	// itself, and is measured once it has published aloneAfter messages more.
	Alone Mode = "alone"
)

// aloneAfter is how many messages a publisher whose rivals have gone quiet may
// take to find back to its speed.
const aloneAfter = 100_000

func (c Cell) String() string {
	s := fmt.Sprintf("%s %s %dB %d→%d %s", c.Mechanism, c.Pattern, c.Size, c.Publishers, c.Subscribers, c.Wait)
	if c.Stamps {
		s += " stamped"
	}
	if c.Rate != 0 {
		s += fmt.Sprintf(" %d/s", c.Rate)
	}
	if c.mode() != reliable {
		s += " " + c.mode()
	}
	return s
}

// mode is what Row.Mode says of a cell.
func (c Cell) mode() string {
	switch {
	case c.Without != "":
		return "without=" + c.Without
	case c.Capacity != 0:
		return fmt.Sprintf("ring=%d", c.Capacity)
	case c.Mode != Usual:
		return string(c.Mode)
	}
	return reliable
}

// capacity returns the size of the cell's ring in bytes.
func (c Cell) capacity() uint64 {
	if c.Capacity != 0 {
		return c.Capacity
	}
	return capacityFor(c.Size)
}

// chunk returns how many messages a burst has: a quarter of the ring.
func (c Cell) chunk() int {
	return int(max(c.capacity()/4/(uint64(c.Size)+lineSize), 1))
}

// actors returns how many take part: the publishers and the process of all
// subscribers. A function call has nobody to call but itself.
func (c Cell) actors() int {
	if c.Mechanism == "function-call" {
		return 1
	}
	return c.Publishers + 1
}

// amount is how much of a cell is done in one round.
type amount struct {
	warm   int // messages of each publisher before the clock runs
	settle int // alone: messages of the one that goes on, before the clock runs
	count  int // messages of each publisher while it does; alone: of the one
}

// total returns how many messages a publisher publishes in all.
func (a amount) total(c Cell, publisher int) int {
	switch {
	case c.Mode != Alone:
		return a.warm + a.count
	case publisher == 0:
		return a.warm + a.settle + a.count
	}
	return a.warm
}

// amountFor returns how many messages take about d at so many a second and
// publisher. The warm-up, in which every word is checked, goes round the ring
// more than once, so that what a mechanism does wrong from the second lap on is
// found: unless a lap takes more than a quarter of d (rings of 256 MiB and
// more, round trips that sleep, slow rates). It is the same code that has been
// round in other cells of the same mechanism then.
func (c Cell) amountFor(perSecond float64, d time.Duration) amount {
	n := int(perSecond * d.Seconds())
	if c.Pattern == Paced {
		n = c.Rate * int(max(d, pacedAtLeast)/time.Millisecond) / 1000
	}
	n = min(max(n, 64), traitsOf(c.Mechanism).most)
	n = (n + 63) / 64 * 64 // whole batches
	a := amount{warm: max(min(n/8, 200_000)/64*64, 64), count: n}
	if c.Pattern == Paced {
		perSecond = float64(c.Rate)
	}
	if round := c.round(); float64(round*c.Publishers) <= perSecond*max(d/4, shortest/2).Seconds() {
		a.warm = max(a.warm, round)
	}
	if c.Mode == Alone {
		a.settle = aloneAfter
	}
	return a
}

// round is how many messages of each publisher go round the ring more than
// once.
func (c Cell) round() int {
	slot, _ := slotsOf(c.Size, c.capacity())
	lap := int(c.capacity()/slot) / c.Publishers
	return (lap + lap/8 + 64) / 64 * 64
}

// slotsOf divides a ring into slots of whole cache lines: the greatest power
// of two of them that the capacity of the other rings holds. No ring has
// smaller records.
func slotsOf(size int, capacity uint64) (slot, slots uint64) {
	slot = (uint64(size) + lineSize - 1) / lineSize * lineSize
	slots = 1
	for slots*2*slot <= capacity {
		slots *= 2
	}
	return slot, slots
}

// pacedAtLeast gives slow rates enough messages for a percentile.
const pacedAtLeast = 500 * time.Millisecond
