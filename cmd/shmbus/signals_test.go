package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// numbered returns n lines with a prefix.
func numbered(prefix string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%s%d\n", prefix, i)
	}
	return b.String()
}

var summary = regexp.MustCompile(`(?m)^delivered (\d+), lost (\d+)\n\z`)

// delivered reads the last line of a subscriber's standard error.
func delivered(t *testing.T, p *process) (delivered, lost int) {
	t.Helper()
	m := summary.FindStringSubmatch(p.stderr.String())
	if m == nil {
		t.Fatalf("%s: no summary at the end of standard error:\n%s", p.what, p.stderr)
	}
	delivered, _ = strconv.Atoi(m[1])
	lost, _ = strconv.Atoi(m[2])
	return delivered, lost
}

// TestClosedOutput: a reader that goes away ends a subscriber quietly.
func TestClosedOutput(t *testing.T) {
	place := newPlace(t)
	sub := place.command(t, "sub", "t")
	out := sub.out(t)
	sub.start(t)
	pub := place.command(t, "pub", "t", "--wait-subscribers", "1", "--capacity", "64KiB")
	in := pub.in(t)
	pub.start(t)
	fmt.Fprintln(in, "first")
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "first\n" {
		t.Fatalf("read %q, %v", line, err)
	}
	out.Close()
	fmt.Fprintln(in, "second")
	sub.exits(t, exitOK)
	if lines := strings.Count(sub.stderr.String(), "\n"); lines != 1 {
		t.Errorf("want only the summary on standard error, got:\n%s", sub.stderr)
	}
	in.Close()
	pub.exits(t, exitOK)
}

// TestTimeoutOfBlockedOutput: a timeout is kept though nobody reads the output.
func TestTimeoutOfBlockedOutput(t *testing.T) {
	place := newPlace(t)
	sub := place.command(t, "sub", "t", "--timeout", "2s")
	sub.out(t)
	sub.start(t)
	defer time.AfterFunc(watchdog, func() { sub.Process.Kill() }).Stop()
	pub := place.command(t, "pub", "t", "--capacity", "4KiB", "--when-full", "drop", "--wait-subscribers", "1")
	pub.Stdin = strings.NewReader(numbered("a line of some length ", 200_000)) // more than pipe and ring hold
	pub.start(t).exits(t, exitOK)
	sub.exits(t, exitTimedOut)
	if !strings.Contains(sub.stderr.String(), "shmbus sub: timed out after 2s") {
		t.Errorf("standard error: %s", sub.stderr)
	}
}

// TestInterrupted: SIGINT and SIGTERM end every waiting command with 130 and
// leave nothing attached; SIGTERM is the ordinary end of serve.
func TestInterrupted(t *testing.T) {
	place := newPlace(t)
	serve := place.command(t, "serve").start(t)
	place.until(t, `"keep": true`, "stat", "-o", "json")
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		sub := place.command(t, "sub", "t").start(t)
		waits := place.command(t, "pub", "t", "--wait-subscribers", "2").start(t)
		reads := place.command(t, "pub", "t")
		reads.in(t)
		reads.start(t)
		place.until(t, `"publishers": 2,\s+"subscribers": 1`, "ls", "-o", "json")
		for _, p := range []*process{sub, waits, reads} {
			p.Process.Signal(signal)
			p.exits(t, exitInterrupted)
		}
		if d, l := delivered(t, sub); d != 0 || l != 0 {
			t.Errorf("delivered %d, lost %d, want nothing", d, l)
		}
		place.until(t, `"publishers": 0,\s+"subscribers": 0`, "ls", "-o", "json")
	}
	serve.Process.Signal(syscall.SIGTERM)
	serve.exits(t, exitOK)
}

// TestNothingIsDelayed: each line goes through while the input is idle.
func TestNothingIsDelayed(t *testing.T) {
	place := newPlace(t)
	sub := place.command(t, "sub", "t", "--drain")
	out := bufio.NewReader(sub.out(t))
	sub.start(t)
	pub := place.command(t, "pub", "t", "--wait-subscribers", "1")
	in := pub.in(t)
	pub.start(t)
	for i := range 100 {
		want := fmt.Sprintf("line %d\n", i)
		io.WriteString(in, want)
		if got, err := out.ReadString('\n'); err != nil || got != want {
			t.Fatalf("read %q, %v, want %q", got, err, want)
		}
	}
	in.Close()
	pub.exits(t, exitOK)
	sub.exits(t, exitOK)
}

