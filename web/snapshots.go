package web

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/shmbus/shmbus/internal/watch"
)

// lookInterval is how often the bus is looked at while somebody watches.
const lookInterval = time.Second

// looks takes snapshots while somebody waits for them, one for all. Who is slow
// misses some: each gets the newest there is.
type looks struct {
	life   context.Context
	source watch.Source

	mu       sync.Mutex
	watching int
	running  bool
	newest   []byte        // JSON
	next     chan struct{} // closed when there is a newer one
	done     sync.WaitGroup
}

func newLooks(life context.Context, source watch.Source) *looks {
	return &looks{life: life, source: source, next: make(chan struct{})}
}

// join counts a watcher; the function it returns takes that back.
func (l *looks) join() (leave func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watching++
	if !l.running && l.life.Err() == nil {
		l.running = true
		l.done.Go(l.run)
	}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.watching--
	}
}

// run looks until nobody watches. It begins with a new watcher: rates since
// somebody watched last would be averages over all the time nobody did.
func (l *looks) run() {
	watcher := watch.New(l.source)
	tick := time.NewTicker(lookInterval)
	defer tick.Stop()
	for {
		ctx, cancel := context.WithTimeout(l.life, hostTimeout)
		s := watcher.Look(ctx)
		cancel()
		b, err := json.Marshal(&s)
		if err != nil {
			panic("web: a snapshot is not JSON: " + err.Error()) // of numbers and strings it always is
		}
		l.mu.Lock()
		l.newest = b
		close(l.next)
		l.next = make(chan struct{})
		if l.watching == 0 || l.life.Err() != nil {
			l.running = false
			l.mu.Unlock()
			return
		}
		l.mu.Unlock()
		select {
		case <-tick.C:
		case <-l.life.Done():
		}
	}
}

// wait waits until nobody looks any more; life is over.
func (l *looks) wait() { l.done.Wait() }

// newer returns the channel that is closed when there is a newer snapshot.
func (l *looks) newer() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.next
}

func (l *looks) latest() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.newest
}

// snapshots streams what happens on the bus, once a second.
func (b *Bridge) snapshots(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodHead { // no stream: see tail
		w.Header().Set("Content-Type", eventStream)
		return
	}
	if err := noBody(r); err != nil {
		b.fail(w, r, err)
		return
	}
	ctx, done, err := b.stream(r)
	if err != nil {
		b.fail(w, r, err)
		return
	}
	defer done()
	next := b.looks.newer()
	defer b.looks.join()()
	out := newEvents(w, b.answerTimeout)
	for {
		select {
		case <-next:
		case <-ctx.Done():
			return
		}
		next = b.looks.newer()
		if out.event("snapshot", "", b.looks.latest()) != nil || out.flush() != nil {
			return
		}
	}
}

const eventStream = "text/event-stream"

// events writes server-sent events.
type events struct {
	w       http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration // for one write
	b       []byte
}

func newEvents(w http.ResponseWriter, timeout time.Duration) *events {
	w.Header().Set("Content-Type", eventStream)
	w.Header().Set("X-Accel-Buffering", "no") // proxies pass it on at once
	deadline(w, timeout)
	w.WriteHeader(http.StatusOK)
	e := &events{w: w, control: http.NewResponseController(w), timeout: timeout}
	_ = e.flush()
	return e
}

// event adds an event; data is one line.
func (e *events) event(kind, id string, data []byte) error {
	if kind != "" {
		e.b = append(append(append(e.b, "event: "...), kind...), '\n')
	}
	if id != "" {
		e.b = append(append(append(e.b, "id: "...), id...), '\n')
	}
	e.b = append(append(append(e.b, "data: "...), data...), '\n', '\n')
	if len(e.b) >= flushAt {
		return e.flush()
	}
	return nil
}

// comment keeps the connection alive.
func (e *events) comment() error {
	e.b = append(e.b, ":\n\n"...)
	return e.flush()
}

// flushAt is how much is collected before it is written.
const flushAt = 32 << 10

// flush writes what was collected. It blocks while the client does not read,
// for its timeout at most.
func (e *events) flush() error {
	deadline(e.w, e.timeout)
	if len(e.b) > 0 {
		if _, err := e.w.Write(e.b); err != nil {
			return err
		}
		e.b = e.b[:0]
	}
	return e.control.Flush()
}
