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
	Rate        int // paced: messages a second; otherwise 0
}

func (c Cell) String() string {
	s := fmt.Sprintf("%s %s %dB %d→%d %s", c.Mechanism, c.Pattern, c.Size, c.Publishers, c.Subscribers, c.Wait)
	if c.Stamps {
		s += " stamped"
	}
	if c.Rate != 0 {
		s += fmt.Sprintf(" %d/s", c.Rate)
	}
	return s
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
	warm  int // messages of each publisher before the clock runs
	count int // messages of each publisher while it does
}

// amountFor returns how many messages take about d at so many a second and
// publisher.
func (c Cell) amountFor(perSecond float64, d time.Duration) amount {
	n := int(perSecond * d.Seconds())
	if c.Pattern == Paced {
		n = c.Rate * int(max(d, pacedAtLeast)/time.Millisecond) / 1000
	}
	n = min(max(n, 64), traitsOf(c.Mechanism).most)
	n = (n + 63) / 64 * 64 // whole batches
	return amount{warm: max(min(n/8, 200_000)/64*64, 64), count: n}
}

// pacedAtLeast gives slow rates enough messages for a percentile.
const pacedAtLeast = 500 * time.Millisecond
