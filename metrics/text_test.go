package metrics

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/shmbus/shmbus/bus"
	"github.com/shmbus/shmbus/ring"
)

// formats are what scrapers ask for.
var formats = []string{
	"",
	"text/plain;version=0.0.4",
	"application/openmetrics-text;version=1.0.0",
	"application/openmetrics-text;version=0.0.1;q=0.5,text/plain;q=0.3",
	"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
	"text/plain;version=0.0.4;escaping=dots",
	"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
	"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=compact-text",
}

// busyReading is of a bus with everything on it: topics of all kinds, named and
// unnamed, odd names, numbers of every size.
func busyReading(random *rand.Rand) reading {
	number := func() uint64 { return random.Uint64() >> random.IntN(64) * uint64(random.IntN(4)&1) }
	pub := func() ring.PublisherCounters {
		return ring.PublisherCounters{
			Published: number(), Bytes: number(), Refused: number(), Dropped: number(), Aborted: number(), BlockedNanos: number(),
			Revocations: number(), Contended: number(), Batches: number(), Wakes: number(), Stalls: number(),
		}
	}
	sub := func() ring.SubscriberCounters {
		c := ring.SubscriberCounters{
			Delivered: number(), Bytes: number(), LostPolling: number(), LostReading: number(), AbortedSeen: number(),
			WakeUps: number(), Parks: number(), Spins: number(), Latency: ring.Histogram{SumNanos: number()},
		}
		for range random.IntN(300) {
			c.Latency.Buckets[random.IntN(ring.HistogramBuckets)] += number() >> 12
		}
		return c
	}
	names := []string{"", "", "audit", "back\\slash", "quote\"d", "new\nline", "ünï", "bad\xff", "z", "A"}
	r := reading{host: &bus.HostInfo{Program: "bench \"x\"", Version: "v1", Memory: number() >> 2, MaxMemory: 1 << 40, Clients: 3}}
	for i, name := range []string{"orders", "a/b", "zeta", "quiet"} {
		t := bus.TopicStatistics{}
		t.Info.Name, t.Info.LogBytes, t.Info.CursorBytes = name, 1<<20, 4096
		t.Capacity, t.Used, t.GatingSlot = 1<<20, number(), random.IntN(5)
		t.Statistics.Stat.Sequence, t.Totals.Repairs, t.Totals.Orphans = number(), number(), number()
		t.Counts.Publishers, t.Counts.Subscribers = random.IntN(9), random.IntN(9)
		if i != 2 {
			t.Created = time.Unix(1_700_000_000+random.Int64N(1e8), random.Int64N(1e9))
		}
		t.Totals.Publishers, t.Totals.Subscribers = pub(), sub()
		if name != "quiet" {
			for slot, j := range random.Perm(len(names)) {
				t.Publishers = append(t.Publishers, ring.PublisherInfo{Slot: slot, Gen: 1, Name: names[j], PublisherCounters: pub()})
				t.Subscribers = append(t.Subscribers, ring.SubscriberInfo{
					Slot: slot, Gen: 1, Name: names[j], Mode: ring.Mode(random.IntN(2)), Gating: true, MaxLag: uint64(random.IntN(2) * 100), Lag: number(),
					SubscriberCounters: sub(),
				})
			}
		}
		r.topics = append(r.topics, t)
	}
	return r
}

// answer asks h as accept says.
func answer(t *testing.T, h http.Handler, accept, query string) (http.Header, []byte) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/metrics"+query, nil)
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Fatalf("%q: %d %s", accept, w.Code, w.Body)
	}
	return w.Result().Header, w.Body.Bytes()
}

// TestSameAsPromhttp: whatever is on the bus and whatever is asked for, the
// answer is byte for byte what promhttp makes of the same collector in a
// registry; so it is in scrapes to come, when labels are used again.
func TestSameAsPromhttp(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	var now reading
	read := func(context.Context) (reading, error) { return now, nil }
	for _, whole := range []bool{true, false} {
		mine, theirs := newCollector("b\"us", whole, read), newCollector("b\"us", whole, read)
		registry := prometheus.NewPedanticRegistry()
		registry.MustRegister(theirs)
		want := promhttp.HandlerFor(registry, promhttp.HandlerOpts{
			EnableOpenMetrics: true, EnableOpenMetricsTextCreatedSamples: true, DisableCompression: true,
		})
		got := newScraper(mine, prometheus.NewRegistry(), nil)
		for round := range 20 {
			now = busyReading(random)
			now.topics = now.topics[round%3:]
			for _, accept := range formats {
				for _, query := range []string{"", "?name[]=shmbus_topic_sequences_total&name[]=shmbus_up"} {
					h, g := answer(t, got, accept, query)
					i, w := answer(t, want, accept, query)
					if h.Get("Content-Type") != i.Get("Content-Type") {
						t.Fatalf("%q: got %s, want %s", accept, h.Get("Content-Type"), i.Get("Content-Type"))
					}
					if !bytes.Equal(g, w) {
						at := 0
						for at < min(len(g), len(w)) && g[at] == w[at] {
							at++
						}
						from := max(at-200, 0)
						t.Fatalf("round %d, %q: differs at %d:\n%s\n---- want\n%s", round, accept, at, g[from:min(at+100, len(g))], w[from:min(at+100, len(w))])
					}
				}
			}
		}
	}
}

