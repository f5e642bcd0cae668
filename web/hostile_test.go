package web

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/shmbus/shmbus/bus"
	"github.com/shmbus/shmbus/bustest"
)

// TestToken: no data without it.
func TestToken(t *testing.T) {
	s := newSite(t, nil)
	s.publisher(t, "orders", 64<<10)
	for _, path := range []string{"/v1/topics", "/v1/topics/orders/messages?limit=1", "/v1/snapshots", "/v1/bridge", "/v1/openapi.json", "/v1/nothing", "/%761/topics", "/v1/%74opics"} {
		s.want(t, 401, "unauthorized", "GET", path, "", "Authorization", "")
		s.want(t, 401, "unauthorized", "GET", path, "", "Authorization", "Bearer "+strings.Repeat("x", 43))
		s.want(t, 401, "unauthorized", "GET", path, "", "Authorization", "Basic "+s.bridge.config.Token)
		s.want(t, 401, "unauthorized", "GET", path, "", "Authorization", "", "Cookie", "shmbus_token="+s.bridge.config.Token)
	}
	s.want(t, 401, "unauthorized", "POST", "/v1/topics/orders/messages", "x", "Authorization", "")
	s.want(t, 200, "ok", "GET", "/healthz", "", "Authorization", "")
}

// TestTokenStaysHere: the token is in no cookie, which browsers would send to
// every port of this host, and in no part of the login link that they send.
func TestTokenStaysHere(t *testing.T) {
	s := newSite(t, nil)
	l, err := Listen("127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	link, err := url.Parse(s.bridge.LoginLink(l))
	if err != nil {
		t.Fatal(err)
	}
	token := s.bridge.config.Token
	if link.Host != l.Addr().String() || link.Path != "/" || strings.Contains(link.RequestURI(), token) || link.Fragment != "token="+token {
		t.Errorf("the login link is %s", link)
	}
	for _, path := range []string{link.RequestURI(), "/login?token=" + token, "/app.js", "/wire.js", "/healthz", "/v1/bridge"} {
		for _, authorization := range []string{"", "Bearer " + token} {
			_, h, body := s.ask(t, "GET", path, "", "Authorization", authorization)
			if len(h.Values("Set-Cookie")) > 0 || strings.Contains(body, token) {
				t.Errorf("GET %s: %v", path, h)
			}
		}
	}
}

// TestForeignHost: a name that was rebound to us is not ours.
func TestForeignHost(t *testing.T) {
	s := newSite(t, func(c *Config) { c.Hosts = []string{"bus.example.org"} })
	for _, host := range []string{"evil.example", "evil.example:8480", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1", "0.0.0.0", "[::ffff:10.0.0.1]:80"} {
		s.want(t, 421, "unknown-host", "GET", "/v1/topics", "", "Host", host)
		s.want(t, 421, "unknown-host", "GET", "/", "", "Host", host)
	}
	for _, host := range []string{"localhost", "localhost:1", "127.0.0.1", "127.9.9.9:5", "[::1]:8480", "bus.example.org", "bus.example.org:443"} {
		s.want(t, 200, "topics", "GET", "/v1/topics", "", "Host", host)
	}
}

// TestForeignOrigin: pages of others may neither read nor publish; those that
// are listed may, with the token. A link to the page may be anywhere.
func TestForeignOrigin(t *testing.T) {
	s := newSite(t, func(c *Config) { c.Origins = []string{"https://dash.example.org"} })
	s.publisher(t, "orders", 64<<10)
	own := s.url
	for _, origin := range []string{"http://evil.example", "null", "http://127.0.0.1:1", "https://dash.example.org.evil.example", "ftp://dash.example.org", own + "@evil.example"} {
		s.want(t, 403, "foreign-origin", "GET", "/v1/topics", "", "Origin", origin)
		s.want(t, 403, "foreign-origin", "POST", "/v1/topics/orders/messages", "x", "Origin", origin)
		_, h, _ := s.ask(t, "OPTIONS", "/v1/topics", "", "Origin", origin)
		if h.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s gets CORS headers", origin)
		}
	}
	s.want(t, 403, "foreign-origin", "GET", "/v1/topics", "", "Sec-Fetch-Site", "cross-site")
	s.want(t, 200, "topics", "GET", "/v1/topics", "", "Sec-Fetch-Site", "same-origin")
	s.want(t, 200, "topics", "GET", "/v1/topics", "", "Origin", own)
	code, h, _ := s.ask(t, "OPTIONS", "/v1/topics", "", "Origin", "https://dash.example.org", "Authorization", "")
	if code != http.StatusNoContent || h.Get("Access-Control-Allow-Origin") != "https://dash.example.org" || h.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("%d %v", code, h)
	}
	s.want(t, 200, "topics", "GET", "/v1/topics", "", "Origin", "https://dash.example.org")
	s.want(t, 401, "unauthorized", "GET", "/v1/topics", "", "Origin", "https://dash.example.org", "Authorization", "")
	s.want(t, 200, "<title>", "GET", "/", "", "Sec-Fetch-Site", "cross-site", "Authorization", "")
	s.want(t, 403, "foreign-origin", "GET", "/app.js", "", "Sec-Fetch-Site", "cross-site", "Authorization", "")
}

