package web

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/shmbus/shmbus/bus"
)

// mostPublishers is how many topics the bridge publishes to at once.
const mostPublishers = 64

// incoming is a message as JSON.
type incoming struct {
	Payload  string `json:"payload"`
	Encoding string `json:"encoding"` // utf8 (default) or base64
}

// publish publishes one message, the body, or those of the body's lines of
// JSON. It never waits for space: a full ring is 429, and the client is told
// how many of its messages are in it.
func (b *Bridge) publish(w http.ResponseWriter, r *http.Request) {
	if !b.config.AllowPublish {
		b.refuse(w, r, http.StatusForbidden, "read-only", "this bridge only reads; start it with --allow-publish")
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, mostBody)
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if r.Header.Get("Content-Type") == "" {
		kind, err = "application/octet-stream", nil
	}
	if err != nil {
		b.fail(w, r, fmt.Errorf("%w: Content-Type: %w", errInput, err))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), hostTimeout)
	defer cancel()
	p, err := b.publisher(ctx, r.PathValue("topic"))
	if err != nil {
		b.fail(w, r, err)
		return
	}
	published := 0
	send := func(payload []byte) error {
		if !b.rate.take(time.Now()) {
			return fmt.Errorf("%w: the limit is %d", errRate, b.config.MaxPublishRate)
		}
		if err := p.TryPublish(payload); err != nil {
			return err
		}
		published++
		return nil
	}
	switch kind {
	case "application/octet-stream", "text/plain":
		var body []byte
		if body, err = io.ReadAll(r.Body); err == nil {
			err = send(body)
		}
	case "application/json":
		var body []byte
		if body, err = io.ReadAll(r.Body); err == nil {
			err = sendJSON(body, send)
		}
	case "application/x-ndjson":
		err = sendEach(r.Body, send)
	default:
		err = fmt.Errorf("%w %q: want application/octet-stream, text/plain, application/json or application/x-ndjson", errMedia, kind)
	}
	if errors.Is(err, bus.ErrClosed) || errors.Is(err, bus.ErrPublisherGone) {
		b.dropPublisher(r.PathValue("topic"))
	}
	if err != nil {
		b.failAt(w, r, err, &published)
		return
	}
	b.answer(w, http.StatusCreated, map[string]int{"published": published})
}

// sendEach publishes a message for each line.
func sendEach(body io.Reader, send func([]byte) error) error {
	lines := bufio.NewScanner(body)
	lines.Buffer(make([]byte, 64<<10), mostBody)
	for n := 1; lines.Scan(); n++ {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		if err := sendJSON(line, send); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	return lines.Err()
}

func sendJSON(line []byte, send func([]byte) error) error {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	var m incoming
	if err := d.Decode(&m); err != nil {
		return fmt.Errorf("%w: want {\"payload\": ..., \"encoding\": \"utf8\" or \"base64\"}: %w", errInput, err)
	}
	if d.More() {
		return fmt.Errorf("%w: more than one JSON value", errInput)
	}
	switch m.Encoding {
	case "", "utf8":
		return send([]byte(m.Payload))
	case "base64":
		payload, err := base64.StdEncoding.DecodeString(m.Payload)
		if err != nil {
			return fmt.Errorf("%w: payload: %w", errInput, err)
		}
		return send(payload)
	}
	return fmt.Errorf("%w: encoding %q: want utf8 or base64", errInput, m.Encoding)
}

// publisher returns the bridge's publisher of a topic that is there: a browser
// makes none.
func (b *Bridge) publisher(ctx context.Context, topic string) (*bus.SharedPublisher, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p := b.publishers[topic]; p != nil {
		return p, nil
	}
	if err := b.there(ctx, topic); err != nil {
		return nil, err
	}
	for other, p := range b.publishers {
		if len(b.publishers) < mostPublishers {
			break
		}
		delete(b.publishers, other)
		_ = p.Close() // it goes on if a call is inside
	}
	p, err := b.bus.Publisher(ctx, topic, bus.PublisherConfig{})
	if err != nil {
		return nil, err
	}
	shared := p.Shared()
	b.publishers[topic] = shared
	return shared, nil
}

// dropPublisher forgets a publisher that is of no more use.
func (b *Bridge) dropPublisher(topic string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p := b.publishers[topic]; p != nil {
		delete(b.publishers, topic)
		_ = p.Close()
	}
}
