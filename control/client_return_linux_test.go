package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"testing"
	"time"
)

// TestNameOfAGivenUpRequestIsFree: whoever gives up asking for a slot may ask
// again at once, under the same name.
func TestNameOfAGivenUpRequestIsFree(t *testing.T) {
	root := busRoot(t)
	dial(t, Config{Dir: root})
	c := dial(t, Config{Dir: root, NeverHost: true})
	publisher(t, c, PublisherRequest{Topic: "topic", Capacity: 4 << 10})
	given := 0
	for i := range 300 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*5*time.Microsecond)
		g, err := c.Subscriber(ctx, SubscriberRequest{Topic: "topic", Name: "name"})
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			given++
			g, err = c.Subscriber(soon(t), SubscriberRequest{Topic: "topic", Name: "name"})
		}
		if err != nil {
			t.Fatalf("after %d requests given up: %v", given, err)
		}
		if err := g.Release(); err != nil {
			t.Fatal(err)
		}
	}
	if given == 0 {
		t.Error("no request was given up: the test does not test")
	}
}

// TestNoTopicBeforeAllAreBack: who does not wait for a topic is told that it is
// not there only when nobody is missing who may bring it back to a new host.
func TestNoTopicBeforeAllAreBack(t *testing.T) {
	untilInTime(t, noTopicBeforeAllAreBack)
}

func noTopicBeforeAllAreBack(t *testing.T) (inTime bool) {
	root := busRoot(t)
	dir, err := OpenBusDir(root, DefaultBus, DirOptions{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	missing, err := dir.JoinMembers() // alive, and never back
	if err != nil {
		t.Fatal(err)
	}
	defer missing.Close()
	start := time.Now()
	c := dial(t, Config{Dir: root, Host: HostConfig{Settle: time.Millisecond}})
	if _, err := c.Topics(soon(t)); err != nil { // the host serves
		t.Fatal(err)
	}
	return answersOnceComplete(t, c, missing, 50, func() time.Duration { return time.Since(start) })
}

// untilInTime repeats a scene that was too slow to show anything.
func untilInTime(t *testing.T, scene func(t *testing.T) (inTime bool)) {
	t.Helper()
	for range 5 {
		if scene(t) {
			return
		}
	}
	t.Fatal("every time the host had run for so long that it might answer")
}

// answersOnceComplete: a topic that is not there is not said to be missing, in
// the time of so many requests, before the member that might bring it has gone.
// ran is how long the host may have been running: after makePatience it may answer
// all the same, and the scene was not in time.
func answersOnceComplete(t *testing.T, c *Client, missing io.Closer, requests int, ran func() time.Duration) (inTime bool) {
	t.Helper()
	answer := make(chan error, 1)
	go func() {
		_, err := c.Subscriber(soon(t), SubscriberRequest{Topic: "topic", NoWait: true})
		answer <- err
	}()
	for range requests {
		if _, err := c.Topics(soon(t)); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-answer:
			if d := ran(); d < makePatience || !errors.Is(err, ErrNoTopic) {
				t.Fatalf("answered while a member is missing, after %v at most: %v", d, err)
			}
			return false
		default:
		}
	}
	missing.Close()
	if err := <-answer; !errors.Is(err, ErrNoTopic) {
		t.Errorf("got %v, want %v", err, ErrNoTopic)
	}
	return true
}

var _ = childProgram("settling", func(args []string) error {
	ctx, cancel := context.WithCancel(context.Background())
	go func() { untilParentEnds(); cancel() }()
	return Serve(ctx, Config{Dir: args[0], Host: HostConfig{Settle: time.Second}}, func(string) { fmt.Println("ready") })
})

// TestStoppedHostWaitsForOthers: a host that is stopped while members are on their way
// back does not take its own absence for theirs. A topic made anew before they
// could offer theirs would leave them on a ring of their own.
func TestStoppedHostWaitsForOthers(t *testing.T) {
	untilInTime(t, stoppedHostWaitsForOthers)
}

func stoppedHostWaitsForOthers(t *testing.T) (inTime bool) {
	root := busRoot(t)
	dir, err := OpenBusDir(root, DefaultBus, DirOptions{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	missing, err := dir.JoinMembers() // alive, and not yet back
	if err != nil {
		t.Fatal(err)
	}
	defer missing.Close()
	start := time.Now()
	host := startChild(t, os.Getuid(), os.Getgid(), "settling", root)
	if l := host.line(); l != "ready" {
		t.Fatal(l)
	}
	c := dial(t, Config{Dir: root, NeverHost: true})
	host.stop()
	before := time.Since(start)
	if c2, err := Dial(soon(t), Config{Dir: root, NeverHost: true}); !errors.Is(err, ErrHostStalled) { // takes longer than a host waits
		t.Fatalf("joining a stopped host: %v, %v; want %v", c2, err, ErrHostStalled)
	}
	again := time.Now()
	if err := host.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	return answersOnceComplete(t, c, missing, 10, func() time.Duration { return before + time.Since(again) })
}

// TestRequestOutlivesItsHost: a request that a host was at work on when it left
// is the next one's; nobody hears that the host's work was cancelled.
func TestRequestOutlivesItsHost(t *testing.T) {
	root := busRoot(t)
	dir, err := OpenBusDir(root, DefaultBus, DirOptions{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	missing, err := dir.JoinMembers() // makes every host take its time
	if err != nil {
		t.Fatal(err)
	}
	defer missing.Close()
	host := dial(t, Config{Dir: root, Host: HostConfig{Settle: time.Millisecond}})
	c := dial(t, Config{Dir: root, Host: HostConfig{Settle: time.Millisecond}})
	answer := make(chan error, 1)
	go func() {
		_, err := c.Subscriber(soon(t), SubscriberRequest{Topic: "topic", NoWait: true})
		answer <- err
	}()
	eventually(t, func() error {
		host.host.mu.Lock()
		defer host.host.mu.Unlock()
		if host.host.busy == 0 {
			return errors.New("the host is not at work")
		}
		return nil
	})
	host.Close()
	eventually(t, func() error {
		if !c.Hosting() {
			return errors.New("nobody hosts")
		}
		return nil
	})
	missing.Close()
	if err := <-answer; !errors.Is(err, ErrNoTopic) {
		t.Errorf("got %v, want %v", err, ErrNoTopic)
	}
}
