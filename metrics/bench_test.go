//go:build unix

package metrics

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/shmbus/shmbus/bus"
	"github.com/shmbus/shmbus/bustest"
)

// processorTime is what this process has used, in milliseconds.
func processorTime(b *testing.B) float64 {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e6
}

// counting is a client that takes everything and keeps nothing.
type counting struct {
	header http.Header
	size   int
}

func (c *counting) Header() http.Header         { return c.header }
func (c *counting) WriteHeader(int)             {}
func (c *counting) Write(p []byte) (int, error) { c.size += len(p); return len(p), nil }

// BenchmarkScrape256 scrapes a topic with 256 named subscribers. Their counts
// are read from shared memory; then their histograms are filled, every bucket
// with another count, which is more than any subscriber has.
func BenchmarkScrape256(b *testing.B) {
	const subscribers = 256
	home := bustest.New(b)
	p, err := home.Publisher(bustest.Context(b), "orders", bus.PublisherConfig{Name: "desk", MaxSubscribers: subscribers})
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	for i := range subscribers {
		s, err := home.Subscriber(bustest.Context(b), "orders", bus.SubscriberConfig{Name: fmt.Sprintf("subscriber-%03d", i)})
		if err != nil {
			b.Fatal(err)
		}
		defer s.Close()
	}
	o, err := bus.Observe(bustest.Context(b), bus.Config{Dir: home.Dir, Name: home.Name()})
	if err != nil {
		b.Fatal(err)
	}
	defer o.Close()
	plain := NewBusCollector(o).read
	full := func(ctx context.Context) (reading, error) {
		r, err := plain(ctx)
		for i := range r.topics {
			for j := range r.topics[i].Subscribers {
				h := &r.topics[i].Subscribers[j].Latency
				for k := range h.Buckets {
					h.Buckets[k] = uint64(1000 + k*j%977)
				}
			}
		}
		return r, err
	}
	const protobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
	const openMetrics = "application/openmetrics-text;version=1.0.0"
	for _, c := range []struct {
		name, accept string
		read         func(context.Context) (reading, error)
	}{{"text", "", full}, {"openmetrics", openMetrics, full}, {"protobuf", protobuf, full}, {"protobuf-empty", protobuf, plain}} {
		b.Run(c.name, func(b *testing.B) {
			registry := prometheus.NewRegistry()
			registry.MustRegister(newCollector(home.Name(), true, c.read))
			h := promhttp.HandlerFor(registry, handlerOptions(nil))
			size := 0
			before := processorTime(b)
			for b.Loop() {
				r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
				r.Header.Set("Accept", c.accept)
				w := &counting{header: http.Header{}}
				h.ServeHTTP(w, r)
				if size = w.size; size < 10_000 {
					b.Fatalf("%d bytes", size)
				}
			}
			b.ReportMetric((processorTime(b)-before)/float64(b.N), "cpu-ms/scrape")
			b.ReportMetric(float64(size), "bytes/scrape")
		})
	}
}
