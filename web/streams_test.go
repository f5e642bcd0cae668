package web

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/shmbus/shmbus/bus"
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

// TestBodyWithoutToken: who never sends the body that was announced is answered
// and let go, token or not, although an answer has less time than a body.
func TestBodyWithoutToken(t *testing.T) {
	s := newSite(t, nil)
	s.bridge.answerTimeout, s.bridge.bodyTimeout = time.Second, 2*time.Second
	asks := []struct {
		request string
		status  int
		c       net.Conn
	}{
		{request: "POST /v1/topics/orders/messages HTTP/1.1\r\nHost: localhost", status: 401},
		{request: "GET /healthz HTTP/1.1\r\nHost: localhost", status: 200},
		{request: "GET / HTTP/1.1\r\nHost: localhost", status: 200},
		{request: "GET /healthz HTTP/1.1\r\nHost: evil.example", status: 421},
		{request: strings.TrimSuffix(s.head("GET", "/v1/snapshots"), "\r\n"), status: 400},
		{request: strings.TrimSuffix(s.head("GET", "/v1/topics/orders/messages"), "\r\n"), status: 400},
	}
	for i := range asks {
		asks[i].c = s.dial(t, asks[i].request+"\r\nContent-Length: 10\r\n\r\nx")
	}
	for _, ask := range asks {
		a := readAnswer(t, ask.c, http.MethodGet)
		if _, err := io.Copy(io.Discard, ask.c); err != nil || a.StatusCode != ask.status {
			t.Errorf("%s: %d, want %d, and then the end: %v", ask.request, a.StatusCode, ask.status, err)
		}
	}
}

// TestAnswersUnread: who asks on and on and reads nothing is let go.
func TestAnswersUnread(t *testing.T) {
	s := newSite(t, nil)
	s.bridge.answerTimeout = 50 * time.Millisecond
	for _, path := range []string{"/healthz", "/app.js", "/v1/openapi.json"} {
		c := s.dial(t, "")
		ask := strings.Repeat("GET "+path+" HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "+s.bridge.config.Token+"\r\n\r\n", 1000)
		var err error
		for err == nil {
			_, err = io.WriteString(c, ask)
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("GET %s: the connection is held for ever", path)
		}
	}
}

// TestLaterAnswer: the time for one answer is not that for the next, nor for a
// stream.
func TestLaterAnswer(t *testing.T) {
	s := newSite(t, nil)
	s.bridge.answerTimeout, s.bridge.bodyTimeout = 500*time.Millisecond, 500*time.Millisecond
	c := s.dial(t, s.head("GET", "/v1/bridge")+"\r\n")
	in := bufio.NewReader(c)
	for _, path := range []string{"/healthz", "/style.css", ""} {
		a, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, a.Body); err != nil || path == "" {
			break
		}
		later := time.Now().Add(2 * s.bridge.answerTimeout)
		bustest.Until(t, "the time of the answer before to be over", func() bool { return time.Now().After(later) })
		if _, err := io.WriteString(c, s.head("GET", path)+"\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	a := s.request(t, "GET", "/v1/snapshots", nil)
	in = bufio.NewReader(a.Body)
	for events := 0; events < 3; { // one a second
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatalf("the stream ended after %d events: %v", events, err)
		}
		if strings.HasPrefix(line, "event: ") {
			events++
		}
	}
}

// TestNoSlot: a topic with no slot left says so, and that it may be worth while
// to try again.
func TestNoSlot(t *testing.T) {
	s := newSite(t, func(c *Config) { c.MaxStreams = 1000 })
	s.publisher(t, "orders", 64<<10)
	var subscribers []*bus.Subscriber
	for {
		sub, err := s.Subscriber(bustest.Context(t), "orders", bus.SubscriberConfig{Mode: bus.Lossy})
		if errors.Is(err, bus.ErrNoSlot) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		subscribers = append(subscribers, sub)
	}
	for _, accept := range []string{"", "text/event-stream"} {
		s.want(t, 503, "no-slot", "GET", "/v1/topics/orders/messages", "", "Accept", accept)
	}
	for _, sub := range subscribers {
		_ = sub.Close()
	}
	for {
		p, err := s.Publisher(bustest.Context(t), "orders", bus.PublisherConfig{})
		if errors.Is(err, bus.ErrNoSlot) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
	}
	s.want(t, 503, "no-slot", "POST", "/v1/topics/orders/messages", "x")
}

// TestStop: when the bridge stops its streams end whole, and who has asked
// something gets an answer.
func TestStop(t *testing.T) {
	s := newSite(t, nil)
	s.bridge.stopTimeout = bustest.Watchdog
	p := s.publisher(t, "orders", 64<<10)
	if err := p.Publish(t.Context(), []byte("first")); err != nil {
		t.Fatal(err)
	}
	var streams []*http.Response
	for _, ask := range []string{"/v1/snapshots", "/v1/topics/orders/messages?from=earliest"} {
		for _, accept := range []string{"*/*", "text/event-stream"} {
			streams = append(streams, s.request(t, "GET", ask, nil, "Accept", accept))
		}
	}
	const path = "/v1/topics/orders/messages"
	c := s.dial(t, s.head("POST", path)+"Expect: 100-continue\r\nContent-Length: 10\r\n\r\n")
	in := bufio.NewReader(c)
	a, err := http.ReadResponse(in, nil) // the body is being read
	if err != nil || a.StatusCode != http.StatusContinue {
		t.Fatalf("%v, %v", a, err)
	}
	s.stop()
	for i, a := range streams {
		b, err := io.ReadAll(a.Body)
		if err != nil || strings.Contains(string(b), "event: end") {
			t.Errorf("stream %d: %s, %v, want its end", i, b, err)
		}
	}
	if _, err := io.WriteString(c, "0123456789"); err != nil {
		t.Fatal(err)
	}
	if a, err = http.ReadResponse(in, nil); err != nil || a.StatusCode != http.StatusCreated {
		t.Errorf("%v, %v, want the answer", a, err)
	}
}
