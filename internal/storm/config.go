package storm

import (
	"fmt"
	"io"
	"math/rand/v2"
	"time"
)

// Config says what a storm does. The zero value of each field is useful but for
// Kills and Seed.
type Config struct {
	Seed   uint64
	Kills  int // in all
	Stops  int // in all, besides those that come with kills
	Arenas int // buses at once; 0: 2
	Round  int // kills, or stops, a round; 0: 200
	Fenced string
	// Program is what children run, this program if empty: it must call Child.
	// FailpointProgram is the same built with failpoints; empty: none is used.
	Program, FailpointProgram string
	// Clocks runs some children in time namespaces of their own.
	Clocks bool
	// Hosts kills nobody but the host, and measures how long joining takes then.
	Hosts bool
	// Steady kills no host: one process serves from beginning to end, and must
	// hold in the end what it held in the beginning.
	Steady bool
	// Duration goes on until so much time is over, in place of Kills and Stops.
	// Every Interval (0: a minute) Log gets a line.
	Duration, Interval time.Duration
	// Break makes one child of the first round lie, see Spec. The round lasts
	// until it has.
	Break string
	// Log gets a line a round; nil: none.
	Log io.Writer
}

// Which arenas make fenced topics.
const (
	FencedHalf = ""    // every other one
	FencedAll  = "yes" // all
	FencedNone = "no"  // none
)

func (c Config) withDefaults() Config {
	if c.Arenas == 0 {
		c.Arenas = 2
	}
	if c.Round == 0 {
		c.Round = 200
	}
	if c.Interval == 0 {
		c.Interval = time.Minute
	}
	if c.Log == nil {
		c.Log = io.Discard
	}
	return c
}

// rng is the source of all choices of a round of an arena.
func (c Config) rng(arena, round int) *rand.Rand {
	return rand.New(rand.NewPCG(c.Seed, uint64(arena)<<32|uint64(uint32(round))))
}

func (c Config) logf(format string, args ...any) {
	fmt.Fprintf(c.Log, format+"\n", args...)
}