// TestPublishLimits: not without permission, not to what is full, not too much
// and not too fast.
func TestPublishLimits(t *testing.T) {
	s := newSite(t, func(c *Config) { c.AllowPublish = false })
	s.publisher(t, "orders", 4096)
	s.want(t, 403, "--allow-publish", "POST", "/v1/topics/orders/messages", "x")

	s = newSite(t, func(c *Config) { c.MaxPublishRate = 100 })
	s.publisher(t, "orders", 4096)
	s.want(t, 413, "too-large", "POST", "/v1/topics/orders/messages", strings.Repeat("x", 2000))
	s.want(t, 413, "too-large", "POST", "/v1/topics/orders/messages", strings.Repeat("x", mostBody+1))
	slow, err := s.Subscriber(bustest.Context(t), "orders", bus.SubscriberConfig{Name: "slow"})
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	body := strings.Repeat(`{"payload":"`+strings.Repeat("x", 900)+`"}`+"\n", 10)
	code, h, answer := s.ask(t, "POST", "/v1/topics/orders/messages", body, "Content-Type", "application/x-ndjson")
	if p := decode[problem](t, answer); code != 429 || h.Get("Retry-After") == "" || p.Type != "shmbus:backpressure" || p.Published == nil || *p.Published < 2 || *p.Published > 4 {
		t.Errorf("%d %v %s", code, h, answer)
	}
	p, release, err := s.bridge.publishers.get(t.Context(), "orders")
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if n := p.Stats().Published; n != uint64(*decode[problem](t, answer).Published) {
		t.Errorf("%d published, not what was answered", n)
	}
	body = strings.Repeat(`{"payload":""}`+"\n", 1000)
	_ = slow.Close()
	code, _, answer = s.ask(t, "POST", "/v1/topics/orders/messages", body, "Content-Type", "application/x-ndjson")
	if p := decode[problem](t, answer); code != 429 || p.Type != "shmbus:rate" {
		t.Errorf("%d %s", code, answer)
	}
}

// TestSlowBody: who sends a byte now and then is let go.
func TestSlowBody(t *testing.T) {
	s := newSite(t, nil)
	s.bridge.bodyTimeout = 50 * time.Millisecond
	s.publisher(t, "orders", 64<<10)
	a := readAnswer(t, s.dial(t, s.head("POST", "/v1/topics/orders/messages")+"Content-Length: 1000\r\n\r\nabc"), http.MethodPost)
	body, _ := io.ReadAll(a.Body)
	if a.StatusCode != http.StatusRequestTimeout || !bytes.Contains(body, []byte("slow-body")) {
		t.Errorf("%d %s", a.StatusCode, body)
	}
}

// TestPathTricks: names of topics are names, not paths.
func TestPathTricks(t *testing.T) {
	s := newSite(t, nil)
	for _, name := range []string{"..", "%2e%2e", "..%2f..%2fetc%2fpasswd", "a%2fb", "%00", "a%0ab", strings.Repeat("a", 1000), "%ff", "-x", "~root", "a b"} {
		for _, path := range []string{"/v1/topics/" + strings.ReplaceAll(name, " ", "%20"), "/v1/topics/" + strings.ReplaceAll(name, " ", "%20") + "/messages"} {
			code, _, body := s.ask(t, "GET", path, "")
			if code != 404 && code != 400 && code != 307 && code != 301 || strings.Contains(body, "root:") {
				t.Errorf("GET %s: %d %s", path, code, body)
			}
			code, _, body = s.ask(t, "POST", path, "x")
			if code != 404 && code != 400 && code != 405 && code != 307 && code != 301 {
				t.Errorf("POST %s: %d %s", path, code, body)
			}
		}
	}
	for _, path := range []string{"/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/page/../bridge.go", "/vendor/"} {
		if _, _, body := s.ask(t, "GET", path, ""); strings.Contains(body, "root:") || strings.Contains(body, "package web") {
			t.Errorf("%s: %s", path, body)
		}
	}
	if list, err := s.Topics(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("%d topics were made, %v", len(list), err)
	}
}

