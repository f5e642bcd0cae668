package main

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/shmbus/shmbus/control"
)

func newServe(a *app) *cobra.Command {
	var (
		maxMemory size
		fenced    bool
		group     string
		after     time.Duration
	)
	onStall := choice{word: control.OnStallWait, words: []string{control.OnStallWait, control.OnStallKill}}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "host a bus and keep its topics until rm",
		Long: `Host a bus and nothing else. Topics then live until ` + "`shmbus rm`" + `, not only while
somebody is attached. Fails if somebody hosts the bus already. SIGTERM ends it
with exit code 0; the participants go on and one of them becomes the host.`,
		Args: cobra.NoArgs,
		RunE: a.runE(func(cmd *cobra.Command, _ []string) error {
			if after <= 0 {
				return usagef("--stall-after %v: want a duration above 0, like 5s", after)
			}
			a.service = true
			c := control.Config{
				Bus: a.busName(), Dir: a.rootDir(), Create: true, Logger: a.logger(),
				Host: control.HostConfig{MaxMemory: uint64(maxMemory), Fenced: fenced, Group: group, Keep: true,
					OnStall: onStall.word, StallAfter: after},
			}
			return control.Serve(cmd.Context(), c, func(address string) {
				fmt.Fprintf(os.Stderr, "%s: serving bus %s at %s\n", cmd.CommandPath(), a.busName(), address)
			})
		}),
	}
	f := cmd.Flags()
	f.Var(&maxMemory, "max-memory", "limit of the regions of all topics together (default half of what is available)")
	f.BoolVar(&fenced, "fenced", false, "create rings for participants without membarrier (slower)")
	f.Var(&onStall, "on-stall", "when a participant is stopped or frozen inside a lock: wait for it, or kill it and repair")
	f.DurationVar(&after, "stall-after", 5*time.Second, "how long --on-stall kill waits `first`")
	must(cmd.RegisterFlagCompletionFunc("on-stall", completeWords(onStall.words...)))
	f.StringVar(&group, "group", "", "let other users of group `NAME` subscribe, lossy, as restricted guests")
	return cmd
}
