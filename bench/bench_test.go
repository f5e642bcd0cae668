//go:build linux

package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// actorVariable makes the test binary act as an actor.
const actorVariable = "SHMBUS_BENCH_ACTOR"

func TestMain(m *testing.M) {
	if os.Getenv(actorVariable) == "" {
		os.Exit(m.Run())
	}
	if err := Actor(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// program runs the test binary as an actor.
func program(t *testing.T) []string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(actorVariable, "1")
	return []string{self}
}

// run measures cells with tiny counts.
func run(t *testing.T, o Options) *Report {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	t.Cleanup(cancel)
	if o.Count == 0 {
		o.Count = 320
	}
	o.Budget, o.Program = time.Hour, program(t)
	report, err := Run(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// plan is Plan without an error.
func plan(t *testing.T, c Choice) []Cell {
	t.Helper()
	cells, err := Plan(c)
	if err != nil {
		t.Fatal(err)
	}
	return cells
}

// TestEveryCell runs every cell of a default run, each message checked and the
// sums verified, and looks at the shape of the rows. Nothing is said about
// times.
func TestEveryCell(t *testing.T) {
	cells := plan(t, Choice{Quick: racing})
	for i := range cells {
		cells[i].Rate *= 10 // the slowest of a second for 320 messages would take a third of one
	}
	report := run(t, Options{Cells: cells, Rounds: 1})
	rows := slices.DeleteFunc(slices.Clone(report.Rows), func(r Row) bool { return r.Mode == modeSlowest })
	processors, err := allowed()
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != len(cells) || len(report.Lines) != 2 && len(processors) > 1 {
		t.Fatalf("got %d rows of %d cells and %d line ping-pongs", len(rows), len(cells), len(report.Lines))
	}
	for i, r := range rows {
		c := cells[i]
		if r.Mechanism != c.Mechanism || r.Pattern != c.Pattern || r.Size != c.Size || r.Publishers != c.Publishers ||
			r.Subscribers != c.Subscribers || r.Wait != c.Wait || r.Stamps != c.Stamps || r.RatePerS != c.Rate || r.Mode != c.mode() {
			t.Errorf("%v: got row %+v", c, r)
		}
		if r.MsgsPerS == nil || *r.MsgsPerS <= 0 || *r.BytesPerS <= *r.MsgsPerS || r.Rounds < 1 || r.CPUNsPerMsg == nil {
			t.Errorf("%v: got row %+v", c, r)
		}
		timed := c.Pattern != Stream
		if timed != (r.P50Ns != nil) || timed && (*r.P50Ns <= 0 || *r.P50Ns > *r.P99Ns || *r.P99Ns > *r.MaxNs) {
			t.Errorf("%v: got percentiles %s %s, longest %s", c, nanosOr(r.P50Ns), nanosOr(r.P99Ns), nanosOr(r.MaxNs))
		}
		if compared := c.Pattern != Paced && c.Mode != Burst; compared != (r.RatioToLimit != nil) {
			t.Errorf("%v: ratio %v", c, r.RatioToLimit)
		}
	}
}

// TestStamped runs what goes through package bus in every combination.
func TestStamped(t *testing.T) {
	run(t, Options{Rounds: 1, Cells: plan(t, Choice{
		Mechanisms: []string{"shmbus", "shmbus-batch", "shmbus-claim", "shmbus-fenced", "shmbus-ring"}, Patterns: []string{"stream", "rtt", "paced"},
		Publishers: []int{1, 2}, Subscribers: []int{1, 3}, Stamps: []bool{true}, Waits: []string{"spin", "park"}, Rates: []int{20_000},
	})})
}

// TestOddSizes runs sizes at which first, last and line words coincide, and a
// message of more than a ring's usual quarter.
func TestOddSizes(t *testing.T) {
	names := []string{
		"limit-spsc", "limit-spsc-batched", "shmbus", "shmbus-batch", "shmbus-claim", "mutex", "go-channel", "function-call",
		"unix-stream-buffered", "unix-seqpacket-buffered", "named-pipe",
	}
	run(t, Options{Rounds: 1, Count: 64, Cells: plan(t, Choice{Mechanisms: names, Patterns: []string{"stream"}, Sizes: []int{8, 16, 72, 1 << 21}})})
}

// TestAsManyAsATopicHolds runs as many publishers, and as many subscribers, as
// there can be.
func TestAsManyAsATopicHolds(t *testing.T) {
	if racing {
		t.Skip("65 processes that start slowly")
	}
	run(t, Options{Rounds: 1, Count: 64, Cells: append(
		plan(t, Choice{Mechanisms: []string{"shmbus"}, Patterns: []string{"stream"}, Publishers: []int{MaxPublishers}, Waits: []string{"park"}}),
		plan(t, Choice{Mechanisms: []string{"shmbus"}, Patterns: []string{"stream"}, Subscribers: []int{MaxSubscribers}, Waits: []string{"park"}})...,
	)})
}

// TestOneProcessor measures by time where all actors share one processor: what
// spins there without giving it up would take minutes.
func TestOneProcessor(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before, err := allowed()
	if err != nil {
		t.Fatal(err)
	}
	if err := pin(before[:1]); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := pin(before); err != nil {
			t.Error(err)
		}
	}()
	cells := plan(t, Choice{Mechanisms: []string{"limit-line", "limit-spsc", "limit-spsc-batched", "shmbus"}, Patterns: []string{"stream", "rtt"}, Sizes: []int{64}})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var notes bytes.Buffer
	report, err := Run(ctx, Options{Cells: cells, Rounds: 1, Budget: time.Second, Program: program(t), Notes: &notes})
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Rows) != len(cells) || len(report.Lines) != 0 || !strings.Contains(notes.String(), "one processor: no raw line ping-pong") {
		t.Errorf("got %d rows of %d cells, %d line ping-pongs and the notes\n%s", len(report.Rows), len(cells), len(report.Lines), &notes)
	}
}

// TestPatience: no turn is taken for hanging before its last message is due.
func TestPatience(t *testing.T) {
	for _, rate := range []int{1, 7, 1000, 1_000_000} {
		c := Cell{Mechanism: "shmbus", Pattern: Paced, Size: 64, Publishers: 1, Subscribers: 1, Wait: "park", Rate: rate}
		a := c.amountFor(0, longest)
		takes := time.Duration(a.warm+a.count) * time.Second / time.Duration(rate)
		if got := patience(c, a, longest); got < takes+watchdog {
			t.Errorf("%d/s: gives up after %v, though %d messages take %v", rate, got, a.warm+a.count, takes)
		}
	}
}

// TestPeersNeedADirectory: nothing is looked for in $PATH.
func TestPeersNeedADirectory(t *testing.T) {
	cells := []Cell{{Mechanism: "peer-spsc", Pattern: Stream, Size: 64, Publishers: 1, Subscribers: 1, Wait: "spin"}}
	if _, err := Run(t.Context(), Options{Cells: cells}); !errors.Is(err, ErrNoPeers) {
		t.Errorf("got %v, want ErrNoPeers", err)
	}
}

// TestRowObject pins the names and the order of a row's fields.
func TestRowObject(t *testing.T) {
	b, err := json.Marshal(Row{Mechanism: "m", Mode: "reliable", Pattern: Stream})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"mechanism", "mode", "pattern", "size", "publishers", "subscribers", "wait", "stamps", "rate_per_s", "msgs_per_s", "bytes_per_s",
		"p50_ns", "p90_ns", "p99_ns", "p999_ns", "max_ns", "cpu_ns_per_msg", "ctx_switches_per_msg", "rounds", "ratio_to_limit",
	}
	var got []string
	d := json.NewDecoder(bytes.NewReader(b))
	for depth, key := 0, true; ; {
		token, err := d.Token()
		if err != nil {
			break
		}
		if _, ok := token.(json.Delim); ok {
			depth++
			continue
		}
		if key {
			got = append(got, token.(string))
		}
		key = !key
	}
	if !slices.Equal(got, want) {
		t.Errorf("got fields %q, want %q", got, want)
	}
}

