package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/shmbus/shmbus/bench"
	"github.com/shmbus/shmbus/ring"
)

// benchFlags are the flags of bench.
type benchFlags struct {
	plan        string
	mechanisms  []string
	patterns    []string
	sizes       []string
	capacities  []string
	publishers  []int
	subscribers []int
	waits       []string
	stamps      []string
	rates       []int
	rounds      int
	quick       bool
	budget      time.Duration
	peers       string
}

func newBench(a *app) *cobra.Command {
	var f benchFlags
	names, abouts := bench.Mechanisms()
	list := ""
	for i := range names {
		list += fmt.Sprintf("  %-24s %s\n", names[i], abouts[i])
	}
	plans, contents := bench.Plans()
	listPlans := ""
	for i := range plans {
		listPlans += fmt.Sprintf("  %-24s %s\n", plans[i], contents[i])
	}
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "measure shmbus, its limits and what else there is, between real processes",
		Long: `Measure what a message costs between pinned processes of their own: by shmbus,
by the bare limits of the machine, by what else one could use. Every mechanism
has one turn in each round, in fresh processes that warm up first, every word of
every message checked; then each message is copied in, one word of each of its
cache lines read, its number checked and all sums verified. The table has medians over the rounds. Rounds in which the
machine's caches were in a slow state are left out, and said so.

  stream  as fast as it goes
  rtt     one message there and one back
  paced   messages due at fixed times; latency counts from when they were due

Without filters the cells that matter most are measured: below 10 minutes, with
--quick below 30 seconds. Filters take lists; once a size, a capacity, a number
of actors, a wait, a rate or stamps are given, all combinations of what is given
are measured, or of the cells of a --plan those that fit. -o json writes one
object a line for each row.

Plans:
` + listPlans + `
Mechanisms:
` + list,
		Example: `  shmbus bench --quick
  shmbus bench --mechanism limit-spsc,shmbus --pattern stream --size 64,1KiB -o json
  shmbus bench --plan growth-ring --size 64`,
		Args: noArgs,
		RunE: a.runE(func(cmd *cobra.Command, _ []string) error { return runBench(cmd, a, &f) }),
	}
	fs := cmd.Flags()
	fs.BoolVar(&f.quick, "quick", false, "fewer cells, less time for each: below 30 seconds")
	fs.StringVar(&f.plan, "plan", "", "a `PLAN` instead of the default one")
	fs.StringSliceVar(&f.mechanisms, "mechanism", nil, "only these mechanisms")
	fs.StringSliceVar(&f.patterns, "pattern", nil, "only these of stream, rtt, paced")
	fs.StringSliceVar(&f.sizes, "size", nil, "payload sizes: multiples of 8 bytes, like 64 or 64KiB")
	fs.StringSliceVar(&f.capacities, "capacity", nil, "rings of these many bytes, powers of two like 64KiB (default 4MiB, or more for large payloads)")
	fs.IntSliceVar(&f.publishers, "publishers", nil, "numbers of publishers")
	fs.IntSliceVar(&f.subscribers, "subscribers", nil, "numbers of subscribers, all in one process")
	fs.StringSliceVar(&f.waits, "wait", nil, "ways to wait: spin, park, adaptive")
	fs.StringSliceVar(&f.stamps, "stamps", nil, "publish times: on, off")
	fs.IntSliceVar(&f.rates, "rate", nil, "messages per second; without --pattern, paced alone is measured")
	fs.IntVar(&f.rounds, "rounds", 7, "rounds")
	fs.DurationVar(&f.budget, "budget", 0, "about how long to take (default: the plan's)")
	fs.StringVar(&f.peers, "peers", "", "`DIR` with the programs of bench/peers, to be measured too")
	must(cmd.RegisterFlagCompletionFunc("mechanism", completeWords(names...)))
	must(cmd.RegisterFlagCompletionFunc("plan", completeWords(plans...)))
	must(cmd.RegisterFlagCompletionFunc("pattern", completeWords("stream", "rtt", "paced")))
	must(cmd.RegisterFlagCompletionFunc("wait", completeWords("spin", "park", "adaptive")))
	must(cmd.RegisterFlagCompletionFunc("stamps", completeWords("on", "off")))
	return cmd
}

