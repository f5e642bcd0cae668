package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"time"

	"github.com/shmbus/shmbus/bus"
)

// publish publishes one message, the body, or those of the body's lines of
// JSON. It never waits for space: a full ring is 429, and the client is told
// how many of its messages are in it.
func (b *Bridge) publish(w http.ResponseWriter, r *http.Request) {
	if !b.config.AllowPublish {
		b.refuse(w, r, http.StatusForbidden, "read-only", "this bridge only reads; start it with --allow-publish")
		return
	}
	kind, err := mediaType(r)
	if err != nil {
		b.fail(w, r, err)
		return
	}
	body, done, err := b.readBody(w, r)
	if err != nil {
		b.fail(w, r, err)
		return
	}
	defer done()
	unbound(w)
	// Only now: a topic stays as long as it has a publisher.
	ctx, cancel := context.WithTimeout(r.Context(), hostTimeout)
	defer cancel()
	p, release, err := b.publishers.get(ctx, r.PathValue("topic"))
	if err != nil {
		b.fail(w, r, err)
		return
	}
	defer release()
	published := 0
	err = sendBody(kind, body, func(payload []byte) error {
		if !b.rate.take(time.Now()) {
			return fmt.Errorf("%w: the limit is %d", errRate, b.config.MaxPublishRate)
		}
		if err := p.TryPublish(payload); err != nil {
			return err
		}
		published++
		return nil
	})
	if errors.Is(err, bus.ErrClosed) || errors.Is(err, bus.ErrPublisherGone) {
		b.publishers.drop(r.PathValue("topic"), p)
	}
	if err != nil {
		b.failAt(w, r, err, &published)
		return
	}
	b.answer(w, http.StatusCreated, map[string]int{"published": published})
}

// The media types of messages.
const (
	octetStream = "application/octet-stream"
	plainText   = "text/plain"
	oneJSON     = "application/json"
	linesOfJSON = "application/x-ndjson"
)

// mediaType is that of a request's body. Errors: errInput, errMedia.
func mediaType(r *http.Request) (string, error) {
	given := r.Header.Get("Content-Type")
	if given == "" {
		return octetStream, nil
	}
	kind, _, err := mime.ParseMediaType(given)
	if err != nil {
		return "", fmt.Errorf("%w: Content-Type: %w", errInput, err)
	}
	switch kind {
	case octetStream, plainText, oneJSON, linesOfJSON:
		return kind, nil
	}
	return "", fmt.Errorf("%w %q: want %s, %s, %s or %s", errMedia, kind, octetStream, plainText, oneJSON, linesOfJSON)
}

// sendBody publishes what a body of this media type says.
func sendBody(kind string, body []byte, send func([]byte) error) error {
	switch kind {
	case oneJSON:
		return sendJSON(body, send)
	case linesOfJSON:
		return sendEach(body, send)
	}
	return send(body)
}

// sendEach publishes a message for each line.
func sendEach(body []byte, send func([]byte) error) error {
	n := 0
	for line := range bytes.Lines(body) {
		n++
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		if err := sendJSON(line, send); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	return nil
}

// sendJSON publishes a message as JSON.
func sendJSON(b []byte, send func([]byte) error) error {
	payload, err := readIncoming(b)
	if err != nil {
		return err
	}
	return send(payload)
}

// join makes a publisher of a topic that is there: a browser makes none. It
// blocks until the host answers.
func (b *Bridge) join(ctx context.Context, topic string) (*bus.SharedPublisher, error) {
	if err := b.there(ctx, topic); err != nil {
		return nil, err
	}
	p, err := b.bus.Publisher(ctx, topic, bus.PublisherConfig{})
	if err != nil {
		return nil, err
	}
	return p.Shared(), nil
}