// TestWrongMessageIsFound lets a subscriber find what was not published.
func TestWrongMessageIsFound(t *testing.T) {
	c := Cell{Mechanism: "shmbus", Pattern: Stream, Size: 192, Publishers: 1, Subscribers: 1, Wait: "spin"}
	messages := func(k *checker, change func(p []byte, n int)) {
		w := newWriter(c.Size, 0)
		w.settle()
		k.settle()
		for n := range 100 {
			p := slices.Clone(w.next())
			change(p, n)
			k.take(p)
		}
	}
	for what, tt := range map[string]struct {
		change func([]byte, int)
		ok     bool
	}{
		"nothing":   {func([]byte, int) {}, true},
		"first":     {func(p []byte, n int) { p[0] ^= byte(n / 99) }, false},
		"last":      {func(p []byte, n int) { p[len(p)-1] ^= byte(n / 99) }, false},
		"between":   {func(p []byte, n int) { p[64] ^= byte(n / 99) }, false},
		"the count": {func(p []byte, n int) { little.PutUint64(p, 7); little.PutUint64(p[len(p)-8:], 7) }, false},
	} {
		k := newChecker(c, amount{warm: 0, count: 100}, &clock{})
		messages(k, tt.change)
		if ok := k.err == nil && k.sum == expectedSum(c, amount{count: 100}); ok != tt.ok {
			t.Errorf("%s changed: found right is %t (%v)", what, ok, k.err)
		}
	}
}

// TestActorFails says which actor failed, and why, and leaves nothing behind.
func TestActorFails(t *testing.T) {
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	_, err := Run(context.Background(), Options{
		Cells: plan(t, Choice{Mechanisms: []string{"limit-spsc"}}), Count: 64, Rounds: 1, Program: []string{"/bin/false"},
	})
	if !errors.Is(err, ErrActor) {
		t.Errorf("got %v, want ErrActor", err)
	}
	if left, _ := filepath.Glob(filepath.Join(temporary, "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestCancel ends a run at once.
func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	notes := writerFunc(func([]byte) { cancel() }) // the first note, or the end
	cells := plan(t, Choice{Mechanisms: []string{"http-close"}, Publishers: []int{1}, Patterns: []string{"stream"}})
	done := make(chan error)
	go func() {
		_, err := Run(ctx, Options{Cells: cells, Count: 1 << 30, Rounds: 1, Notes: notes, Program: program(t)})
		done <- err
	}()
	cancel()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want it cancelled", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("hangs")
	}
}

type writerFunc func([]byte)

func (f writerFunc) Write(b []byte) (int, error) { f(b); return len(b), nil }

// TestPeer builds the one peer that needs nothing but a C compiler.
func TestPeer(t *testing.T) {
	if _, err := exec.LookPath("cc"); err != nil {
		t.Skip("no C compiler")
	}
	dir := t.TempDir()
	build := exec.Command("cc", "-O2", "-o", filepath.Join(dir, "spsc"), "peers/main.c", "peers/spsc.c")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", build, err, out)
	}
	for _, size := range []int{8, 64, 72, 4096} {
		report := run(t, Options{Rounds: 1, Peers: dir, Cells: plan(t, Choice{Peers: true, Mechanisms: []string{"peer-spsc"}, Sizes: []int{size}})})
		if len(report.Rows) != 2 || *report.Rows[1].P50Ns <= 0 {
			t.Errorf("%d bytes: got %+v", size, report.Rows)
		}
	}
}
