package metrics

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shmbus/shmbus/bus"
	"github.com/shmbus/shmbus/bustest"
)

func get(t *testing.T, h http.Handler, path, accept string) (int, string, string) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, w.Header().Get("Content-Type"), w.Body.String()
}

// TestFormats: what the scraper asks for it gets.
func TestFormats(t *testing.T) {
	w := newWorld(t)
	w.publish(t, w.publisher(t, "orders", "desk"), 3)
	w.subscriber(t, "orders", bus.SubscriberConfig{Name: "audit"})
	h := Handler(w.observer, Options{})
	for accept, wants := range map[string][]string{
		"": {"text/plain", `shmbus_topic_published_messages_total{bus="test",topic="orders"} 3`, `shmbus_subscriber_delivery_latency_seconds_bucket{bus="test",name="audit",topic="orders",le="1"} 0`},
		"application/openmetrics-text; version=1.0.0":                                                {"application/openmetrics-text", `shmbus_topic_published_messages_created{bus="test",topic="orders"} 1.`, "# EOF"},
		"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited": {"application/vnd.google.protobuf", "shmbus_topic_published_messages_total"},
	} {
		code, kind, body := get(t, h, "/metrics", accept)
		if code != http.StatusOK {
			t.Errorf("%q: %d %s", accept, code, body)
		}
		if !strings.HasPrefix(kind, wants[0]) {
			t.Errorf("%q: got %q", accept, kind)
		}
		for _, want := range wants[1:] {
			if !strings.Contains(body, want) {
				t.Errorf("%q: no %q in\n%s", accept, want, body)
			}
		}
	}
}

// TestCreated: of a topic it is known since when it counts, of participants it
// is not, in every format and in a registry.
func TestCreated(t *testing.T) {
	w := newWorld(t)
	w.publish(t, w.publisher(t, "orders", "desk"), 3)
	w.publisher(t, "orders", "")
	w.subscriber(t, "orders", bus.SubscriberConfig{Name: "audit"})
	_, _, body := get(t, Handler(w.observer, Options{}), "/metrics", "application/openmetrics-text; version=1.0.0")
	for line := range strings.Lines(body) {
		if series, _, _ := strings.Cut(line, "{"); strings.HasSuffix(series, "_created") && !strings.HasPrefix(series, "shmbus_topic_") {
			t.Errorf("it says %s", line)
		}
	}
	for name, family := range gather(t, NewBusCollector(w.observer)) {
		for _, m := range family.GetMetric() {
			stamp := m.GetCounter().GetCreatedTimestamp()
			if h := m.GetHistogram(); h != nil {
				stamp = h.GetCreatedTimestamp()
			} else if m.GetCounter() == nil {
				continue
			}
			if (stamp != nil) != strings.HasPrefix(name, "shmbus_topic_") {
				t.Errorf("%s is created %v", name, stamp)
			}
		}
	}
}

// TestHealth: healthy while it serves, ready while there is a host.
func TestHealth(t *testing.T) {
	w := newWorld(t)
	h := Handler(w.observer, Options{})
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/": 200, "/nothing": 404, "/debug/pprof/": 404} {
		if code, _, body := get(t, h, path, ""); code != want {
			t.Errorf("%s: %d %s, want %d", path, code, body, want)
		}
	}
	if code, _, _ := get(t, Handler(w.observer, Options{Pprof: true}), "/debug/pprof/cmdline", ""); code != 200 {
		t.Errorf("pprof: %d", code)
	}
	if err := w.Bus.Bus.Close(); err != nil {
		t.Fatal(err)
	}
	if code, _, body := get(t, h, "/readyz", ""); code != http.StatusServiceUnavailable || body == "" {
		t.Errorf("/readyz without a host: %d %q", code, body)
	}
	if code, _, _ := get(t, h, "/healthz", ""); code != 200 {
		t.Errorf("/healthz without a host: %d", code)
	}
}

// TestServeOnUnixSocket: only its owner can connect, and it is gone afterwards.
func TestServeOnUnixSocket(t *testing.T) {
	w := newWorld(t)
	path := filepath.Join(bustest.Dir(t), "metrics.sock")
	l, err := Listen("unix:" + path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != os.ModeSocket|0o600 {
		t.Fatalf("%v, %v", info.Mode(), err)
	}
	if got := l.Addr().String(); got != path {
		t.Errorf("it listens on %s, want %s", got, path)
	}
	if _, err := Listen("unix:" + path); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("listening twice: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, l, w.observer, Options{}) }()
	client := http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", path) }}}
	r, err := client.Get("http://metrics/metrics")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	_ = r.Body.Close()
	if err != nil || !strings.Contains(string(body), "shmbus_up") {
		t.Errorf("%v\n%s", err, body)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}

// TestCloseTwice: a second Close leaves the socket of the next listener alone.
func TestCloseTwice(t *testing.T) {
	address := "unix:" + filepath.Join(bustest.Dir(t), "s")
	l, err := Listen(address)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	next, err := Listen(address)
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	if err := l.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the second Close: %v, want %v", err, net.ErrClosed)
	}
	c, err := net.Dial("unix", next.Addr().String())
	if err != nil {
		t.Fatal("the next one cannot be reached:", err)
	}
	_ = c.Close()
}

// TestListenErrors: bad addresses say what is wrong with them, and nobody's
// file is touched.
func TestListenErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(filepath.Dir(file), "other")
	if err := os.WriteFile(other+".new", []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]string{
		"9464":                  "want HOST:PORT or unix:PATH",
		":9464":                 "say which HOST",
		"127.0.0.1:99999":       `metrics: bad address "127.0.0.1:99999": port "99999": want a number`,
		"unix:":                 "want unix:PATH",
		"unix:" + file:          "not a socket",
		"unix:" + other:         other + ".new, a name that is needed for a moment, is there and is not a socket",
		"unix:" + file + ".d/s": "cannot listen on unix:" + file + ".d/s: no such file",
	} {
		if l, err := Listen(address); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v", address, l, err)
		}
	}
	for _, file := range []string{file, other + ".new"} {
		if b, _ := os.ReadFile(file); string(b) != "precious" {
			t.Errorf("%s is %q now", file, b)
		}
	}
	// A socket left behind is replaced.
	stale := filepath.Join(bustest.Dir(t), "s")
	old, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	old.SetUnlinkOnClose(false)
	_ = old.Close()
	l, err := Listen("unix:" + stale)
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
}
