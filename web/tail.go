package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/shmbus/shmbus/bus"
	"github.com/shmbus/shmbus/internal/watch"
)

const (
	mostMessages = 1_000_000
	// keepAlive is how long a stream says nothing at most.
	keepAlive = 15 * time.Second
)

// tailRequest is what GET messages asks for.
type tailRequest struct {
	topic string
	start bus.Start
	limit int // 0: until the client goes
	sse   bool
}

// tail streams the messages of a topic, as server-sent events or as lines of
// JSON. It is a lossy subscriber: if the client reads slowly, messages are
// overwritten meanwhile, and the next one says how many.
func (b *Bridge) tail(w http.ResponseWriter, r *http.Request) {
	q, err := readTail(r)
	if err != nil {
		b.fail(w, r, err)
		return
	}
	if q.sse {
		w.Header().Set("Content-Type", eventStream)
	} else {
		w.Header().Set("Content-Type", "application/x-ndjson")
	}
	if r.Method == http.MethodHead {
		// No stream: nothing would be written, so nothing would tell that the
		// client is gone.
		if err := b.there(r.Context(), q.topic); err != nil {
			b.fail(w, r, err)
		}
		return
	}
	ctx, done, err := b.stream(r)
	if err != nil {
		b.fail(w, r, err)
		return
	}
	defer done()
	joining, joined := context.WithTimeout(ctx, hostTimeout)
	s, err := b.bus.Subscriber(joining, q.topic, bus.SubscriberConfig{Mode: bus.Lossy, Start: q.start, NoWait: true, Wait: bus.Park})
	joined()
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		b.fail(w, r, err)
		return
	}
	defer s.Close()
	if q.sse {
		sendEvents(ctx, newEvents(w, b.answerTimeout), s, q.limit)
		return
	}
	sendLines(ctx, w, s, q.limit, b.answerTimeout)
}

// there returns nil if the topic is there, [bus.ErrNoTopic] if it is not, or
// the error of finding out. It blocks until the host answers, for hostTimeout
// at most.
func (b *Bridge) there(ctx context.Context, topic string) error {
	ctx, cancel := context.WithTimeout(ctx, hostTimeout)
	defer cancel()
	list, err := b.bus.Topics(ctx)
	if err != nil {
		return err
	}
	for _, t := range list {
		if t.Name == topic {
			return nil
		}
	}
	return fmt.Errorf("%w: %q", bus.ErrNoTopic, topic)
}

func readTail(r *http.Request) (tailRequest, error) {
	q := tailRequest{topic: r.PathValue("topic")}
	if err := noBody(r); err != nil {
		return q, err
	}
	values := r.URL.Query()
	for name := range values {
		if name != "from" && name != "limit" {
			return q, fmt.Errorf("%w: unknown parameter %q: want from, limit", errInput, name)
		}
	}
	accept := r.Header.Get("Accept")
	q.sse = strings.Contains(accept, "text/event-stream")
	if values.Has("limit") {
		n, err := strconv.Atoi(values.Get("limit"))
		if err != nil || n < 1 || n > mostMessages {
			return q, fmt.Errorf("%w: limit %q: want a number from 1 to %d", errInput, values.Get("limit"), mostMessages)
		}
		q.limit = n
	}
	if id := r.Header.Get("Last-Event-ID"); id != "" && q.sse {
		// A browser that comes back goes on behind what it had.
		n, ok := readSequence(id)
		if !ok {
			return q, fmt.Errorf("%w: Last-Event-ID %.64q: want a sequence, 0 to 2^63-1", errInput, id)
		}
		q.start = bus.FromSequence(n + 1)
		return q, nil
	}
	var err error
	q.start, err = readStart(values.Get("from"))
	return q, err
}

// readStart reads the parameter from. Errors: errInput.
func readStart(from string) (bus.Start, error) {
	switch from {
	case "", "latest":
		return bus.Latest(), nil
	case "earliest":
		return bus.Earliest(), nil
	}
	if n, ok := readSequence(from); ok {
		return bus.FromSequence(n), nil
	}
	// The least duration has no opposite.
	if d, err := time.ParseDuration(from); err == nil && from[0] == '-' && -d >= 0 {
		return bus.FromAge(-d), nil
	}
	return bus.Start{}, fmt.Errorf("%w: from %.64q: want latest, earliest, a sequence (0 to 2^63-1), or an age like -10s (up to 292 years)", errInput, from)
}

// readSequence reads a sequence. What is larger comes before 0, as sequences
// are compared.
func readSequence(s string) (uint64, bool) {
	n, err := strconv.ParseUint(s, 10, 63)
	return n, err == nil
}

// batch is how many messages are read before they are written.
const batch = 256

// pump reads until limit, or until ctx or the topic ends; then it returns why.
// It calls each for every message, idle when there was none for a while, and
// flush when there are no more for now. All of them block while the client
// does not read: meanwhile messages are lost, which the next one tells.
func pump(ctx context.Context, s *bus.Subscriber, limit int, each func(*bus.Message) error, idle, flush func() error) error {
	for sent := 0; limit == 0 || sent < limit; {
		wait, cancel := context.WithTimeout(ctx, keepAlive)
		err := s.Wait(wait)
		cancel()
		if err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
			if err := idle(); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		most := batch
		if limit > 0 {
			most = min(most, limit-sent)
		}
		n, err := s.Poll(func(m bus.Message, _ bool) error { return each(&m) }, most)
		if err != nil {
			return err
		}
		sent += n
		if err := flush(); err != nil {
			return err
		}
	}
	return nil
}

// sendEvents sends messages as server-sent events. Loss is an event of its
// own, before the message that tells of it, and so is the end of the topic. If
// the bridge stops there is no such event: the client comes back.
func sendEvents(ctx context.Context, out *events, s *bus.Subscriber, limit int) {
	var line []byte
	err := pump(ctx, s, limit, func(m *bus.Message) error {
		if m.Lost > 0 {
			if err := out.event("lost", "", strconv.AppendUint(nil, m.Lost, 10)); err != nil {
				return err
			}
		}
		line = watch.AppendMessage(line[:0], m)
		return out.event("message", strconv.FormatUint(m.Sequence, 10), line)
	}, out.comment, out.flush)
	if ctx.Err() != nil {
		return // the client has gone, or may come back to go on
	}
	reason := "limit"
	if err != nil {
		reason = err.Error()
	}
	_ = out.event("end", "", strconv.AppendQuote(nil, reason)) // if the client is still there
	_ = out.flush()
}

// sendLines sends messages as lines of JSON.
func sendLines(ctx context.Context, w http.ResponseWriter, s *bus.Subscriber, limit int, timeout time.Duration) {
	control := http.NewResponseController(w)
	deadline(w, timeout)
	w.WriteHeader(http.StatusOK)
	_ = control.Flush()
	var b []byte
	flush := func() error {
		deadline(w, timeout)
		if _, err := w.Write(b); err != nil {
			return err
		}
		b = b[:0]
		return control.Flush()
	}
	_ = pump(ctx, s, limit, func(m *bus.Message) error {
		b = append(watch.AppendMessage(b, m), '\n')
		if len(b) >= flushAt {
			return flush()
		}
		return nil
	}, func() error {
		b = append(b, '\n') // readers of JSON skip empty lines; a client that is gone shows
		return flush()
	}, flush)
}
