package metrics

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
)

// scraper answers scrapes with what a collector finds, behind what else there
// is to tell. It does what promhttp's handler does, without sending each sample
// through a registry: a collector has no series twice, and knows their order.
type scraper struct {
	collector *Collector
	others    prometheus.Gatherer // of families whose names sort before shmbus_
	logger    *slog.Logger        // nil: silence
	slots     chan struct{}       // as many scrapes at once
	texts     sync.Pool           // of *text
	wires     sync.Pool           // of *delimited
}

func newScraper(c *Collector, others prometheus.Gatherer, logger *slog.Logger) *scraper {
	return &scraper{
		collector: c, others: others, logger: logger, slots: make(chan struct{}, mostScrapes),
		texts: sync.Pool{New: func() any { return &text{b: make([]byte, 0, textChunk+textChunk/4)} }},
		wires: sync.Pool{New: func() any { return &delimited{} }},
	}
}

// ServeHTTP answers one scrape.
func (s *scraper) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	default:
		plain(w, http.StatusServiceUnavailable, fmt.Sprintf("%d scrapes are under way: try again later", mostScrapes))
		return
	}
	others, err := s.others.Gather()
	if err != nil {
		s.log("gathering metrics", err)
		plain(w, http.StatusInternalServerError, err.Error())
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), lookTime(r.Header))
	defer cancel()
	e := s.collector.look(ctx)
	defer s.collector.done(e)
	e.sort()
	format := expfmt.NegotiateAccept(r.Header, expfmt.DefaultOpenMetricsAcceptedFormats()...)
	w.Header().Set("Content-Type", string(format))
	w.Header().Add("Vary", "Accept")
	w.Header().Add("Vary", "Accept-Encoding")
	to := io.Writer(w)
	if compressed(r) {
		w.Header().Set("Content-Encoding", "gzip")
		z := zippers.Get().(*gzip.Writer)
		z.Reset(w)
		defer func() { _ = z.Close(); zippers.Put(z) }()
		to = z
	}
	names := r.URL.Query()["name[]"]
	wanted := func(name string) bool { return len(names) == 0 || slices.Contains(names, name) }
	encoder := expfmt.NewEncoder(to, format, expfmt.WithCreatedLines())
	for _, f := range others {
		if wanted(f.GetName()) && err == nil {
			err = encoder.Encode(f)
		}
	}
	if err == nil {
		err = s.own(e, to, format, encoder, wanted)
	}
	if c, ok := encoder.(expfmt.Closer); ok && err == nil {
		err = c.Close() // the end that OpenMetrics wants
	}
	if err != nil {
		s.log("sending metrics", err)
	}
}

// lookTime is how long a look at the bus may take: readTimeout, and three
// quarters of the time after which the scraper gives up, if it says so.
func lookTime(h http.Header) time.Duration {
	patience, err := strconv.ParseFloat(h.Get("X-Prometheus-Scrape-Timeout-Seconds"), 64)
	if most := patience * 3 / 4; err == nil && most > 0 && most < readTimeout.Seconds() {
		return time.Duration(most * float64(time.Second))
	}
	return readTimeout
}

// own writes what the collector found.
func (s *scraper) own(e *exposition, to io.Writer, format expfmt.Format, encoder expfmt.Encoder, wanted func(string) bool) error {
	each := func(write func(*series, []sample) error) error {
		for i, list := range e.samples {
			if series := e.descs.all[i]; wanted(series.name) {
				if err := write(series, list); err != nil {
					return err
				}
			}
		}
		return nil
	}
	switch kind := format.FormatType(); kind {
	case expfmt.TypeTextPlain, expfmt.TypeOpenMetrics:
		t := s.texts.Get().(*text)
		defer s.texts.Put(t)
		t.to, t.b, t.open = to, t.b[:0], kind == expfmt.TypeOpenMetrics
		if err := each(t.series); err != nil {
			return err
		}
		return t.flush()
	case expfmt.TypeProtoDelim:
		d := s.wires.Get().(*delimited)
		defer s.wires.Put(d)
		d.to = to
		return each(d.series)
	}
	return each(func(s *series, list []sample) error { // protobuf for people
		if len(list) == 0 {
			return nil
		}
		return encoder.Encode(e.family(s))
	})
}

func (s *scraper) log(what string, err error) {
	if s.logger != nil {
		s.logger.Error(what, "error", err)
	}
}

// zippers are at the lowest level: the next ones make a tenth less of a scrape
// and take up to five times as long.
var zippers = sync.Pool{New: func() any {
	z, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // the level is a valid one
	return z
}}

// compressed reports whether to compress the answer: if the scraper takes that
// and there is a network between. Within a machine it would cost more than all
// else in a scrape, on both sides, and save nothing.
func compressed(r *http.Request) bool { return takesGzip(r.Header) && !local(r) }

// local reports whether the scraper is on this machine for all we can tell.
func local(r *http.Request) bool {
	if a, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok && a.Network() == "unix" {
		return true
	}
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && from.Addr().Unmap().IsLoopback()
}

// takesGzip reports whether a client takes gzip (RFC 9110, 12.5.3).
func takesGzip(h http.Header) bool {
	any := false
	for _, line := range h.Values("Accept-Encoding") {
		for entry := range strings.SplitSeq(line, ",") {
			coding, parameter, _ := strings.Cut(entry, ";")
			name, weight, weighed := strings.Cut(parameter, "=")
			yes := true
			if weighed && strings.EqualFold(strings.TrimSpace(name), "q") {
				q, err := strconv.ParseFloat(strings.TrimSpace(weight), 64)
				yes = err == nil && q > 0
			}
			switch strings.ToLower(strings.TrimSpace(coding)) {
			case "gzip", "x-gzip":
				return yes
			case "*":
				any = yes
			}
		}
	}
	return any
}
