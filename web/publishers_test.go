package web

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shmbus/shmbus/bus"
	"github.com/shmbus/shmbus/bustest"
)

// attached counts the bridge's publishers of a topic.
func (s *site) attached(topic string) (n int) {
	for _, t := range s.bridge.bus.Statistics() {
		if t.Info.Name == topic {
			n += len(t.Publishers)
		}
	}
	return n
}

// TestNotAttachedForNothing: who sends no message leaves no publisher.
func TestNotAttachedForNothing(t *testing.T) {
	s := newSite(t, nil)
	s.publisher(t, "orders", 64<<10)
	s.want(t, 415, "media-type", "POST", "/v1/topics/orders/messages", "x", "Content-Type", "image/png")
	s.want(t, 400, "bad-request", "POST", "/v1/topics/orders/messages", "x", "Content-Type", "text/")
	s.want(t, 413, "too-large", "POST", "/v1/topics/orders/messages", strings.Repeat("x", mostBody+1))
	s.dial(t, s.head("POST", "/v1/topics/orders/messages")+"Content-Length: 10\r\n\r\nx")
	s.want(t, 200, "orders", "GET", "/v1/topics", "")
	if n := s.attached("orders"); n != 0 {
		t.Errorf("the bridge has %d publishers, want none", n)
	}
}

// TestIdlePublisher: a publisher that nobody uses is closed, and keeps its topic
// no longer; the next message makes another one.
func TestIdlePublisher(t *testing.T) {
	s := newSite(t, nil)
	p := s.publisher(t, "orders", 64<<10)
	s.want(t, 201, "published", "POST", "/v1/topics/orders/messages", "x")
	if n := s.attached("orders"); n != 1 {
		t.Fatalf("%d publishers, want that of the bridge to stay for a while", n)
	}
	s.bridge.publishers.idle = time.Millisecond
	for range 3 {
		s.want(t, 201, "published", "POST", "/v1/topics/orders/messages", "x")
		bustest.Until(t, "the bridge's publisher to be closed", func() bool { return s.attached("orders") == 0 })
	}
	_ = p.Close()
	bustest.Until(t, "the topic to end", func() bool {
		list, err := s.Topics(t.Context())
		return err == nil && len(list) == 0
	})
}

// TestHostIsSlow: while the host lets one topic wait, others go on; it is asked
// once for all who wait; and a request that gives up takes nobody along.
func TestHostIsSlow(t *testing.T) {
	s := newSite(t, nil)
	s.publisher(t, "orders", 64<<10)
	s.want(t, 201, "published", "POST", "/v1/topics/orders/messages", "x")
	asked, answer := make(chan string, 10), make(chan struct{})
	l := newPublishers(s.bridge.life, func(ctx context.Context, topic string) (*bus.SharedPublisher, error) {
		asked <- topic
		if topic == "slow" {
			<-answer
			topic = "orders"
		}
		return s.bridge.join(ctx, topic)
	})
	get := func(ctx context.Context, topic string) error {
		_, release, err := l.get(ctx, topic)
		if err == nil {
			release()
		}
		return err
	}
	gone, cancel := context.WithCancel(t.Context())
	errs := make(chan error, 3)
	go func() { errs <- get(gone, "slow") }()
	if topic := <-asked; topic != "slow" {
		t.Fatal(topic)
	}
	cancel()
	if err := <-errs; !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want it to have given up", err)
	}
	for range cap(errs) {
		go func() { errs <- get(bustest.Context(t), "slow") }()
	}
	if err := get(bustest.Context(t), "orders"); err != nil || <-asked != "orders" {
		t.Error(err)
	}
	close(answer)
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if len(asked) > 0 {
		t.Errorf("asked again for %s", <-asked)
	}
	l.wait()
	if err := get(t.Context(), "another"); !errors.Is(err, bus.ErrClosed) {
		t.Error(err)
	}
}

// TestManyTopics: publishers nobody uses make room; if all are used, that is
// said.
func TestManyTopics(t *testing.T) {
	s := newSite(t, nil)
	real := []string{"orders", "prices"} // one has no room for so many
	for _, topic := range real {
		s.publisher(t, topic, 64<<10)
	}
	joined := 0
	l := newPublishers(s.bridge.life, func(ctx context.Context, _ string) (*bus.SharedPublisher, error) {
		joined++
		return s.bridge.join(ctx, real[joined%len(real)])
	})
	var releases []func()
	for i := range mostPublishers {
		_, release, err := l.get(bustest.Context(t), fmt.Sprint("t", i))
		if err != nil {
			t.Fatal(err)
		}
		releases = append(releases, sync.OnceFunc(release))
	}
	if _, _, err := l.get(bustest.Context(t), "more"); !errors.Is(err, errBusy) {
		t.Errorf("%v, want %v", err, errBusy)
	}
	releases[7]()
	_, release, err := l.get(bustest.Context(t), "more")
	if err != nil {
		t.Fatal(err)
	}
	if l.list["t7"] != nil || l.list["t8"] == nil {
		t.Error("not the idle one made room")
	}
	release()
	for _, r := range releases {
		r()
	}
	l.wait()
}

// TestBodiesTogether: bodies that are not there yet take as much memory as came
// of them, all together no more than the limit; the others are told.
func TestBodiesTogether(t *testing.T) {
	s := newSite(t, nil)
	s.publisher(t, "orders", 1<<20)
	const most, path = 200 << 10, "/v1/topics/orders/messages"
	s.bridge.bodies = &budget{left: most}
	left := func() int {
		s.bridge.bodies.mu.Lock()
		defer s.bridge.bodies.mu.Unlock()
		return s.bridge.bodies.left
	}
	for range 5 { // take next to nothing
		s.dial(t, s.head("POST", path)+"Content-Length: 10000000\r\n\r\n"+strings.Repeat("x", 100))
	}
	half, whole := strings.Repeat("x", 33<<10), strings.Repeat("x", 100<<10)
	bustest.Until(t, "the bodies to be read", func() bool { return left() == most-5*leastBuffer })
	for _, length := range []string{fmt.Sprint("Content-Length: ", len(half)+1, "\r\n\r\n"), "Transfer-Encoding: chunked\r\n\r\n8400\r\n"} {
		was := left()
		c := s.dial(t, s.head("POST", path)+length+half)
		bustest.Until(t, "the half to be read", func() bool { return was-left() >= len(half) })
		s.want(t, 503, "shmbus:busy", "POST", path, whole)
		if strings.HasPrefix(length, "Transfer") {
			_, _ = c.Write([]byte("\r\n0\r\n\r\n"))
		} else {
			_, _ = c.Write([]byte("x"))
		}
		if a := readAnswer(t, c, "POST"); a.StatusCode != 201 {
			t.Errorf("%d, want the one that came first to be published", a.StatusCode)
		}
		bustest.Until(t, "its memory to be given back", func() bool { return left() == was })
	}
	s.want(t, 201, "published", "POST", path, half)
	s.want(t, 201, "published", "POST", path, "")
	bustest.Until(t, "all memory to be given back", func() bool { return left() == most-5*leastBuffer })
}
