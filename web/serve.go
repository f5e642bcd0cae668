package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// stopTimeout is how long requests may take to end when a bridge stops.
const stopTimeout = 2 * time.Second

// servingKey is where a request's context has that of its Serve, which ends
// before the requests do.
type servingKey struct{}

// Serve serves Handler on l until ctx ends, then returns nil. It closes l. At
// the end streams end at once, whole; other requests are answered if that takes
// no longer than stopTimeout, for which Serve blocks.
func (b *Bridge) Serve(ctx context.Context, l net.Listener) error {
	s := &http.Server{
		Handler:           b.Handler(),
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    mostHeader,
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
		BaseContext: func(net.Listener) context.Context {
			return context.WithValue(context.Background(), servingKey{}, ctx)
		},
	}
	if b.config.Logger != nil {
		s.ErrorLog = slog.NewLogLogger(b.config.Logger.Handler(), slog.LevelDebug)
	}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		most, cancel := context.WithTimeout(context.Background(), b.stopTimeout)
		defer cancel()
		if s.Shutdown(most) != nil {
			_ = s.Close()
		}
	})
	err := s.Serve(l)
	if !stop() {
		<-stopped
	}
	if err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("web: %w", err)
	}
	return nil
}

// noBody refuses a body, which nobody would read while the stream goes on.
// Errors: errInput.
func noBody(r *http.Request) error {
	if r.ContentLength == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s %s has a body: want none", errInput, r.Method, r.URL.Path)
}

// stream counts a stream until done is called; errStreams if there are too
// many. Its context ends with the request, the bridge, or its serving; the cause
// of the last two is errEnding.
func (b *Bridge) stream(r *http.Request) (ctx context.Context, done func(), err error) {
	select {
	case b.streams <- struct{}{}:
	default:
		return nil, nil, fmt.Errorf("%w: there are %d, which is the limit", errStreams, cap(b.streams))
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	end := func() { cancel(errEnding) }
	forget := []func() bool{context.AfterFunc(b.life, end)}
	if serving, ok := r.Context().Value(servingKey{}).(context.Context); ok {
		forget = append(forget, context.AfterFunc(serving, end))
	}
	return ctx, func() {
		for _, f := range forget {
			f()
		}
		cancel(nil)
		<-b.streams
	}, nil
}
