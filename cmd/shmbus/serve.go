package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/shmbus/shmbus/control"
	"github.com/shmbus/shmbus/metrics"
)

func newServe(a *app) *cobra.Command {
	var (
		maxMemory size
		fenced    bool
		group     string
		after     time.Duration
		show      string
	)
	onStall := choice{word: control.OnStallWait, words: []string{control.OnStallWait, control.OnStallKill}}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "host a bus and keep its topics until rm",
		Long: `Host a bus and nothing else. Topics then live until ` + "`shmbus rm`" + `, not only while
somebody is attached. Fails if somebody hosts the bus already. SIGTERM ends it
with exit code 0; the participants go on and one of them becomes the host.`,
		Args: noArgs,
		RunE: a.runE(func(cmd *cobra.Command, _ []string) error {
			if err := a.checkServe(cmd, maxMemory, onStall.word, after); err != nil {
				return err
			}
			a.service = true
			c := control.Config{
				Bus: a.busName(), Dir: a.rootDir(), Create: true, Logger: a.logger(),
				Host: control.HostConfig{MaxMemory: uint64(maxMemory), Fenced: fenced, Group: group, Keep: true,
					OnStall: onStall.word, StallAfter: after},
			}
			return a.serve(cmd, c, show)
		}),
	}
	f := cmd.Flags()
	f.Var(&maxMemory, "max-memory", "limit of the regions of all topics together (default half of what is available)")
	f.BoolVar(&fenced, "fenced", false, "create rings for participants without membarrier (slower)")
	f.Var(&onStall, "on-stall", "when a participant is stopped or frozen inside a lock: wait for it, or kill it and repair")
	f.DurationVar(&after, "stall-after", 5*time.Second, "how long --on-stall kill waits first")
	must(cmd.RegisterFlagCompletionFunc("on-stall", completeWords(onStall.words...)))
	f.StringVar(&show, "metrics", "", "serve Prometheus metrics at `ADDR`, HOST:PORT or unix:PATH; see `shmbus metrics`")
	f.StringVar(&group, "group", "", "let other users of group `NAME` subscribe, lossy, as restricted guests")
	return cmd
}

// checkServe refuses flags that say nothing, or the opposite of serve.
func (a *app) checkServe(cmd *cobra.Command, maxMemory size, onStall string, after time.Duration) error {
	given := cmd.Flags().Changed
	switch {
	case a.noHost:
		return usagef("--no-host: serve is the host; leave it away")
	case given("max-memory") && maxMemory == 0:
		return usagef("--max-memory 0: want more than 0; without it, it is half of what is available")
	case after <= 0:
		return usagef("--stall-after %v: want a duration above 0, like 5s", after)
	case given("stall-after") && onStall != control.OnStallKill:
		return usagef("--stall-after %v: nobody is killed without --on-stall kill; add that", after)
	}
	return nil
}

// serve hosts the bus until the command ends and, if it has an address to show
// them at, shows its metrics.
func (a *app) serve(cmd *cobra.Command, c control.Config, show string) error {
	var l net.Listener
	if show != "" {
		var err error
		if l, err = listenMetrics(show); err != nil {
			return err
		}
		defer l.Close()
	}
	ctx, end := context.WithCancelCause(cmd.Context())
	var shown sync.WaitGroup
	err := control.Serve(ctx, c, func(address string) {
		fmt.Fprintf(os.Stderr, "%s: serving bus %s at %s\n", cmd.CommandPath(), a.busName(), address)
		if l != nil {
			shown.Go(func() {
				if err := a.serveMetrics(ctx, cmd.CommandPath(), l, metrics.Options{Logger: a.logger()}); err != nil {
					end(err)
				}
			})
		}
	})
	end(nil)
	shown.Wait()
	if cause := context.Cause(ctx); cmd.Context().Err() == nil && !errors.Is(cause, context.Canceled) {
		return errors.Join(err, cause)
	}
	return err
}
