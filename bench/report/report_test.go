package report

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shmbus/shmbus/bench"
)

// planned are rows of a plan with a rate and times that are all alike.
func planned(t *testing.T, c bench.Choice) []bench.Row {
	t.Helper()
	cells, err := bench.Plan(c)
	if err != nil {
		t.Fatal(err)
	}
	var rows []bench.Row
	for _, cell := range cells {
		mode := "reliable"
		if cell.Mode != bench.Usual {
			mode = string(cell.Mode)
		}
		rate, nanos, cpu := 1e6, int64(1000), 2000.0
		r := bench.Row{
			Mechanism: cell.Mechanism, Mode: mode, Pattern: cell.Pattern, Size: cell.Size, Publishers: cell.Publishers, Subscribers: cell.Subscribers,
			Wait: cell.Wait, Stamps: cell.Stamps, RatePerS: cell.Rate, MsgsPerS: &rate, BytesPerS: &rate, CPUNsPerMsg: &cpu, Rounds: 7,
		}
		if cell.Pattern != bench.Stream {
			r.P50Ns, r.P99Ns, r.MaxNs = &nanos, &nanos, &nanos
		}
		rows = append(rows, r)
		if cell.Publishers > 1 && cell.Mode == bench.Usual {
			share := rate / 2 / float64(cell.Publishers)
			r.Mode, r.MsgsPerS = "slowest", &share
			rows = append(rows, r)
		}
	}
	return rows
}

// TestDefaultPlanHasEveryRow finds that the targets look at nothing that a
// default run does not measure.
func TestDefaultPlanHasEveryRow(t *testing.T) {
	for _, peers := range []bool{false, true} {
		findings := Check(planned(t, bench.Choice{Peers: peers}))
		for _, f := range findings {
			if len(f.Missing) > 0 || f.Verdict == Absent {
				t.Errorf("%s: no rows %q", f.What, f.Missing)
			}
		}
		if n := len(findings); n < 60 || peers && n < 80 {
			t.Errorf("only %d findings, peers %t", n, peers)
		}
	}
}

func TestCheck(t *testing.T) {
	rows := planned(t, bench.Choice{})
	verdicts := func() map[string]Verdict {
		vs := map[string]Verdict{}
		for _, f := range Check(rows) {
			if vs[f.What] != "" {
				t.Errorf("%s is judged twice", f.What)
			}
			vs[f.What] = f.Verdict
		}
		return vs
	}
	change := func(k key, rate float64, nanos int64) {
		f := figures{rows: rows}
		r := f.row(k)
		if r == nil {
			t.Fatalf("no row %v", k)
		}
		r.MsgsPerS = &rate
		if r.P50Ns != nil {
			r.P50Ns = &nanos
		}
	}
	const double, line, fair, alone = "shmbus 64 B, no stamps : limit-spsc", "shmbus rtt, spin, no stamps : limit-line, p50",
		"2 publishers, the slowest : its fair share", "alone again after 2 publishers : 1→1"
	if v := verdicts(); v[double] != Missed || v[line] != Met || v[fair] != Met || v[alone] != Met || v["shmbus-fenced 64 B : shmbus"] != ToShow {
		t.Errorf("all alike: got %v", v)
	}
	change(stream("shmbus"), 2e6, 0)
	change(rtt("shmbus").wait("spin"), 1e6, 1151)
	change(stream("shmbus").publishers(2).like("slowest"), 0.249e6, 0)
	if v := verdicts(); v[double] != Met || v[line] != Missed || v[fair] != Missed || v[alone] != Missed {
		t.Errorf("changed: got %v", v)
	}
	rows = rows[1:] // limit-line is first no more, or limit-spsc
	missing := 0
	for _, f := range Check(rows) {
		missing += len(f.Missing)
	}
	if missing == 0 {
		t.Error("a row is gone and nobody misses it")
	}
}

func TestQuotedStandAlone(t *testing.T) {
	rows := planned(t, bench.Choice{})
	before := len(Check(rows))
	if after := len(Check(append(rows, bench.Quoted(rows)...))); after != before {
		t.Errorf("%d findings with quoted rows in the run, %d without", after, before)
	}
}

func TestFormat(t *testing.T) {
	for v, want := range map[float64]string{2: "2.00 ×", 0.456: "0.46 ×", 123.4: "123 ×", math.NaN(): "NaN ×"} {
		if got := format(v, "×"); got != want {
			t.Errorf("%v: got %q, want %q", v, got, want)
		}
	}
}

func TestMark(t *testing.T) {
	for v, want := range map[float64]string{1: "1", 20: "20", 0.5: "0.5", 1000: "1k", 2e4: "20k", 5e8: "500M", 1e9: "1G"} {
		if got := mark(v); got != want {
			t.Errorf("%v: got %q, want %q", v, got, want)
		}
	}
}

func TestRead(t *testing.T) {
	var b strings.Builder
	for _, r := range planned(t, bench.Choice{Quick: true}) {
		if err := json.NewEncoder(&b).Encode(r); err != nil {
			t.Fatal(err)
		}
	}
	base := filepath.Join(t.TempDir(), "quick")
	for name, text := range map[string]string{base + ".json": b.String(), base + ".txt": "notes\n"} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	run, err := ReadRun(base)
	if err != nil || len(run.Rows) != strings.Count(b.String(), "\n") || run.Notes != "notes\n" {
		t.Errorf("got %d rows, notes %q, %v", len(run.Rows), run.Notes, err)
	}
	for _, bad := range []string{"{", `{"mechanism":"x"}`, `{"mechanism":"x","pattern":"rtt","colour":1}`} {
		if _, err := Read(strings.NewReader(bad)); !errors.Is(err, ErrBadRow) {
			t.Errorf("%s: got %v, want ErrBadRow", bad, err)
		}
	}
}

