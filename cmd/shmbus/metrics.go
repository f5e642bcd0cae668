package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/spf13/cobra"

	"github.com/shmbus/shmbus/bus"
	"github.com/shmbus/shmbus/metrics"
)

func newMetrics(a *app) *cobra.Command {
	var (
		listen string
		pprof  bool
	)
	cmd := &cobra.Command{
		Use:   "metrics",
		Short: "serve Prometheus metrics of a bus",
		Long: `Serve what everybody on the bus has counted, for Prometheus: messages, bytes,
loss, lag, latencies, waiting, repairs. It is read from the shared memory, which
holds nobody up. ADDR is HOST:PORT, or unix:PATH for a socket of this user's own.
/healthz and /readyz are for supervisors.

Anybody who can connect to HOST:PORT can read the names of topics and
participants: stay on 127.0.0.1, or put a proxy in front.`,
		Args: noArgs,
		RunE: a.runE(func(cmd *cobra.Command, _ []string) error {
			a.service = true
			l, err := listenMetrics(listen)
			if err != nil {
				return err
			}
			defer l.Close()
			return a.serveMetrics(cmd.Context(), cmd.CommandPath(), l, metrics.Options{Pprof: pprof, Logger: a.logger()})
		}),
	}
	f := cmd.Flags()
	f.StringVar(&listen, "listen", metrics.DefaultAddress, "`ADDR` to serve at: HOST:PORT or unix:PATH")
	f.BoolVar(&pprof, "pprof", false, "serve /debug/pprof/ too: profiles of this process")
	return cmd
}

// listenMetrics listens; an address that makes no sense is an error of usage.
func listenMetrics(address string) (net.Listener, error) {
	l, err := metrics.Listen(address)
	if errors.Is(err, metrics.ErrAddress) {
		return nil, usageError{err}
	}
	return l, err
}

// serveMetrics serves the metrics of the bus until ctx ends.
func (a *app) serveMetrics(ctx context.Context, command string, l net.Listener, o metrics.Options) error {
	observer, err := bus.Observe(ctx, a.busConfig())
	if err != nil {
		return err
	}
	defer observer.Close()
	where := "http://" + l.Addr().String() + "/metrics"
	if l.Addr().Network() == "unix" {
		where = l.Addr().String()
	}
	fmt.Fprintf(os.Stderr, "%s: metrics of bus %s at %s\n", command, a.busName(), where)
	return metrics.Serve(ctx, l, observer, o)
}
