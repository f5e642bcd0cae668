package web

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/shmbus/shmbus/bus"
)

// problem is an error as RFC 9457 has it.
type problem struct {
	Type   string `json:"type"` // shmbus:KIND
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	// Published of the messages of the request are in the topic.
	Published *int `json:"published,omitempty"`
}

// kinds of what the bus refuses.
var kinds = []struct {
	err    error
	status int
	kind   string
	retry  time.Duration
}{
	{bus.ErrNoTopic, http.StatusNotFound, "no-topic", 0},
	{bus.ErrBadName, http.StatusBadRequest, "bad-name", 0},
	{bus.ErrStart, http.StatusConflict, "start-gone", 0},
	{bus.ErrTooLarge, http.StatusRequestEntityTooLarge, "too-large", 0},
	{bus.ErrBackpressure, http.StatusTooManyRequests, "backpressure", time.Second},
	{errRate, http.StatusTooManyRequests, "rate", time.Second},
	{errStreams, http.StatusServiceUnavailable, "too-many-streams", 10 * time.Second},
	{bus.ErrNoSlot, http.StatusServiceUnavailable, "no-slot", 10 * time.Second},
	{errBusy, http.StatusServiceUnavailable, "busy", time.Second},
	{errInput, http.StatusBadRequest, "bad-request", 0},
	{errMedia, http.StatusUnsupportedMediaType, "media-type", 0},
	{bus.ErrExclusive, http.StatusConflict, "exclusive", 0},
	{bus.ErrStalled, http.StatusServiceUnavailable, "stalled", 5 * time.Second},
	{bus.ErrCorrupt, http.StatusInternalServerError, "corrupt", 0},
	{bus.ErrNoHost, http.StatusServiceUnavailable, "no-host", time.Second},
	{bus.ErrNoBus, http.StatusServiceUnavailable, "no-host", time.Second},
	{bus.ErrHostStalled, http.StatusServiceUnavailable, "host-stalled", 5 * time.Second},
	{errEnding, http.StatusServiceUnavailable, "closing", time.Second},
	{bus.ErrClosed, http.StatusServiceUnavailable, "closing", time.Second},
	{os.ErrDeadlineExceeded, http.StatusRequestTimeout, "slow-body", 0},
	{context.DeadlineExceeded, http.StatusServiceUnavailable, "timeout", time.Second},
}

// fail answers with an error of the bus, or our own.
func (b *Bridge) fail(w http.ResponseWriter, r *http.Request, err error) { b.failAt(w, r, err, nil) }

// failAt is fail for a request of which some messages were published.
func (b *Bridge) failAt(w http.ResponseWriter, r *http.Request, err error, published *int) {
	status, kind := http.StatusInternalServerError, "internal"
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		err = bus.ErrTooLarge
	}
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			status, kind = k.status, k.kind
			if k.retry > 0 {
				w.Header().Set("Retry-After", strconv.Itoa(int(k.retry/time.Second)))
			}
			break
		}
	}
	b.answerProblem(w, r, problem{"shmbus:" + kind, http.StatusText(status), status, err.Error(), published})
}

// refuse answers what never got to the bus.
func (b *Bridge) refuse(w http.ResponseWriter, r *http.Request, status int, kind, detail string) {
	b.answerProblem(w, r, problem{"shmbus:" + kind, http.StatusText(status), status, detail, nil})
}

func (b *Bridge) answerProblem(w http.ResponseWriter, r *http.Request, p problem) {
	if b.config.Logger != nil {
		b.config.Logger.Debug("refused", "method", r.Method, "path", r.URL.Path, "remote", r.RemoteAddr, "status", p.Status, "why", p.Detail)
	}
	deadline(w, b.answerTimeout)
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the client is gone if it fails
}

func (b *Bridge) answer(w http.ResponseWriter, status int, v any) {
	deadline(w, b.answerTimeout)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client is gone if it fails
}

// deadline bounds how long the client may take to read what comes next.
func deadline(w http.ResponseWriter, d time.Duration) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(d)) // not where the writer has none: in tests
}
