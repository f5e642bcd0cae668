package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/shmbus/shmbus/control"
	"github.com/shmbus/shmbus/metrics"
	"github.com/shmbus/shmbus/web"
)

func newHTTP(a *app) *cobra.Command {
	var (
		c      web.Config
		listen string
	)
	cmd := &cobra.Command{
		Use:   "http",
		Short: "let browsers and curl see the bus, and use it if allowed",
		Long: `Bridge a bus to browsers: a dashboard, and an API to list topics, follow messages
and, with --allow-publish, publish. It prints a login link; the token in it, kept
in a file of this user's own, is what every request needs. It listens on
loopback, or on a Unix socket of mode 0600; for anything else put a proxy in
front. A slow browser holds nobody up: it loses messages, and is told how many.`,
		Args: noArgs,
		RunE: a.runE(func(cmd *cobra.Command, _ []string) error {
			if c.MaxStreams < 1 {
				return usagef("--max-streams %d: want at least 1", c.MaxStreams)
			}
			if c.MaxPublishRate < 1 {
				return usagef("--max-publish-rate %d: want at least 1; without --allow-publish nobody publishes", c.MaxPublishRate)
			}
			a.service = true
			l, err := web.Listen(listen, metrics.Listen)
			if errors.Is(err, web.ErrConfig) || errors.Is(err, metrics.ErrAddress) {
				return usageError{err}
			}
			if err != nil {
				return err
			}
			defer l.Close()
			c.Bus, c.Logger = a.busConfig(), a.logger()
			if c.TokenFile == "" {
				root, _, err := control.ResolveRoot(a.rootDir())
				if err != nil {
					return err
				}
				c.TokenFile = filepath.Join(root, a.busName(), "http-token")
			}
			b, err := web.New(cmd.Context(), c)
			if errors.Is(err, web.ErrConfig) {
				return usageError{err}
			}
			if err != nil {
				return err
			}
			defer b.Close()
			if l.Addr().Network() == "unix" {
				fmt.Fprintf(os.Stderr, "%s: bus %s at %s, token in %s\n", cmd.CommandPath(), a.busName(), l.Addr(), c.TokenFile)
			} else {
				fmt.Fprintf(os.Stderr, "%s: bus %s, open %s\n", cmd.CommandPath(), a.busName(), b.LoginLink(l))
			}
			return b.Serve(cmd.Context(), l)
		}),
	}
	f := cmd.Flags()
	f.StringVar(&listen, "listen", web.DefaultAddress, "`ADDR` to serve at: loopback HOST:PORT or unix:PATH")
	f.BoolVar(&c.AllowPublish, "allow-publish", false, "let clients publish to topics that are there")
	f.StringSliceVar(&c.Hosts, "allow-host", nil, "`HOST` that a proxy may send in the Host header")
	f.StringSliceVar(&c.Origins, "allow-origin", nil, "`ORIGIN` (scheme://host) of other sites whose pages may use the API with the token")
	f.StringVar(&c.TokenFile, "token-file", "", "`FILE` of the token (default http-token in the directory of the bus)")
	f.IntVar(&c.MaxStreams, "max-streams", 64, "`N` streams at once")
	f.IntVar(&c.MaxPublishRate, "max-publish-rate", 10_000, "`N` messages published in a second, all clients together")
	return cmd
}