func (f *benchFlags) choice() (bench.Choice, error) {
	c := bench.Choice{
		Plan: f.plan, Mechanisms: f.mechanisms, Patterns: f.patterns, Publishers: f.publishers, Subscribers: f.subscribers,
		Waits: f.waits, Rates: f.rates, Quick: f.quick, Peers: f.peers != "",
	}
	for _, text := range f.sizes {
		var s size
		if err := s.Set(text); err != nil {
			return c, usagef("--size %s: %v", text, err)
		}
		if s == 0 || s%8 != 0 {
			return c, usagef("--size %s: want a multiple of 8 bytes", text)
		}
		c.Sizes = append(c.Sizes, int(s))
	}
	for _, text := range f.capacities {
		var s size
		if err := s.Set(text); err != nil {
			return c, usagef("--capacity %s: %v", text, err)
		}
		if s < ring.MinCapacity || s > ring.MaxCapacity || s&(s-1) != 0 {
			return c, usagef("--capacity %s: want a power of two from 4KiB to 4GiB", text)
		}
		c.Capacities = append(c.Capacities, uint64(s))
	}
	for _, text := range f.stamps {
		if text != "on" && text != "off" {
			return c, usagef("--stamps %s: want on, off or both", text)
		}
		c.Stamps = append(c.Stamps, text == "on")
	}
	for _, counts := range []struct {
		flag   string
		values []int
		most   int // 0 means no limit
	}{
		{"publishers", f.publishers, bench.MaxPublishers}, {"subscribers", f.subscribers, bench.MaxSubscribers},
		{"rate", f.rates, 0}, {"rounds", []int{f.rounds}, 0},
	} {
		for _, n := range counts.values {
			switch {
			case n >= 1 && (counts.most == 0 || n <= counts.most):
			case counts.most > 0:
				return c, usagef("--%s %d: want 1 to %d", counts.flag, n, counts.most)
			default:
				return c, usagef("--%s %d: want at least 1", counts.flag, n)
			}
		}
	}
	if f.quick && f.plan != "" {
		return c, usagef("--quick and --plan %s: want one of them", f.plan)
	}
	return c, nil
}

func runBench(cmd *cobra.Command, a *app, f *benchFlags) error {
	choice, err := f.choice()
	if err != nil {
		return err
	}
	if cmd.Flags().Changed("budget") && f.budget <= 0 {
		return usagef("--budget %v: want more than 0; without it, it is the plan's", f.budget)
	}
	cells, err := bench.Plan(choice)
	if errors.Is(err, bench.ErrNoPeers) {
		return usagef("--mechanism %s needs --peers DIR with the programs of bench/peers", strings.Join(f.mechanisms, ","))
	}
	if err != nil {
		return usageError{err}
	}
	o := bench.Options{Cells: cells, Rounds: f.rounds, Budget: f.budget, Peers: f.peers, Notes: os.Stderr}
	if o.Budget == 0 {
		o.Budget = choice.Budget()
	}
	report, err := bench.Run(cmd.Context(), o)
	if err != nil {
		return err
	}
	rows := report.Rows
	if f.peers != "" {
		rows = append(rows, bench.Quoted(rows)...)
	}
	if a.output == formatText {
		slices.SortStableFunc(rows, bench.Order)
		return bench.WriteTable(stdout{}, rows)
	}
	e := json.NewEncoder(stdout{})
	for i := range rows {
		if err := e.Encode(&rows[i]); err != nil {
			return err
		}
	}
	return nil
}

// newBenchActor is a participant's process of bench.
func newBenchActor(a *app) *cobra.Command {
	return &cobra.Command{
		Use:    "bench-actor",
		Short:  "one process of shmbus bench",
		Hidden: true,
		Args:   noArgs,
		RunE: a.runE(func(*cobra.Command, []string) error {
			return bench.Actor(os.Stdin)
		}),
	}
}
