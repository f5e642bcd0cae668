package web

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shmbus/shmbus/bus"
	"github.com/shmbus/shmbus/bustest"
	"github.com/shmbus/shmbus/internal/watch"
)

// site is a bus with a bridge that listens.
type site struct {
	*bustest.Bus
	bridge *Bridge
	url    string
	doc    *document
	stop   func() // ends Serve
}

func newSite(t *testing.T, change func(*Config)) *site {
	t.Helper()
	b := bustest.New(t)
	c := Config{Bus: bus.Config{Dir: b.Dir, Name: b.Name()}, TokenFile: filepath.Join(b.Dir, "token"), AllowPublish: true}
	if change != nil {
		change(&c)
	}
	bridge, err := New(bustest.Context(t), c)
	if err != nil {
		t.Fatal(err)
	}
	l, err := Listen("127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- bridge.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
		if err := bridge.Close(); err != nil {
			t.Error(err)
		}
	})
	return &site{b, bridge, "http://" + l.Addr().String(), loadDocument(t), cancel}
}

func (s *site) publisher(t *testing.T, topic string, capacity uint64) *bus.Publisher {
	t.Helper()
	p, err := s.Publisher(bustest.Context(t), topic, bus.PublisherConfig{Name: "desk", Capacity: capacity})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() }) // a publisher nobody refers to is closed: the topic would end
	return p
}

// client follows no redirects.
var client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

// request makes one with the token; header are pairs that replace.
func (s *site) request(t *testing.T, method, path string, body io.Reader, header ...string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(bustest.Context(t), method, s.url+path, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+s.bridge.config.Token)
	for i := 0; i < len(header); i += 2 {
		switch {
		case header[i] == "Host":
			r.Host = header[i+1]
		case header[i+1] == "":
			r.Header.Del(header[i])
		default:
			r.Header.Set(header[i], header[i+1])
		}
	}
	a, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Body.Close() })
	return a
}

// ask makes a request and returns its answer, which must be as the API's
// document says.
func (s *site) ask(t *testing.T, method, path, body string, header ...string) (int, http.Header, string) {
	t.Helper()
	a := s.request(t, method, path, strings.NewReader(body), header...)
	b, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	s.doc.check(t, method, path, a, b)
	return a.StatusCode, a.Header, string(b)
}

func (s *site) want(t *testing.T, status int, text, method, path, body string, header ...string) {
	t.Helper()
	got, _, b := s.ask(t, method, path, body, header...)
	if got != status || !strings.Contains(b, text) {
		t.Errorf("%s %s %q: %d %s, want %d with %q", method, path, header, got, b, status, text)
	}
}

// TestAPI does everything the API offers.
func TestAPI(t *testing.T) {
	s := newSite(t, nil)
	p := s.publisher(t, "orders", 64<<10)
	for i := range 5 {
		if err := p.Publish(t.Context(), fmt.Append(nil, "order ", i)); err != nil {
			t.Fatal(err)
		}
	}
	s.want(t, 200, `"publish":true`, "GET", "/v1/bridge", "")
	s.want(t, 200, `"openapi": "3.1.0"`, "GET", "/v1/openapi.json", "")
	s.want(t, 200, `{"topics":[{"topic":"orders"`, "GET", "/v1/topics", "")
	s.want(t, 200, `"name":"desk","published":5`, "GET", "/v1/topics/orders", "")
	s.want(t, 404, "no-topic", "GET", "/v1/topics/nothing", "")
	s.want(t, 404, "not-found", "GET", "/v1/nothing", "")
	s.want(t, 404, "not-found", "DELETE", "/v1/topics/orders", "")
	s.want(t, 405, "method", "POST", "/", "")

	_, h, lines := s.ask(t, "GET", "/v1/topics/orders/messages?from=earliest&limit=3", "")
	if h.Get("Content-Type") != "application/x-ndjson" || strings.Count(lines, "\n") != 3 || !strings.Contains(lines, `"sequence":2,`) || strings.Contains(lines, `"sequence":3,`) {
		t.Errorf("%s", lines)
	}
	_, _, lines = s.ask(t, "GET", "/v1/topics/orders/messages?from=3&limit=2", "")
	if !strings.HasPrefix(lines, `{"sequence":3,`) || !strings.Contains(lines, `"payload":"order 4"`) {
		t.Errorf("%s", lines)
	}
	_, h, lines = s.ask(t, "GET", "/v1/topics/orders/messages?from=-10m&limit=2", "", "Accept", "text/event-stream", "Last-Event-ID", "2")
	if h.Get("Content-Type") != "text/event-stream" || !strings.HasPrefix(lines, "event: message\nid: 3\ndata: {") || !strings.Contains(lines, "event: end\ndata: \"limit\"") {
		t.Errorf("%s", lines)
	}
	s.want(t, 404, "no-topic", "GET", "/v1/topics/nothing/messages", "")
	s.want(t, 409, "start-gone", "GET", "/v1/topics/orders/messages?from=999", "")
	for _, query := range []string{"from=yesterday", "limit=0", "limit=x", "limit=99999999", "form=1", "from=-9223372036854775808ns", "from=18446744073709551615", "from=9223372036854775808", "from=--1s", "from=-", "from=1s"} {
		s.want(t, 400, "bad-request", "GET", "/v1/topics/orders/messages?"+query, "")
	}
	for _, id := range []string{"x", "-1", "18446744073709551615", "9223372036854775808"} {
		s.want(t, 400, "Last-Event-ID", "GET", "/v1/topics/orders/messages", "", "Accept", "text/event-stream", "Last-Event-ID", id)
	}
	s.want(t, 409, "start-gone", "GET", "/v1/topics/orders/messages", "", "Accept", "text/event-stream", "Last-Event-ID", "9223372036854775807")
	for _, from := range []string{"-9223372036854775807ns", "0", "earliest"} {
		s.want(t, 200, "sequence", "GET", "/v1/topics/orders/messages?limit=1&from="+from, "")
	}

	post := func(status int, text, kind, body string) {
		t.Helper()
		s.want(t, status, text, "POST", "/v1/topics/orders/messages", body, "Content-Type", kind)
	}
	post(201, `{"published":1}`, "application/octet-stream", "five")
	post(201, `{"published":1}`, "", "")
	post(201, `{"published":1}`, "application/json; charset=utf-8", `{"payload":"c2V2ZW4=","encoding":"base64"}`)
	post(201, `{"published":2}`, "application/x-ndjson", "{\"payload\":\"eight\"}\n\n{\"payload\":\"nine\",\"encoding\":\"utf8\"}\n")
	post(400, `"published":1`, "application/x-ndjson", "{\"payload\":\"ten\"}\nnonsense\n")
	post(400, "bad-request", "application/json", `{"payload":"a"}{"payload":"b"}`)
	post(400, "encoding", "application/json", `{"payload":"a","encoding":"rot13"}`)
	post(400, "unknown field", "application/json", `{"payload":"a","kind":"b"}`)
	post(415, "media-type", "image/png", "x")
	post(400, "bad-request", "text/", "x")
	s.want(t, 404, "no-topic", "POST", "/v1/topics/nothing/messages", "x")
	s.want(t, 400, "want none", "GET", "/v1/topics/orders/messages", "x")
	s.want(t, 400, "want none", "GET", "/v1/snapshots", "x")
	_, _, lines = s.ask(t, "GET", "/v1/topics/orders/messages?from=5&limit=6", "")
	for i, want := range []string{`"five"`, `""`, `"seven"`, `"eight"`, `"nine"`, `"ten"`} {
		if got := strings.Split(lines, "\n")[i]; !strings.Contains(got, `"payload":`+want) {
			t.Errorf("message %d is %s, want %s", 5+i, got, want)
		}
	}
}

