package web

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/shmbus/shmbus/bustest"
)

// dial connects, and writes text as it is. What is read comes before the
// watchdog.
func (s *site) dial(t *testing.T, text string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(bustest.Watchdog))
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	return c
}

// head is the beginning of a request that has the token.
func (s *site) head(method, path string) string {
	return method + " " + path + " HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + s.bridge.config.Token + "\r\n"
}

// readAnswer reads the answer to a request of this method.
func readAnswer(t *testing.T, c net.Conn, method string) *http.Response {
	t.Helper()
	a, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Body.Close() })
	return a
}

// TestHeadOfStream: HEAD has the headers of GET and takes no stream. It would
// not be given back: nothing is written, and behind a byte that came early the
// server does not see that the client went.
func TestHeadOfStream(t *testing.T) {
	s := newSite(t, func(c *Config) { c.MaxStreams = 2 })
	s.publisher(t, "orders", 64<<10)
	for _, ask := range []struct{ path, accept, kind string }{
		{"/v1/snapshots", "", "text/event-stream"},
		{"/v1/topics/orders/messages", "text/event-stream", "text/event-stream"},
		{"/v1/topics/orders/messages", "", "application/x-ndjson"},
	} {
		c := s.dial(t, s.head("HEAD", ask.path)+"Accept: "+ask.accept+"\r\n\r\nG")
		a := readAnswer(t, c, http.MethodHead)
		if a.StatusCode != http.StatusOK || a.Header.Get("Content-Type") != ask.kind {
			t.Errorf("HEAD %s: %d %v", ask.path, a.StatusCode, a.Header)
		}
		_ = c.Close()
	}
	if a := s.request(t, "HEAD", "/v1/topics/nothing/messages", nil); a.StatusCode != http.StatusNotFound {
		t.Errorf("HEAD of no topic: %d", a.StatusCode)
	}
	if n := len(s.bridge.streams); n != 0 {
		t.Errorf("%d streams, want none", n)
	}
}