// TestParts makes every part and chart of runs of every plan, and looks for
// figures in them.
func TestParts(t *testing.T) {
	runs := map[string]Run{"main": {planned(t, bench.Choice{Peers: true}), "a note\n"}}
	for _, name := range []string{"growth-size", "growth-publishers", "growth-subscribers", "growth-ring"} {
		rows := planned(t, bench.Choice{Plan: name})
		if name == "growth-ring" {
			for i := range rows {
				rows[i].Mode = "ring=65536"
			}
		}
		runs[name] = Run{Rows: rows}
	}
	without := stream("shmbus")
	f := figures{rows: runs["main"].Rows}
	with := *f.row(without)
	off := with
	half := *with.MsgsPerS / 2
	off.Mode, off.MsgsPerS = "without=magic", &half
	runs["tricks"] = Run{Rows: []bench.Row{with, off}}
	parts := Parts(runs)
	for name, want := range map[string]string{
		"targets": "| stream | shmbus 64 B, no stamps : limit-spsc | ≥ 2.00 × | 1.00 × | **MISSED** |",
		"tricks":  "| `magic` | stream | 64 B | 500k/s | 1.00M/s | 2.00 × |",
		"rtt":     "| `limit-line` | spin | off | 1000ns |", "paced": "| 100k | adaptive |", "stream-64KiB": "| `shmbus-claim` | off | 1.00M |",
		"publishers": "| `shmbus` | 2 | 1.00M | 250k |", "growth-ring": "| 64 KiB | 1000ns |", "growth-size": "| 1 MiB | 1000ns |",
		"growth-subscribers": "| 64 | 15.6ns |", "subscribers": "| 8 | 1000ns | 125ns |", "notes-main": "a note",
		"rounds": "| growth-size | 7 |",
		"bought": "| no stamp | 1.00M/s | 1.00M/s | 1.00 × |",
	} {
		if !strings.Contains(parts[name], want) {
			t.Errorf("%s: no %q in\n%s", name, want, parts[name])
		}
	}
	charts := Charts(runs)
	if len(charts) != 6 {
		t.Errorf("got %d charts", len(charts))
	}
	for name, svg := range charts {
		if n := strings.Count(string(svg), "<rect") + strings.Count(string(svg), "<polyline"); n < 2 {
			t.Errorf("%s shows %d things:\n%s", name, n, svg)
		}
	}
}

// TestCommandsMakeTheTables: the filters that the document gives beside a table
// of the default run make all of its rows.
func TestCommandsMakeTheTables(t *testing.T) {
	text, err := os.ReadFile("../../docs/performance.md")
	if err != nil {
		t.Fatal(err)
	}
	all := Parts(map[string]Run{"main": {Rows: planned(t, bench.Choice{Peers: true})}})
	for _, tt := range []struct {
		command string
		choice  bench.Choice
		parts   []string
	}{
		{"--plan default --pattern stream --publishers 1 --subscribers 1", bench.Choice{Patterns: []string{"stream"}, Publishers: []int{1}, Subscribers: []int{1}}, []string{"stream-64", "stream-1KiB", "stream-64KiB"}},
		{"--plan default --pattern rtt", bench.Choice{Patterns: []string{"rtt"}}, []string{"rtt"}},
		{"--plan default --publishers 2,4", bench.Choice{Publishers: []int{2, 4}}, []string{"publishers"}},
		{"--pattern paced --rate 1000,100000,1000000 --wait spin,park,adaptive --mechanism shmbus",
			bench.Choice{Patterns: []string{"paced"}, Rates: []int{1000, 100_000, 1_000_000}, Mechanisms: []string{"shmbus"}}, []string{"paced"}},
	} {
		if !strings.Contains(string(text), tt.command) {
			t.Errorf("the document does not say %s", tt.command)
		}
		tt.choice.Plan, tt.choice.Peers = "default", true
		some := Parts(map[string]Run{"main": {Rows: planned(t, tt.choice)}})
		for _, name := range tt.parts {
			if some[name] != all[name] || strings.Count(some[name], "\n") < 6 {
				t.Errorf("%s makes\n%s\nand the table is\n%s", tt.command, some[name], all[name])
			}
		}
	}
}

func TestRewrite(t *testing.T) {
	text := "a\n<!-- begin x -->\nold\n<!-- end x -->\nb\n<!-- begin y -->\nkept\n<!-- end y -->\n"
	once, err := Rewrite(text, map[string]string{"x": "new\n"})
	if err != nil {
		t.Fatal(err)
	}
	if want := "a\n<!-- begin x -->\n\nnew\n\n<!-- end x -->\nb\n<!-- begin y -->\nkept\n<!-- end y -->\n"; once != want {
		t.Errorf("got %q, want %q", once, want)
	}
	if twice, err := Rewrite(once, map[string]string{"x": "new"}); err != nil || twice != once {
		t.Errorf("a second time: %q, %v", twice, err)
	}
	for _, bad := range []string{"<!-- begin x -->\n", "<!-- end x -->\n", "<!-- begin x -->\n<!-- end y -->\n", "<!-- begin x -->\n<!-- begin y -->\n"} {
		if _, err := Rewrite(bad, nil); !errors.Is(err, ErrBadMarker) {
			t.Errorf("%q: got %v, want ErrBadMarker", bad, err)
		}
	}
}