// TestOthersComeFirst: the process's own families are in every format, before
// those of the bus.
func TestOthersComeFirst(t *testing.T) {
	now := busyReading(rand.New(rand.NewPCG(5, 6)))
	others := prometheus.NewRegistry()
	others.MustRegister(collectors.NewGoCollector())
	h := newScraper(newCollector("bus", true, func(context.Context) (reading, error) { return now, nil }), others, nil)
	for _, accept := range formats {
		_, b := answer(t, h, accept, "")
		first, last := bytes.Index(b, []byte("go_goroutines")), bytes.Index(b, []byte("shmbus_"))
		if first < 0 || last < first || bytes.LastIndex(b, []byte("go_")) > last {
			t.Errorf("%q: go_goroutines at %d, shmbus_ from %d on", accept, first, last)
		}
		if open := strings.HasPrefix(accept, "application/openmetrics"); open != bytes.HasSuffix(b, []byte("\n# EOF\n")) {
			t.Errorf("%q ends with %q", accept, b[len(b)-20:])
		}
	}
}

// TestNumbers: numbers are those of strconv, and OpenMetrics sees that they
// are no integers.
func TestNumbers(t *testing.T) {
	check := func(v float64) {
		if v == 0 {
			v = 0 // expfmt has no sign of nothing
		}
		want := strconv.FormatFloat(v, 'g', -1, 64)
		if got := string(appendFloat(nil, v, false)); got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
		if !strings.ContainsAny(want, "e.IN") {
			want += ".0"
		}
		if got := string(appendFloat([]byte("e."), v, true)); got != "e."+want {
			t.Fatalf("got %s, want e.%s", got, want)
		}
	}
	for _, v := range []float64{-1, 1e-9, 0.5, math.Inf(1), math.Inf(-1), math.NaN(), math.MaxFloat64} {
		check(v)
	}
	for n, i := uint64(1), 0; i < 16; n, i = n*10, i+1 {
		for _, v := range []uint64{n - 1, n, n + 1, 5 * n, 1<<i - 1, 1 << (3 * i)} {
			check(float64(v))
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		bits := random.Uint64()
		check(float64(bits >> random.IntN(64)))
		check(math.Float64frombits(bits))
	}
}

// TestCompression: scrapers elsewhere that take gzip get it, and read the same.
func TestCompression(t *testing.T) {
	now := busyReading(rand.New(rand.NewPCG(7, 8)))
	h := newScraper(newCollector("bus", true, func(context.Context) (reading, error) { return now, nil }), prometheus.NewRegistry(), nil)
	_, want := answer(t, h, "", "")
	loopback, unix := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}, &net.UnixAddr{Net: "unix"}
	for _, c := range []struct {
		from, takes string
		at          net.Addr
		compressed  bool
	}{
		{"10.1.2.3:999", "gzip", loopback, true},
		{"10.1.2.3:999", "br, GZIP;q=0.5", loopback, true},
		{"10.1.2.3:999", "*", loopback, true},
		{"10.1.2.3:999", "gzip;q=0, *", loopback, false},
		{"10.1.2.3:999", "gzip;q=0.000", loopback, false},
		{"10.1.2.3:999", "identity", loopback, false},
		{"10.1.2.3:999", "", loopback, false},
		{"[2001:db8::1]:999", "gzip", loopback, true},
		{"127.0.0.1:999", "gzip", loopback, false},
		{"[::1]:999", "gzip", loopback, false},
		{"[::ffff:127.0.0.1]:999", "gzip", loopback, false},
		{"@", "gzip", unix, false},
		{"", "gzip", unix, false},
	} {
		t.Run(fmt.Sprint(c.from, c.takes), func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
			r.RemoteAddr = c.from
			r.Header.Set("Accept-Encoding", c.takes)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, c.at)))
			got := w.Body.Bytes()
			if compressed := w.Header().Get("Content-Encoding") == "gzip"; compressed != c.compressed {
				t.Fatalf("compressed %t, want %t", compressed, c.compressed)
			}
			if c.compressed {
				z, err := gzip.NewReader(w.Body)
				if err != nil {
					t.Fatal(err)
				}
				if got, err = io.ReadAll(z); err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(got, want) {
				t.Errorf("got %d bytes, want %d: %.300s", len(got), len(want), got)
			}
		})
	}
}
