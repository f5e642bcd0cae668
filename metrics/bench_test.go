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
	"github.com/prometheus/client_golang/prometheus/collectors"

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
	// What Prometheus asks for, without and with native histograms; it
	// always takes gzip.
	const text = "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
	const openMetrics = "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
	const protobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6," + openMetrics
	for _, c := range []struct {
		name, accept, from string
		read               func(context.Context) (reading, error)
	}{
		{"from=loopback/text", text, "127.0.0.1:1", full},
		{"from=loopback/openmetrics", openMetrics, "127.0.0.1:1", full},
		{"from=loopback/protobuf", protobuf, "127.0.0.1:1", full},
		{"from=loopback/protobuf-empty", protobuf, "127.0.0.1:1", plain},
		{"from=network/text", text, "10.0.0.1:1", full},
		{"from=network/openmetrics", openMetrics, "10.0.0.1:1", full},
		{"from=network/protobuf", protobuf, "10.0.0.1:1", full},
	} {
		b.Run(c.name, func(b *testing.B) {
			others := prometheus.NewRegistry()
			others.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
			h := newScraper(newCollector(home.Name(), true, c.read), others, nil)
			size := 0
			before := processorTime(b)
			for b.Loop() {
				r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
				r.RemoteAddr = c.from
				r.Header.Set("Accept", c.accept)
				r.Header.Set("Accept-Encoding", "gzip")
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