// TestWhenFull: nobody reads the subscriber's output, so the ring fills up.
func TestWhenFull(t *testing.T) {
	const lines = 200_000 // more than pipe and ring hold
	input := numbered("a line of some length ", lines)

	t.Run("fail", func(t *testing.T) {
		place := newPlace(t)
		sub := place.command(t, "sub", "t")
		sub.out(t)
		sub.start(t)
		pub := place.command(t, "pub", "t", "--capacity", "4KiB", "--when-full", "fail", "--wait-subscribers", "1")
		pub.Stdin = strings.NewReader(input)
		pub.start(t).exits(t, exitFailed)
		if !strings.Contains(pub.stderr.String(), "the ring is full at message ") {
			t.Errorf("standard error: %s", pub.stderr)
		}
	})
	t.Run("drop", func(t *testing.T) {
		place := newPlace(t)
		sub := place.command(t, "sub", "t", "--drain")
		out := sub.out(t)
		sub.start(t)
		pub := place.command(t, "pub", "t", "--capacity", "4KiB", "--when-full", "drop", "--wait-subscribers", "1")
		pub.Stdin = strings.NewReader(input)
		pub.start(t).exits(t, exitOK)
		var published, dropped int
		if _, err := fmt.Sscanf(pub.stderr.String(), "shmbus pub: published %d, dropped %d", &published, &dropped); err != nil {
			t.Fatalf("standard error %q: %v", pub.stderr, err)
		}
		if dropped == 0 || published+dropped != lines {
			t.Errorf("published %d, dropped %d, want %d together", published, dropped, lines)
		}
		b, err := io.ReadAll(out)
		if err != nil {
			t.Fatal(err)
		}
		sub.exits(t, exitOK)
		if n := strings.Count(string(b), "\n"); n != published {
			t.Errorf("%d lines arrived, %d were published", n, published)
		}
	})
}

// TestMaxLag: a subscriber that does not read is detached, and what it may have
// read while it was being overwritten is not written.
func TestMaxLag(t *testing.T) {
	place := newPlace(t)
	sub := place.command(t, "sub", "t", "--max-lag", "100")
	out := sub.out(t)
	sub.start(t)
	input := numbered("a line of some length ", 200_000)
	pub := place.command(t, "pub", "t", "--capacity", "4KiB", "--wait-subscribers", "1")
	in := pub.in(t)
	pub.start(t)
	got := make([]byte, strings.Index(input, "\n")+1)
	if _, err := io.WriteString(in, input[:len(got)]); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, got); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(in, input[len(got):]); err != nil {
		t.Fatal(err)
	}
	in.Close()
	pub.exits(t, exitOK)
	more, err := io.ReadAll(out)
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, more...)
	sub.exits(t, exitFailed)
	if !strings.HasPrefix(input, string(got)) {
		t.Errorf("%d bytes arrived that are no beginning of the input", len(got))
	}
	if !strings.Contains(sub.stderr.String(), "it fell --max-lag 100 messages behind or held a full ring up") {
		t.Errorf("standard error: %s", sub.stderr)
	}
}

// until runs a command until its output matches.
func (p place) until(t *testing.T, pattern string, args ...string) {
	t.Helper()
	re := regexp.MustCompile(pattern)
	var last string
	poll(func() bool {
		c := p.command(t, args...)
		out, _ := c.Output()
		last = string(out) + c.stderr.String()
		return re.Match(out)
	}, func() {
		t.Fatalf("shmbus %s never wrote %s; last:\n%s", strings.Join(args, " "), pattern, last)
	})
}

// TestWithoutStdin: a closed standard input is an empty one or one clear error,
// and no terminal is needed.
func TestWithoutStdin(t *testing.T) {
	place := newPlace(t)
	pub := place.command(t, "pub", "t")
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	pub.Stdin = null
	pub.start(t).exits(t, exitOK)
	if pub.stderr.String() != "" {
		t.Errorf("standard error: %s", pub.stderr)
	}
}
