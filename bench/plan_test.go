package bench

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestPlan(t *testing.T) {
	count := func(c Choice) int {
		cells, err := Plan(c)
		if err != nil {
			t.Fatalf("%+v: %v", c, err)
		}
		return len(cells)
	}
	if all, quick := count(Choice{}), count(Choice{Quick: true}); quick >= all || quick < 20 {
		t.Errorf("got %d cells, quick %d", all, quick)
	}
	parts, _ := Plans()
	sum := 0
	for _, name := range parts {
		if name == "tricks" {
			continue // has none in this build
		}
		if n := count(Choice{Plan: name}); n == 0 {
			t.Errorf("plan %s has no cells", name)
		} else if strings.HasPrefix(name, "growth-") {
			sum += n
		}
	}
	if n := count(Choice{Plan: "growth"}); n > sum || n < sum*9/10 {
		t.Errorf("got %d cells of growth, %d of its parts", n, sum)
	}
	if n := count(Choice{Plan: "growth-ring", Capacities: []uint64{1 << 20}, Sizes: []int{1024}}); n != 1 {
		t.Errorf("got %d cells of one size of ring and message", n)
	}
	if n := count(Choice{Mechanisms: []string{"shmbus"}, Patterns: []string{"stream"}, Capacities: []uint64{1 << 16, 1 << 20}}); n != 2 {
		t.Errorf("got %d cells of two sizes of rings", n)
	}
	if n := count(Choice{Mechanisms: []string{"shmbus"}, Patterns: []string{"stream"}, Sizes: []int{64, 128}, Publishers: []int{1, 2}, Stamps: []bool{true, false}}); n != 8 {
		t.Errorf("got %d cells of 2 sizes, 2 numbers of publishers and stamps on and off", n)
	}
	if n := count(Choice{Mechanisms: []string{"shmbus"}, Patterns: []string{"paced"}, Rates: []int{10, 20}, Waits: []string{"park", "spin"}}); n != 4 {
		t.Errorf("got %d cells of 2 rates and 2 waits", n)
	}
	rated, err := Plan(Choice{Mechanisms: []string{"shmbus"}, Rates: []int{10}})
	if err != nil || len(rated) != 1 || rated[0].Pattern != Paced {
		t.Errorf("a rate alone: got %v, %v, want one paced cell", rated, err)
	}
	for _, c := range []Choice{{Publishers: []int{MaxPublishers + 1}}, {Subscribers: []int{MaxSubscribers + 1}}} {
		if _, err := Plan(c); !errors.Is(err, ErrNothing) {
			t.Errorf("%+v: got %v, want ErrNothing", c, err)
		}
	}
	if _, err := Plan(Choice{Mechanisms: []string{"shmbus", "peer-spsc"}}); !errors.Is(err, ErrNoPeers) {
		t.Errorf("a peer without peers: got %v, want ErrNoPeers", err)
	}
	for _, c := range []Choice{{Mechanisms: []string{"telepathy"}}, {Patterns: []string{"zigzag"}}, {Waits: []string{"forever"}}} {
		if _, err := Plan(c); !errors.Is(err, ErrUnknown) {
			t.Errorf("%+v: got %v, want ErrUnknown", c, err)
		}
	}
	before := tricks
	defer func() { tricks = before }()
	tricks = nil
	if _, err := Plan(Choice{Plan: "tricks"}); !errors.Is(err, ErrNothing) {
		t.Errorf("no tricks: got %v, want ErrNothing", err)
	}
	tricks = []string{"magic", "mirrors"}
	if n := count(Choice{Plan: "tricks", Patterns: []string{"rtt"}, Waits: []string{"spin"}}); n != 3 {
		t.Errorf("got %d round trips with all tricks and without each of two", n)
	}
	if _, err := Plan(Choice{Mechanisms: []string{"limit-line"}, Sizes: []int{128}}); !errors.Is(err, ErrNothing) {
		t.Errorf("got %v, want ErrNothing", err)
	}
}

func TestPlanHasNoCellTwice(t *testing.T) {
	cells, err := Plan(Choice{Peers: true})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[Cell]bool{}
	for _, c := range cells {
		if seen[c] {
			t.Errorf("%v is there twice", c)
		}
		seen[c] = true
	}
}

