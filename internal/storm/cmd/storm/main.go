// Command storm kills, stops and continues processes of a bus and checks what
// they saw; see package storm.
package main

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"

	"github.com/shmbus/shmbus/internal/failpoint"
	"github.com/shmbus/shmbus/internal/storm"
)

func main() {
	storm.Child()
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "storm:", err)
		os.Exit(1)
	}
}

func run() error {
	c := storm.Config{Log: os.Stdout}
	flag.Uint64Var(&c.Seed, "seed", 0, "of all choices; 0: a random one")
	flag.IntVar(&c.Kills, "kills", 2000, "kills in all")
	flag.IntVar(&c.Stops, "stops", 2000, "stops in all")
	flag.IntVar(&c.Arenas, "arenas", 2, "buses at once")
	flag.IntVar(&c.Round, "round", 200, "kills, or stops, a round")
	flag.StringVar(&c.Fenced, "fenced", "", "fenced topics: yes, no, or in every other arena")
	flag.BoolVar(&c.Hosts, "hosts", false, "kill nobody but the host, and measure how long joining takes then")
	flag.BoolVar(&c.Steady, "steady", false, "kill no host: one process serves, and must hold in the end what it held in the beginning")
	flag.DurationVar(&c.Duration, "duration", 0, "go on for so long, in place of -kills and -stops, with a line a minute")
	inside := flag.Bool("inside", false, "publishers stop inside the lock, too (build with -tags failpoint)")
	flag.BoolVar(&c.Clocks, "clocks", false, "run some children in time namespaces with other clocks (root)")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flag.Arg(0))
	}
	if *inside && !failpoint.Compiled {
		return errors.New("-inside needs failpoints: go run -tags failpoint ./internal/storm/cmd/storm -inside …")
	}
	if *inside {
		c.FailpointProgram = "/proc/self/exe"
	}
	if _, err := os.Stat("/proc/self/timens_offsets"); err == nil && c.Duration > 0 && os.Geteuid() == 0 {
		c.Clocks = true
		fmt.Println("some children run in time namespaces with other clocks")
	}
	for c.Seed == 0 {
		c.Seed = rand.Uint64()
	}
	fmt.Printf("seed %d\n", c.Seed)
	v, err := storm.Run(c)
	if err != nil {
		return err
	}
	fmt.Println(v)
	if !v.OK() {
		return fmt.Errorf("replay: %s", replay(c.Seed))
	}
	return nil
}

// replay is the command that makes the same choices again.
func replay(seed uint64) string {
	words := []string{"go run ./internal/storm/cmd/storm"}
	if failpoint.Compiled {
		words = []string{"go run -tags failpoint ./internal/storm/cmd/storm"}
	}
	flag.Visit(func(f *flag.Flag) {
		if f.Name != "seed" {
			words = append(words, fmt.Sprintf("-%s=%s", f.Name, f.Value))
		}
	})
	return fmt.Sprintf("%s -seed=%d", strings.Join(words, " "), seed)
}
