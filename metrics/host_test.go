package metrics

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestHostOverLoopback: a page whose name leads to loopback cannot read what is
// served there; everybody else can.
func TestHostOverLoopback(t *testing.T) {
	w := newWorld(t)
	h := Handler(w.observer, Options{Pprof: true})
	s := httptest.NewServer(h)
	defer s.Close()
	for host, want := range map[string]int{
		"127.0.0.1:9464": 200, "127.8.9.1": 200, "localhost": 200, "LocalHost:1": 200, "bus.localhost:80": 200, "[::1]:9464": 200, "[::1]": 200, "[::ffff:127.0.0.1]": 200,
		"evil.example:9464": 403, "evil.example": 403, "localhost.evil.example": 403, "127.0.0.1.evil.example": 403, "notlocalhost": 403, "10.0.0.1": 403, "[2001:db8::1]:1": 403,
	} {
		for _, path := range []string{"/metrics", "/debug/pprof/cmdline", "/readyz"} {
			r, err := http.NewRequest(http.MethodGet, s.URL+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Host = host
			answer, err := s.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(answer.Body)
			_ = answer.Body.Close()
			if answer.StatusCode != want {
				t.Errorf("%s of %s: %d, want %d", path, host, answer.StatusCode, want)
			}
			if want == 403 && (!strings.Contains(string(body), "Host header must be") || strings.Contains(string(body), "shmbus_")) {
				t.Errorf("%s of %s says %s", path, host, body)
			}
		}
	}
	for _, to := range []net.Addr{&net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 9464}, &net.UnixAddr{Name: "/run/metrics.sock", Net: "unix"}} {
		r := httptest.NewRequest(http.MethodGet, "http://evil.example/metrics", nil)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, to)))
		if w.Code != http.StatusOK {
			t.Errorf("over %s: %d %s", to, w.Code, w.Body)
		}
	}
}
