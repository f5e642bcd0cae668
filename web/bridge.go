package web

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"time"

	"github.com/shmbus/shmbus/bus"
	"github.com/shmbus/shmbus/internal/watch"
)

//go:embed page
var pageFiles embed.FS

//go:embed openapi.json
var openAPI []byte

// Limits in time and size.
const (
	headerTimeout = 5 * time.Second
	bodyTimeout   = 30 * time.Second
	idleTimeout   = 2 * time.Minute
	answerTimeout = 10 * time.Second // for one write to a client that reads
	hostTimeout   = 5 * time.Second  // for an answer of the bus' host
	mostHeader    = 16 << 10
	mostBody      = 16 << 20
)

// Bridge serves a bus by HTTP.
type Bridge struct {
	config   Config
	observer *bus.Observer
	bus      *bus.Bus // for subscribers and publishers

	life    context.Context // ends with Close
	end     context.CancelFunc
	streams chan struct{} // one element for each stream there is
	looks   *looks
	rate    *limiter
	bodies  *budget

	bodyTimeout   time.Duration // for a request's body
	answerTimeout time.Duration // for one write to a client that reads
	stopTimeout   time.Duration // for requests when Serve ends

	publishers *publishers
}

// New opens the bus. Close the Bridge when nobody uses its handler any more.
// Errors: [ErrConfig], those of [bus.Observe] and [bus.Open].
func New(ctx context.Context, c Config) (*Bridge, error) {
	if err := c.complete(); err != nil {
		return nil, err
	}
	o, err := bus.Observe(ctx, c.Bus)
	if err != nil {
		return nil, err
	}
	h, err := bus.Open(ctx, c.Bus)
	if err != nil {
		return nil, errors.Join(err, o.Close())
	}
	if c.Token == "" { // the bus is there, and so is the directory it is kept in
		if c.Token, err = LoadToken(c.TokenFile); err != nil {
			return nil, errors.Join(err, h.Close(), o.Close())
		}
	}
	b := &Bridge{
		config: c, observer: o, bus: h, streams: make(chan struct{}, c.MaxStreams), bodyTimeout: bodyTimeout, answerTimeout: answerTimeout, stopTimeout: stopTimeout,
		rate: newLimiter(c.MaxPublishRate), bodies: &budget{left: mostBodies},
	}
	b.life, b.end = context.WithCancel(context.Background())
	b.looks = newLooks(b.life, o)
	b.publishers = newPublishers(b.life, b.join)
	return b, nil
}

// Close ends all streams and leaves the bus.
func (b *Bridge) Close() error {
	b.end()
	b.looks.wait()
	b.publishers.wait()
	return errors.Join(b.bus.Close(), b.observer.Close())
}

// Handler is everything the bridge answers. See the package's documentation
// for what it lets in.
func (b *Bridge) Handler() http.Handler {
	mux := http.NewServeMux()
	page, err := fs.Sub(pageFiles, "page")
	if err != nil {
		panic(err) // it is embedded
	}
	files := http.FileServerFS(page)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			b.refuse(w, r, http.StatusMethodNotAllowed, "method", "there is only GET "+r.URL.Path)
			return
		}
		files.ServeHTTP(w, r)
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.Handle("/v1/", b.needToken(b.api()))
	return b.guard(mux)
}

// api is everything that shows or changes the bus.
func (b *Bridge) api() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(openAPI)
	})
	mux.HandleFunc("GET /v1/bridge", func(w http.ResponseWriter, _ *http.Request) {
		b.answer(w, http.StatusOK, map[string]any{"bus": b.observer.Name(), "publish": b.config.AllowPublish, "max_streams": b.config.MaxStreams})
	})
	mux.HandleFunc("GET /v1/snapshots", b.snapshots)
	mux.HandleFunc("GET /v1/topics", b.topics)
	mux.HandleFunc("GET /v1/topics/{topic}", b.topic)
	mux.HandleFunc("GET /v1/topics/{topic}/messages", b.tail)
	mux.HandleFunc("POST /v1/topics/{topic}/messages", b.publish)
	mux.HandleFunc("/v1/", func(w http.ResponseWriter, r *http.Request) {
		b.refuse(w, r, http.StatusNotFound, "not-found", "there is no "+r.Method+" "+r.URL.Path+"; see /v1/openapi.json")
	})
	return mux
}

// LoginLink is what the user opens in a browser. The token is in the fragment,
// which browsers keep to themselves: the page takes it from there.
func (b *Bridge) LoginLink(l net.Listener) string {
	return "http://" + l.Addr().String() + "/#token=" + b.config.Token
}

// look reads the bus for one request.
func (b *Bridge) look(ctx context.Context) ([]watch.Topic, error) {
	ctx, cancel := context.WithTimeout(ctx, hostTimeout)
	defer cancel()
	s := watch.New(b.observer).Look(ctx)
	if s.Host == nil {
		return nil, fmt.Errorf("%w: %s", bus.ErrNoHost, s.Problem)
	}
	return s.Topics, nil
}

// topics lists the topics.
func (b *Bridge) topics(w http.ResponseWriter, r *http.Request) {
	topics, err := b.look(r.Context())
	if err != nil {
		b.fail(w, r, err)
		return
	}
	b.answer(w, http.StatusOK, map[string]any{"topics": topics})
}

// topic shows one topic.
func (b *Bridge) topic(w http.ResponseWriter, r *http.Request) {
	topics, err := b.look(r.Context())
	if err != nil {
		b.fail(w, r, err)
		return
	}
	for i := range topics {
		if topics[i].Topic == r.PathValue("topic") {
			b.answer(w, http.StatusOK, &topics[i])
			return
		}
	}
	b.fail(w, r, fmt.Errorf("%w: %q", bus.ErrNoTopic, r.PathValue("topic")))
}
