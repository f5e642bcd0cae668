package metrics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/shmbus/shmbus/bus"
)

// Options say what [Serve] offers besides /metrics, /healthz and /readyz.
type Options struct {
	// Pprof: net/http/pprof under /debug/pprof/. Who can read it can read what
	// the process has in memory.
	Pprof bool
	// Logger gets errors of scrapes; nil means silence.
	Logger *slog.Logger
}

// Limits of the server. A scrape of a large bus takes some milliseconds; what
// takes longer has gone wrong.
const (
	headerTimeout = 5 * time.Second
	scrapeTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
	mostHeader    = 16 << 10
	mostScrapes   = 4 // at once: more would pile up behind a bus that does not answer
)

// Handler serves everything about one bus, as [Serve] does, for a server of
// the caller's own:
//
//	GET /metrics   text, OpenMetrics or protobuf, as the scraper asks
//	GET /healthz   200 while the process serves
//	GET /readyz    200 if the bus has a host that answers, 503 and the reason if not
//
// Over a loopback address it answers 403 unless the Host header names loopback.
func Handler(o *bus.Observer, options Options) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	mux := http.NewServeMux()
	scrape := newScraper(NewBusCollector(o), registry, options.Logger)
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(scrapeTimeout)) // not in tests
		scrape.ServeHTTP(w, r)
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { plain(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
		defer cancel()
		if _, err := o.Host(ctx); err != nil {
			plain(w, http.StatusServiceUnavailable, err.Error())
			return
		}
		plain(w, http.StatusOK, "ok")
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		plain(w, http.StatusOK, "shmbus metrics: see /metrics, /healthz, /readyz")
	})
	if options.Pprof {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	return guarded(mux)
}

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	fmt.Fprintln(w, text)
}

// Serve serves Handler on l until ctx ends, then returns nil. It closes l.
func Serve(ctx context.Context, l net.Listener, o *bus.Observer, options Options) error {
	s := &http.Server{
		Handler:           Handler(o, options),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    mostHeader,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	if options.Logger != nil {
		s.ErrorLog = slog.NewLogLogger(options.Logger.Handler(), slog.LevelDebug)
	}
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	if err := s.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("metrics: %w", err)
	}
	return nil
}