// TestSlowReaders: a thousand clients that do not read hold up nobody, take no
// more memory than the limit on streams allows, and are told what they lost.
func TestSlowReaders(t *testing.T) {
	s := newSite(t, func(c *Config) { c.MaxStreams = 8 })
	s.bridge.answerTimeout = 10 * bustest.Watchdog // nobody is let go for being slow before all is published
	p := s.publisher(t, "orders", 64<<10)
	reader, err := s.Subscriber(bustest.Context(t), "orders", bus.SubscriberConfig{Name: "reader"})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	streams, refused := slowStreams(t, s, 1000)
	if len(streams) != 8 || refused != 992 {
		t.Fatalf("%d streams, %d refused, want 8 and 992", len(streams), refused)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	payload := bytes.Repeat([]byte("x"), 1000)
	const messages = 50_000                                              // far more than buffers of sockets hold
	ctx, cancel := context.WithTimeout(t.Context(), 10*bustest.Watchdog) // all of them
	defer cancel()
	read := make(chan error, 1)
	go func() {
		for range messages {
			if _, err := reader.Next(ctx); err != nil {
				read <- err
				return
			}
		}
		read <- nil
	}()
	for range messages {
		if err := p.Publish(ctx, payload); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-read; err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 32<<20 {
		t.Errorf("the heap grew by %d bytes for 8 streams", grown)
	}
	for _, st := range s.Statistics() {
		for _, i := range st.Subscribers {
			if i.Name == "reader" && i.Delivered+i.Lag != messages {
				t.Errorf("the reliable reader has %d and lags %d", i.Delivered, i.Lag)
			}
		}
	}
	// One of them begins to read again, and hears of it.
	toldOfLoss(t, streams[0])
}

// toldOfLoss reads on until it is told what was lost.
func toldOfLoss(t *testing.T, stream net.Conn) {
	t.Helper()
	_ = stream.SetReadDeadline(time.Now().Add(bustest.Watchdog))
	lines := bufio.NewReader(stream)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("never told what was lost: %v", err)
		}
		if strings.HasPrefix(line, "event: lost") {
			return
		}
		if strings.Contains(line, `"sequence":49999,`) {
			t.Fatal("got the last message and lost nothing: the test did not make it slow")
		}
	}
}

// slowStreams asks n times for the messages and reads no more than the status.
// It returns the streams there are, and how many were refused.
func slowStreams(t *testing.T, s *site, n int) (streams []net.Conn, refused int) {
	t.Helper()
	for range n {
		c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		if tc, ok := c.(*net.TCPConn); ok {
			_ = tc.SetReadBuffer(4096)
		}
		_, err = io.WriteString(c, "GET /v1/topics/orders/messages HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\nAuthorization: Bearer "+s.bridge.config.Token+"\r\n\r\n")
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(bustest.Watchdog))
		status := make([]byte, len("HTTP/1.1 200"))
		if _, err := io.ReadFull(c, status); err != nil {
			t.Fatal(err)
		}
		switch string(status[9:]) {
		case "200":
			streams = append(streams, c)
		case "503":
			refused++
			_ = c.Close()
		default:
			t.Fatalf("%s", status)
		}
	}
	return streams, refused
}

// TestListen: loopback or a private socket, nothing else.
func TestListen(t *testing.T) {
	for address, want := range map[string]string{
		"0.0.0.0:0": "put a proxy in front", "[::]:0": "put a proxy in front", ":8480": "put a proxy in front", "192.168.1.1:80": "put a proxy in front",
		"example.org:80": "put a proxy in front", "8480": "want HOST:PORT or unix:PATH",
		"unix:": "want unix:PATH", "127.0.0.1:99999": "want a number up to 65535",
	} {
		if l, err := Listen(address, nil); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v", address, l, err)
		}
	}
	for _, address := range []string{"127.0.0.1:0", "localhost:0"} {
		l, err := Listen(address, nil)
		if err != nil {
			t.Error(err)
			continue
		}
		_ = l.Close()
	}
}

// TestConfigErrors: origins are origins.
func TestConfigErrors(t *testing.T) {
	for _, origin := range []string{"*", "example.org", "https://example.org/", "https://", "ftp://example.org", "https://u:p@example.org"} {
		c := Config{Token: "x", Origins: []string{origin}}
		if err := c.complete(); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", origin, err)
		}
	}
	if err := new(Config).complete(); !errors.Is(err, ErrConfig) {
		t.Error(err)
	}
}
