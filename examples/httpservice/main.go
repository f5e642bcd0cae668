// Httpservice publishes from the handlers of an HTTP service. Handlers run in
// many goroutines; a Publisher belongs to one, so they share one by Shared.
//
//	go run ./examples/httpservice -addr localhost:8080
//	shmbus sub events &
//	curl -d 'it works' localhost:8080/publish
//
// Without -addr it serves itself one request and ends.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/shmbus/shmbus/bus"
)

// publish answers a POST when its body is in the ring.
func publish(pub *bus.SharedPublisher) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(pub.MaxMessage())))
		if err == nil {
			// A full ring holds up this request until the client gives up.
			err = pub.Publish(r.Context(), body)
		}
		switch {
		case err == nil:
			w.WriteHeader(http.StatusAccepted)
		case errors.Is(err, bus.ErrClosed):
			http.Error(w, "shutting down", http.StatusServiceUnavailable)
		default:
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	}
}

func main() {
	addr := flag.String("addr", "", "address to listen on")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *addr); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, addr string) error {
	b, err := bus.Open(ctx, bus.Config{})
	if err != nil {
		return err
	}
	defer b.Close() // after the server: no handler is left
	pub, err := b.Publisher(ctx, "events", bus.PublisherConfig{Name: "http"})
	if err != nil {
		return err
	}
	server := &http.Server{Addr: addr, Handler: publish(pub.Shared()), ReadHeaderTimeout: 5 * time.Second}
	if addr == "" {
		return demonstrate(ctx, b, server.Handler)
	}
	defer context.AfterFunc(ctx, func() { _ = server.Shutdown(context.Background()) })()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func demonstrate(ctx context.Context, b *bus.Bus, h http.Handler) error {
	sub, err := b.Subscriber(ctx, "events", bus.SubscriberConfig{})
	if err != nil {
		return err
	}
	answer := httptest.NewRecorder()
	h.ServeHTTP(answer, httptest.NewRequest(http.MethodPost, "/publish", strings.NewReader("it works")))
	m, err := sub.Next(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("status %d, event %d: %s\n", answer.Code, m.Sequence, m.Payload)
	return nil
}