func TestMarkSlow(t *testing.T) {
	for _, tt := range []struct {
		lines [][2]int64
		slow  []bool
	}{
		{[][2]int64{{100, 110}, {105, 450}, {460, 470}, {100, 100}}, []bool{false, true, true, false}},
		{[][2]int64{{100, 450}, {450, 100}, {900, 100}}, []bool{false, false, true}},
		{[][2]int64{{450, 450}}, []bool{false}},
		{[][2]int64{{100, 190}, {150, 230}}, []bool{false, true}},
		{[][2]int64{{430, 414}, {413, 111}, {106, 468}, {475, 413}, {411, 411}}, []bool{false, false, false, false, false}},
		{[][2]int64{{413, 111}, {106, 600}, {411, 411}}, []bool{false, true, false}},
	} {
		var rounds []round
		for _, l := range tt.lines {
			rounds = append(rounds, round{before: l[0], after: l[1]})
		}
		markSlow(rounds)
		var got []bool
		for _, r := range rounds {
			got = append(got, r.slow)
		}
		if !slices.Equal(got, tt.slow) {
			t.Errorf("%v: got %v, want %v", tt.lines, got, tt.slow)
		}
	}
}

func TestRowsAreMediansOfRoundsThatCount(t *testing.T) {
	cells := []Cell{
		{Mechanism: "limit-spsc", Pattern: Stream, Size: 64, Publishers: 1, Subscribers: 1, Wait: "spin"},
		{Mechanism: "shmbus", Pattern: Stream, Size: 64, Publishers: 1, Subscribers: 1, Wait: "spin"},
	}
	turn := func(limit, ours float64, slow bool) round {
		return round{slow: slow, results: []result{{perSecond: limit}, {perSecond: ours}, {perSecond: 8, share: 0.5}}}
	}
	cells = append(cells, Cell{Mechanism: "shmbus", Pattern: Stream, Size: 64, Publishers: 2, Subscribers: 1, Wait: "spin"})
	rows := rowsOf(cells, []round{turn(10, 20, false), turn(1, 3, true), turn(20, 60, false), turn(40, 60, false)})
	if r := rows[1]; *r.MsgsPerS != 60 || *r.BytesPerS != 60*64 || *r.RatioToLimit != 2 || r.Rounds != 3 || r.P50Ns != nil {
		t.Errorf("got %+v, ratio %v", r, *r.RatioToLimit)
	}
	if r := rows[3]; len(rows) != 4 || r.Mode != "slowest" || *r.MsgsPerS != 2 {
		t.Errorf("got %d rows, %+v of the slowest of two that has half its share of 8", len(rows), r)
	}
}

func TestSummarize(t *testing.T) {
	r := result{}
	for i := range 1000 {
		r.samples = append(r.samples, int64(i+1))
	}
	r.summarize()
	for i, want := range []int64{500, 900, 990, 999} {
		if got := r.percentiles[i]; got < want || got > want+want/500+1 {
			t.Errorf("%g %%: got %d, want %d", quantiles[i], got, want)
		}
	}
	if r.longest != 1000 || r.samples != nil {
		t.Errorf("got %+v", r)
	}
	few := result{samples: make([]int64, 999)}
	few.summarize()
	if few.percentiles[2] == 0 || few.percentiles[3] != 0 {
		t.Errorf("got percentiles %v of 999 samples, want none of 99.9 %%", few.percentiles)
	}
	rows := rowsOf([]Cell{{Mechanism: "shmbus", Pattern: Paced, Size: 64, Publishers: 1, Subscribers: 1, Rate: 1000}}, []round{{results: []result{few}}})
	if rows[0].P99Ns == nil || rows[0].P999Ns != nil {
		t.Errorf("got %+v", rows[0])
	}
}

func TestWriteTable(t *testing.T) {
	var b strings.Builder
	if err := WriteTable(&b, Quoted([]Row{{Pattern: Stream, Size: 64}, {Pattern: RTT, Size: 64}})); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "1024") {
		t.Errorf("a quoted row stands beside nothing:\n%s", b.String())
	}
	for _, want := range []string{"stream, 64 B", "rtt, 64 B", "52.0M", "150ns", "quoted, not measured here"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

// TestEach shares what is left of the time, by what turns were seen to take.
func TestEach(t *testing.T) {
	var e extra
	if e.mean() != overhead {
		t.Errorf("at first: got %v, want %v", e.mean(), overhead)
	}
	for range 10_000 {
		e.add(500*time.Millisecond, 100*time.Millisecond)
	}
	if m := e.mean(); m < 399*time.Millisecond || m > 400*time.Millisecond {
		t.Errorf("got %v a turn besides 100 of 500 ms", m)
	}
	for _, tt := range []struct {
		left  time.Duration
		turns int
		want  time.Duration
	}{{time.Minute, 100, 200 * time.Millisecond}, {time.Hour, 100, longest}, {-time.Second, 100, shortest}, {time.Second, 0, longest}} {
		if got := each(tt.left, tt.turns, 400*time.Millisecond); got != tt.want {
			t.Errorf("%v for %d turns: got %v, want %v", tt.left, tt.turns, got, tt.want)
		}
	}
}
