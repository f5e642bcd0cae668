package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/shmbus/shmbus/bus"
	"github.com/shmbus/shmbus/internal/top"
	"github.com/shmbus/shmbus/internal/watch"
)

// Bounds of --interval: below, rates jump; above, nobody waits.
const (
	leastInterval = 100 * time.Millisecond
	mostInterval  = time.Hour
)

func newTop(a *app) *cobra.Command {
	var (
		interval time.Duration
		once     bool
	)
	cmd := &cobra.Command{
		Use:   "top",
		Short: "watch topics, publishers and subscribers live",
		Long: `Watch what happens on a bus: rates, latencies, lag, loss, who holds up whom. It
only reads the shared memory, which nobody notices. ? shows the keys. With
--once, or where the output is no terminal, plain text; with -o json, an object
a line.`,
		Args: noArgs,
		RunE: a.runE(func(cmd *cobra.Command, _ []string) error {
			if interval < leastInterval || interval > mostInterval {
				return usagef("--interval %v: want %v to %v", interval, leastInterval, mostInterval)
			}
			ctx := cmd.Context()
			observer, err := bus.Observe(ctx, a.busConfig())
			if err != nil {
				return err
			}
			defer observer.Close()
			w := watch.New(observer)
			if once || a.output == formatJSON || !top.IsTerminal(os.Stdout) || !top.IsTerminal(os.Stdin) {
				return a.printTop(ctx, w, interval, once)
			}
			return top.Run(ctx, w, interval)
		}),
	}
	f := cmd.Flags()
	f.DurationVar(&interval, "interval", time.Second, "how often to look")
	f.BoolVar(&once, "once", false, "print what happened in one interval, and end")
	return cmd
}

// printTop prints snapshots. The first is only to compare the next with.
func (a *app) printTop(ctx context.Context, w *watch.Watcher, interval time.Duration, once bool) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	top.Look(ctx, w, interval)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		s := top.Look(ctx, w, interval)
		if err := ctx.Err(); err != nil {
			return err
		}
		text := top.Text(s) + "\n"
		if a.output == formatJSON {
			line, err := json.Marshal(&s)
			must(err)
			text = string(line) + "\n"
		}
		if _, err := fmt.Fprint(stdout{}, text); err != nil || once {
			return err
		}
	}
}
