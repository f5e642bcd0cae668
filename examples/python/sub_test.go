package python

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/shmbus/shmbus/bus"
	"github.com/shmbus/shmbus/bustest"
)

const publishAndDie = "SHMBUS_TEST_PUBLISH_AND_DIE"

// TestMain is, where it is asked to be, the publisher of an exclusive topic that ends
// with a claim open.
func TestMain(m *testing.M) {
	if name := os.Getenv(publishAndDie); name != "" {
		if err := leaveClaim(name); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func leaveClaim(name string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	b, err := bus.Open(ctx, bus.Config{Name: name, NeverHost: true})
	if err != nil {
		return err
	}
	p, err := b.Publisher(ctx, "alone", bus.PublisherConfig{Exclusive: true})
	if err != nil {
		return err
	}
	if err := p.WaitSubscribers(ctx, 2); err != nil {
		return err
	}
	if err := p.Publish(ctx, []byte("before")); err != nil {
		return err
	}
	if _, err := p.Claim(ctx, 100); err != nil {
		return err
	}
	return p.Publish(ctx, []byte("behind"))
}

// start runs sub.py on the bus, under a context that ends it with the test.
func start(t *testing.T, b *bustest.Bus, args ...string) (wait func() (stdout, stderr string)) {
	t.Helper()
	return startFor(t, b, 0, args...)
}

// startFailing is start where sub.py is to end with an error.
func startFailing(t *testing.T, b *bustest.Bus, args ...string) (wait func() (stdout, stderr string)) {
	t.Helper()
	return startFor(t, b, 1, args...)
}

func startFor(t *testing.T, b *bustest.Bus, code int, args ...string) (wait func() (stdout, stderr string)) {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3 here")
	}
	names, err := os.ReadDir(b.Dir)
	if err != nil || len(names) != 1 {
		t.Fatalf("want one bus in %s: %v, %v", b.Dir, names, err)
	}
	cmd := exec.CommandContext(bustest.Context(t), python, append([]string{"sub.py", "--dir", b.Dir, "--bus", names[0].Name()}, args...)...)
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return func() (string, string) {
		t.Helper()
		if err := cmd.Wait(); cmd.ProcessState.ExitCode() != code {
			t.Fatalf("sub.py: %v, want exit code %d\n%s", err, code, complaints.String())
		}
		return out.String(), complaints.String()
	}
}

// message is the n-th message: of every length up to a few records, so that
// the ring's end falls everywhere.
func message(n int) string { return fmt.Sprintf("%d %s", n, strings.Repeat("x", n%311)) }

const messages = 20000

// publish publishes all messages, among them claims that are given up.
func publish(ctx context.Context, p *bus.Publisher) (aborted int, err error) {
	for n := range messages {
		if err := p.Publish(ctx, []byte(message(n))); err != nil {
			return aborted, err
		}
		if n%97 != 0 {
			continue
		}
		c, err := p.Claim(ctx, 1+n%200)
		if err != nil {
			return aborted, err
		}
		if err := c.Abort(); err != nil {
			return aborted, err
		}
		aborted++
	}
	return aborted, p.Close()
}

// TestReliable: Python sees every message of many laps, in order.
func TestReliable(t *testing.T) {
	b := bustest.New(t)
	ctx := bustest.Context(t)
	p, err := b.Publisher(ctx, "laps", bus.PublisherConfig{Capacity: 16 << 10})
	if err != nil {
		t.Fatal(err)
	}
	wait := start(t, b, "laps", "--drain")
	if err := p.WaitSubscribers(ctx, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := publish(ctx, p); err != nil {
		t.Fatal(err)
	}
	out, complaints := wait()
	if want := fmt.Sprintf("delivered %d, lost 0\n", messages); complaints != want {
		t.Errorf("sub.py says %q, want %q", complaints, want)
	}
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	if len(lines) != messages {
		t.Fatalf("%d lines, want %d", len(lines), messages)
	}
	for n, line := range lines {
		if line != message(n) {
			t.Fatalf("line %d is %q, want %q", n, line, message(n))
		}
	}
}

// TestLossy: every message that Python got is whole and in order, and what it
// got and lost is all there was.
func TestLossy(t *testing.T) {
	b := bustest.New(t)
	ctx := bustest.Context(t)
	p, err := b.Publisher(ctx, "laps", bus.PublisherConfig{Capacity: 4 << 10})
	if err != nil {
		t.Fatal(err)
	}
	wait := start(t, b, "laps", "--drain", "--lossy")
	if err := p.WaitSubscribers(ctx, 1); err != nil {
		t.Fatal(err)
	}
	aborted, err := publish(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	out, complaints := wait()
	last := -1
	for line := range strings.Lines(out) {
		n := 0
		if _, err := fmt.Sscanf(line, "%d", &n); err != nil || n <= last || line != message(n)+"\n" {
			t.Fatalf("after message %d came %q", last, line)
		}
		last = n
	}
	var delivered, lost int
	if _, err := fmt.Sscanf(complaints, "delivered %d, lost %d", &delivered, &lost); err != nil {
		t.Fatalf("sub.py says %q", complaints)
	}
	// Aborted claims count as lost where they lie in an overrun.
	if sum := delivered + lost; delivered == 0 || sum > messages+aborted || sum < messages-aborted {
		t.Errorf("%d delivered + %d lost, of %d messages and %d aborted claims", delivered, lost, messages, aborted)
	}
}

// TestExclusive: Python sees every message of an exclusive topic, many laps of it, and
// its end.
func TestExclusive(t *testing.T) {
	b := bustest.New(t)
	ctx := bustest.Context(t)
	p, err := b.Publisher(ctx, "laps", bus.PublisherConfig{Capacity: 16 << 10, Exclusive: true})
	if err != nil {
		t.Fatal(err)
	}
	wait := start(t, b, "laps", "--drain")
	if err := p.WaitSubscribers(ctx, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := publish(ctx, p); err != nil {
		t.Fatal(err)
	}
	out, complaints := wait()
	if want := fmt.Sprintf("delivered %d, lost 0\n", messages); complaints != want {
		t.Errorf("sub.py says %q, want %q", complaints, want)
	}
	var want strings.Builder
	for n := range messages {
		want.WriteString(message(n) + "\n")
	}
	if out != want.String() {
		t.Errorf("sub.py printed %d bytes, want %d others", len(out), want.Len())
	}
}

// TestExclusiveClaimOfTheDead: Python steps over a claim that was open when the publisher
// of an exclusive topic died.
func TestExclusiveClaimOfTheDead(t *testing.T) {
	b := bustest.New(t)
	names, err := os.ReadDir(b.Dir)
	if err != nil || len(names) != 1 {
		t.Fatalf("want one bus in %s: %v, %v", b.Dir, names, err)
	}
	reliable := start(t, b, "alone", "--drain")
	lossy := start(t, b, "alone", "--drain", "--lossy")
	publisher := exec.CommandContext(bustest.Context(t), os.Args[0])
	publisher.Env = append(os.Environ(), publishAndDie+"="+names[0].Name(), "SHMBUS_DIR="+b.Dir)
	if out, err := publisher.CombinedOutput(); err != nil {
		t.Fatalf("publisher: %v\n%s", err, out)
	}
	for _, wait := range []func() (string, string){reliable, lossy} {
		if out, complaints := wait(); out != "before\nbehind\n" || complaints != "delivered 2, lost 0\n" {
			t.Errorf("sub.py printed %q and says %q", out, complaints)
		}
	}
}

// TestExclusiveGone: without --drain the end of an exclusive topic is an error.
func TestExclusiveGone(t *testing.T) {
	b := bustest.New(t)
	ctx := bustest.Context(t)
	wait := startFailing(t, b, "short")
	p, err := b.Publisher(ctx, "short", bus.PublisherConfig{Exclusive: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.WaitSubscribers(ctx, 1); err != nil {
		t.Fatal(err)
	}
	if err := p.Publish(ctx, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	out, complaints := wait()
	if want := "sub.py: the publisher of the exclusive topic has gone\ndelivered 1, lost 0\n"; out != "x\n" || complaints != want {
		t.Errorf("sub.py printed %q and says %q, want %q", out, complaints, want)
	}
}

// TestWaits: Python waits for a topic that is not there and sees it from its
// first message on.
func TestWaits(t *testing.T) {
	b := bustest.New(t)
	ctx := bustest.Context(t)
	wait := start(t, b, "later", "--count", "3")
	p, err := b.Publisher(ctx, "later", bus.PublisherConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.WaitSubscribers(ctx, 1); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"one", "", "three"} {
		if err := p.Publish(ctx, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if out, _ := wait(); out != "one\n\nthree\n" {
		t.Errorf("sub.py printed %q", out)
	}
}

// TestTimes: Python makes times of stamps, and sees where there is none.
func TestTimes(t *testing.T) {
	b := bustest.New(t)
	ctx := bustest.Context(t)
	wait := start(t, b, "times", "--times", "--count", "2")
	stamped, err := b.Publisher(ctx, "times", bus.PublisherConfig{})
	if err != nil {
		t.Fatal(err)
	}
	bare, err := b.Publisher(ctx, "times", bus.PublisherConfig{NoStamps: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := stamped.WaitSubscribers(ctx, 1); err != nil {
		t.Fatal(err)
	}
	before := time.Now()
	for _, p := range []*bus.Publisher{stamped, bare} {
		if err := p.Publish(ctx, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	after := time.Now()
	out, _ := wait()
	var first, second float64
	if _, err := fmt.Sscanf(out, "%f x\n%f x\n", &first, &second); err != nil {
		t.Fatalf("sub.py printed %q: %v", out, err)
	}
	const slack = 0.1 // the wall clock may be slewed meanwhile
	seconds := func(t time.Time) float64 { return float64(t.UnixNano()) / 1e9 }
	if first < seconds(before)-slack || first > seconds(after)+slack || second != 0 {
		t.Errorf("published at %f and %f, want between %f and %f, and 0", first, second, seconds(before), seconds(after))
	}
}
