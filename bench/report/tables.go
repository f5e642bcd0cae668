package report

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/shmbus/shmbus/bench"
)

// table is one of Markdown.
type table struct{ strings.Builder }

func newTable(heads ...string) *table {
	t := &table{}
	t.row(heads...)
	t.row(slices.Repeat([]string{"---"}, len(heads))...)
	return t
}

func (t *table) row(cells ...string) {
	fmt.Fprintf(t, "| %s |\n", strings.Join(cells, " | "))
}

const none = "–"

func count(v *float64) string {
	if v == nil {
		return none
	}
	return bench.Short(*v)
}

func nanos[T int64 | float64](v *T) string {
	if v == nil {
		return none
	}
	return bench.Nanos(float64(*v))
}

func ratio(v *float64) string {
	if v == nil {
		return none
	}
	return strconv.FormatFloat(*v, 'f', 2, 64)
}

func stamps(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// name is a row's mechanism, and what must be said at once.
func name(r *bench.Row) string {
	switch r.Mode {
	case "reliable":
		return "`" + r.Mechanism + "`"
	case "quoted":
		return r.Mechanism + " *(quoted)*"
	}
	return "`" + r.Mechanism + "`, " + r.Mode
}

// choose returns those of rows that fit, the best first.
func choose(rows []bench.Row, fits func(*bench.Row) bool, best func(a, b *bench.Row) int) []bench.Row {
	var chosen []bench.Row
	for i := range rows {
		if fits(&rows[i]) {
			chosen = append(chosen, rows[i])
		}
	}
	slices.SortStableFunc(chosen, func(a, b bench.Row) int { return best(&a, &b) })
	return chosen
}

func quickest(a, b *bench.Row) int {
	rate := func(r *bench.Row) float64 {
		if r.MsgsPerS == nil {
			return 0
		}
		return *r.MsgsPerS
	}
	return cmp.Compare(rate(b), rate(a))
}

func soonest(a, b *bench.Row) int {
	late := func(r *bench.Row) int64 {
		if r.P50Ns == nil {
			return 1 << 62
		}
		return *r.P50Ns
	}
	return cmp.Compare(late(a), late(b))
}

// streams is the table of the streams from one to one of a size.
func streams(size int) func([]bench.Row) string {
	return func(rows []bench.Row) string {
		t := newTable("mechanism", "stamps", "messages/s", "bytes/s", "processor time a message", "switches a message", "to `limit-spsc`")
		for _, r := range choose(rows, func(r *bench.Row) bool {
			return r.Pattern == bench.Stream && r.Size == size && r.Publishers == 1 && r.Subscribers == 1 && (r.Mode == "reliable" || r.Mode == "quoted")
		}, quickest) {
			t.row(name(&r), stamps(r.Stamps), count(r.MsgsPerS), count(r.BytesPerS), nanos(r.CPUNsPerMsg), small(r.CtxSwitchesPerMg), ratio(r.RatioToLimit))
		}
		return t.String()
	}
}

func small(v *float64) string {
	switch {
	case v == nil:
		return none
	case *v < 0.001:
		return "< 0.001"
	}
	return strconv.FormatFloat(*v, 'g', 2, 64)
}

func roundTrips(rows []bench.Row) string {
	t := newTable("mechanism", "wait", "stamps", "p50", "p90", "p99", "p99.9", "longest", "processor time", "switches")
	for _, r := range choose(rows, func(r *bench.Row) bool { return r.Pattern == bench.RTT }, soonest) {
		t.row(name(&r), r.Wait, stamps(r.Stamps), nanos(r.P50Ns), nanos(r.P90Ns), nanos(r.P99Ns), nanos(r.P999Ns), nanos(r.MaxNs), nanos(r.CPUNsPerMsg), small(r.CtxSwitchesPerMg))
	}
	return t.String()
}

func pacedRows(rows []bench.Row) string {
	t := newTable("messages due a second", "wait", "p50", "p90", "p99", "p99.9", "longest", "of a core", "switches a message")
	for _, r := range choose(rows, func(r *bench.Row) bool { return r.Pattern == bench.Paced }, func(a, b *bench.Row) int { return cmp.Compare(a.RatePerS, b.RatePerS) }) {
		core := none
		if r.CPUNsPerMsg != nil {
			core = fmt.Sprintf("%.1f %%", *r.CPUNsPerMsg*float64(r.RatePerS)/1e7)
		}
		t.row(bench.Short(float64(r.RatePerS)), r.Wait, nanos(r.P50Ns), nanos(r.P90Ns), nanos(r.P99Ns), nanos(r.P999Ns), nanos(r.MaxNs), core, small(r.CtxSwitchesPerMg))
	}
	return t.String()
}

func manyPublishers(rows []bench.Row) string {
	t := newTable("mechanism", "publishers", "messages/s in all", "of the slowest publisher", "processor time a message", "of one alone again")
	f := figures{rows: rows}
	for _, n := range []int{2, 4} {
		for _, name := range []string{"shmbus", "mutex"} {
			k := stream(name).publishers(n)
			r := f.row(k)
			if r == nil {
				continue
			}
			rate := func(mode string) string {
				if r := f.row(k.like(mode)); r != nil {
					return count(r.MsgsPerS)
				}
				return none
			}
			t.row("`"+name+"`", strconv.Itoa(n), count(r.MsgsPerS), rate("slowest"), nanos(r.CPUNsPerMsg), rate("alone"))
		}
	}
	return t.String()
}

func targets(rows []bench.Row) string {
	t := newTable("group", "target", "want", "found", "verdict")
	for _, f := range Check(rows) {
		verdict := string(f.Verdict)
		if f.Verdict == Missed || f.Verdict == Absent {
			verdict = "**" + verdict + "**"
		}
		t.row(f.Line, f.What, f.Want, f.Found, verdict)
	}
	return t.String()
}

// growth is a table of what a message costs, by something that grows.
type growth struct {
	what  string                       // the first column
	grows func(*bench.Row) (int, bool) // its value; false if the row is not of this table
	text  func(int) string
	cost  func(*bench.Row) float64 // nanoseconds
}

// line names the lines of a table of growth.
func line(r *bench.Row) string {
	if r.Mode == "burst" {
		return r.Mechanism + ", publisher's own"
	}
	if strings.HasPrefix(r.Mode, "ring=") && r.Size != 64 {
		return r.Mechanism + ", " + sizeText(r.Size)
	}
	return r.Mechanism
}

// collect returns the names of the columns, the values in order, and the costs
// by both.
func (g *growth) collect(rows []bench.Row) (names []string, values []int, costs map[string]map[int]float64) {
	costs = map[string]map[int]float64{}
	for i := range rows {
		r := &rows[i]
		v, ok := g.grows(r)
		if !ok || r.MsgsPerS == nil || *r.MsgsPerS <= 0 || r.Mode == "slowest" || r.Mode == "quoted" {
			continue
		}
		n := line(r)
		if costs[n] == nil {
			costs[n] = map[int]float64{}
			names = append(names, n)
		}
		costs[n][v] = g.cost(r)
		values = append(values, v)
	}
	slices.Sort(values)
	return names, slices.Compact(values), costs
}

func (g *growth) table(rows []bench.Row) string {
	names, values, costs := g.collect(rows)
	t := newTable(append([]string{g.what}, names...)...)
	for _, v := range values {
		cells := []string{g.text(v)}
		for _, n := range names {
			if cost, ok := costs[n][v]; ok {
				cells = append(cells, bench.Nanos(cost))
			} else {
				cells = append(cells, none)
			}
		}
		t.row(cells...)
	}
	return t.String()
}

func perMessage(r *bench.Row) float64 { return 1e9 / *r.MsgsPerS }

var (
	bySize = growth{"payload", func(r *bench.Row) (int, bool) { return r.Size, r.Pattern == bench.Stream }, sizeText, perMessage}

	byPublishers  = growth{"publishers", func(r *bench.Row) (int, bool) { return r.Publishers, r.Pattern == bench.Stream }, strconv.Itoa, perMessage}
	bySubscribers = growth{"subscribers", func(r *bench.Row) (int, bool) { return r.Subscribers, r.Pattern == bench.Stream }, strconv.Itoa, perDelivery}

	byRing = growth{"ring", func(r *bench.Row) (int, bool) {
		n, err := strconv.Atoi(strings.TrimPrefix(r.Mode, "ring="))
		return n, err == nil
	}, sizeText, perMessage}
)

// perDelivery is the cost of a message to one of its subscribers; that of a
// burst is the publisher's, for all of them.
func perDelivery(r *bench.Row) float64 {
	if r.Mode == "burst" {
		return perMessage(r)
	}
	return perMessage(r) / float64(r.Subscribers)
}

// bought is the table of what can be told from rows of one run: mechanisms that
// differ in one thing.
func bought(rows []bench.Row) string {
	t := newTable("what", "with", "without", "gain")
	f := figures{rows: rows}
	for _, p := range []struct {
		what          string
		with, without key
	}{
		{"a biased lock, not a plain one", stream("shmbus"), stream("mutex")},
		{"membarrier when the bias goes, not a fence in every publish", stream("shmbus"), stream("shmbus-fenced")},
		{"32 messages in a batch, not one by one", stream("shmbus-batch"), stream("shmbus")},
		{"no stamp", stream("shmbus"), stream("shmbus").stamped()},
		{"64 KiB filled in place, not copied", stream("shmbus-claim").size(64 * kib), stream("shmbus").size(64 * kib)},
		{"a round trip that spins, not parks", rtt("shmbus").wait("spin"), rtt("shmbus").wait("park")},
	} {
		with, without := f.row(p.with), f.row(p.without)
		switch {
		case with == nil || without == nil:
		case with.Pattern == bench.RTT && with.P50Ns != nil && without.P50Ns != nil:
			t.row(p.what, nanos(with.P50Ns), nanos(without.P50Ns), fmt.Sprintf("%.2f ×", float64(*without.P50Ns)/float64(*with.P50Ns)))
		case with.MsgsPerS != nil && without.MsgsPerS != nil:
			t.row(p.what, count(with.MsgsPerS)+"/s", count(without.MsgsPerS)+"/s", fmt.Sprintf("%.2f ×", *with.MsgsPerS / *without.MsgsPerS))
		}
	}
	return t.String()
}

// tricks is the table of what is lost without each trick.
func tricks(rows []bench.Row) string {
	t := newTable("without", "pattern", "size", "found", "with all", "with all : without")
	f := figures{rows: rows}
	for i := range rows {
		r := &rows[i]
		without, ok := strings.CutPrefix(r.Mode, "without=")
		if !ok {
			continue
		}
		k := key{bench.Cell{Mechanism: r.Mechanism, Pattern: r.Pattern, Size: r.Size, Publishers: r.Publishers, Subscribers: r.Subscribers, Wait: r.Wait, Stamps: r.Stamps}, "reliable"}
		with := f.row(k)
		switch {
		case with == nil:
		case r.Pattern == bench.Stream && r.MsgsPerS != nil && with.MsgsPerS != nil:
			t.row("`"+without+"`", streamText(r), sizeText(r.Size), count(r.MsgsPerS)+"/s", count(with.MsgsPerS)+"/s", fmt.Sprintf("%.2f ×", *with.MsgsPerS / *r.MsgsPerS))
		case r.P50Ns != nil && with.P50Ns != nil:
			t.row("`"+without+"`", string(r.Pattern)+", "+r.Wait, sizeText(r.Size), nanos(r.P50Ns), nanos(with.P50Ns), fmt.Sprintf("%.2f ×", float64(*r.P50Ns)/float64(*with.P50Ns)))
		}
	}
	return t.String()
}

// streamText says what else there is to say of a stream.
func streamText(r *bench.Row) string {
	text := "stream"
	if r.Mechanism != "shmbus" {
		text += ", " + r.Mechanism
	}
	if r.Publishers*r.Subscribers > 1 {
		text += fmt.Sprintf(", %d→%d", r.Publishers, r.Subscribers)
	}
	if r.Stamps {
		text += ", stamps"
	}
	return text
}