// TestSnapshots: a picture every second, for as many as ask, and nobody looks
// when nobody asks: what is seen first has no rates, after a break neither.
func TestSnapshots(t *testing.T) {
	s := newSite(t, nil)
	s.publisher(t, "orders", 64<<10)
	for range 2 {
		a := s.request(t, "GET", "/v1/snapshots", nil)
		lines := bufio.NewReader(a.Body)
		for i, want := range []string{"event: snapshot\n", `data: {"bus":"test"`, "\n", "event: snapshot\n", `data: {"bus":"test"`} {
			line, err := lines.ReadString('\n')
			if err != nil || !strings.HasPrefix(line, want) {
				t.Fatalf("%q, %v, want %q", line, err, want)
			}
			if data, ok := strings.CutPrefix(line, "data: "); ok {
				s.doc.checkSchema(t, "Snapshot", []byte(data))
				if first, interval := i == 1, decode[watch.Snapshot](t, data).Interval; first != (interval == 0) {
					t.Errorf("line %d is of the last %v s", i, interval)
				}
			}
		}
		_ = a.Body.Close()
		bustest.Until(t, "nobody to look", func() bool {
			s.bridge.looks.mu.Lock()
			defer s.bridge.looks.mu.Unlock()
			return !s.bridge.looks.running
		})
	}
}

// TestPage: the page and what it needs is there without a token, and nothing of
// it comes from elsewhere.
func TestPage(t *testing.T) {
	s := newSite(t, nil)
	for path, kind := range map[string]string{
		"/": "text/html", "/app.js": "text/javascript", "/messages.js": "text/javascript", "/wire.js": "text/javascript", "/style.css": "text/css", "/icon.svg": "image/svg+xml",
		"/vendor/uPlot.iife.min.js": "text/javascript", "/vendor/uPlot.min.css": "text/css", "/vendor/uPlot.LICENSE.txt": "text/plain",
	} {
		code, h, body := s.ask(t, "GET", path, "", "Authorization", "")
		if code != 200 || !strings.HasPrefix(h.Get("Content-Type"), kind) || body == "" {
			t.Errorf("%s: %d %s", path, code, h.Get("Content-Type"))
		}
		if !strings.HasPrefix(path, "/vendor/") && strings.Contains(strings.ReplaceAll(body, "http://www.w3.org/2000/svg", ""), "://") {
			t.Errorf("%s refers to another site", path)
		}
		if !strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s has no policy", path)
		}
	}
}

// TestUnixSocket: the address is passed on to who knows such sockets.
func TestUnixSocket(t *testing.T) {
	if _, err := Listen("unix:/x", func(string) (net.Listener, error) { return nil, io.EOF }); err != io.EOF {
		t.Error(err)
	}
}

func decode[T any](t *testing.T, text string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return v
}
