package report

import (
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"

	"github.com/shmbus/shmbus/bench"
)

// Verdict is what became of a target.
type Verdict string

// The verdicts.
const (
	Met    Verdict = "met"
	Missed Verdict = "MISSED"
	Absent Verdict = "NO ROW" // a row it needs is not there
	ToShow Verdict = "shown"  // nothing is demanded
)

// Finding is a target and what was found.
type Finding struct {
	Line    string // groups targets
	What    string
	Want    string
	Found   string
	Verdict Verdict
	Missing []string // rows
}

// checker collects findings.
type checker struct {
	figures
	line     string
	findings []Finding
}

// bound is what a value must keep.
type bound struct {
	limit float64
	below bool
	unit  string
}

func atLeast(v float64) bound { return bound{limit: v, unit: "×"} }
func atMost(v float64) bound  { return bound{limit: v, below: true, unit: "×"} }

var shown = bound{unit: "×", limit: math.NaN()}

// add judges a value, made of the rows that were looked up since the last add.
func (c *checker) add(what string, value float64, b bound) {
	f := Finding{Line: c.line, What: what, Found: format(value, b.unit), Missing: c.missing}
	sign := "≥"
	if b.below {
		sign = "≤"
	}
	f.Want = sign + " " + format(b.limit, b.unit)
	switch {
	case len(c.missing) > 0:
		f.Verdict, f.Found = Absent, "–"
	case math.IsNaN(b.limit):
		f.Verdict = ToShow
	case b.below && value <= b.limit, !b.below && value >= b.limit:
		f.Verdict = Met
	default:
		f.Verdict = Missed
	}
	if math.IsNaN(b.limit) {
		f.Want = "–"
	}
	c.findings, c.missing = append(c.findings, f), nil
}

func format(v float64, unit string) string {
	digits := 2
	if v >= 100 {
		digits = 0
	}
	return strings.TrimSpace(fmt.Sprintf("%.*f %s", digits, v, unit))
}

// Check judges the rows of a default run by the targets. Rows that are quoted
// stand only where a target is about them.
func Check(rows []bench.Row) []Finding {
	c := &checker{figures: figures{rows: rows}}
	for _, part := range []func(){c.streams, c.latencies, c.locks, c.others, c.peers, c.subscribers} {
		part()
	}
	return c.findings
}

// kib as in sizes.
const kib = 1 << 10

func (c *checker) streams() {
	c.line = "stream"
	ours, spsc, batched := c.rate(stream("shmbus")), stream("limit-spsc"), stream("limit-spsc-batched")
	c.add("shmbus 64 B, no stamps : limit-spsc", ours/c.rate(spsc), atLeast(2))
	ours = c.rate(stream("shmbus"))
	c.add("shmbus 64 B, no stamps : limit-spsc-batched", ours/c.rate(batched), atLeast(0.45))
	ours = c.rate(stream("shmbus").stamped())
	c.add("shmbus 64 B, stamps : limit-spsc", ours/c.rate(spsc), atLeast(1.4))
	ours = c.rate(stream("shmbus-batch"))
	c.add("shmbus-batch 64 B, no stamps : limit-spsc-batched", ours/c.rate(batched), atLeast(0.6))
	ours = c.rate(stream("shmbus").size(kib))
	c.add("shmbus 1 KiB, no stamps : limit-spsc", ours/c.rate(spsc.size(kib)), atLeast(2))
	ours = c.rate(stream("shmbus-claim").size(64 * kib))
	c.add("shmbus-claim 64 KiB, no stamps : limit-spsc", ours/c.rate(spsc.size(64*kib)), atLeast(0.95))
	if c.has("peer-spsc") {
		ours = c.rate(spsc)
		c.add("limit-spsc 64 B : its twin in C", ours/c.rate(stream("peer-spsc")), atLeast(0.8))
	}
}

// has reports whether there is any row of a mechanism: peers are measured only
// when asked for.
func (c *checker) has(mechanism string) bool {
	for _, r := range c.rows {
		if r.Mechanism == mechanism {
			return true
		}
	}
	return false
}

func (c *checker) latencies() {
	c.line = "latency"
	line, ours := rtt("limit-line"), rtt("shmbus").wait("spin")
	c.add("shmbus rtt, spin, no stamps : limit-line, p50", c.p50(ours)/c.p50(line), atMost(1.15))
	c.add("shmbus rtt, spin, no stamps : limit-line, p99", c.p99(ours)/c.p99(line), atMost(1.5))
	c.add("shmbus rtt, spin, stamps : limit-line, p50", c.p50(ours.stamped())/c.p50(line), shown)
	c.add("shmbus rtt, park : limit-futex, p50", c.p50(rtt("shmbus").wait("park"))/c.p50(rtt("limit-futex")), atMost(1.15))
	for _, rate := range []int{100_000, 1_000_000} {
		what := fmt.Sprintf("paced %s/s: adaptive : spin, p50", bench.Short(float64(rate)))
		c.add(what, c.p50(paced(rate, "adaptive"))/c.p50(paced(rate, "spin")), atMost(1.2))
	}
	const slow = 1000
	c.add("paced 1.00k/s: adaptive : park, p50", c.p50(paced(slow, "adaptive"))/c.p50(paced(slow, "park")), atMost(1.2))
	more := (c.cpu(paced(slow, "adaptive")) - c.cpu(paced(slow, "park"))) * slow / 1e9 * 100
	c.add("paced 1.00k/s: adaptive's processor time above park's", more, bound{limit: 5, below: true, unit: "% of a core"})
}

func (c *checker) locks() {
	c.line = "locks"
	c.add("shmbus 64 B, 1 publisher : mutex", c.rate(stream("shmbus"))/c.rate(stream("mutex")), atLeast(6))
	for _, n := range []int{2, 4} {
		many := stream("shmbus").publishers(n)
		c.add(fmt.Sprintf("%d publishers, total : mutex with as many", n), c.rate(many)/c.rate(stream("mutex").publishers(n)), atLeast(1))
		fair := c.rate(many) / float64(n)
		c.add(fmt.Sprintf("%d publishers, the slowest : its fair share", n), c.rate(many.like("slowest"))/fair, atLeast(0.5))
		c.add(fmt.Sprintf("alone again after %d publishers : 1→1", n), c.rate(many.like("alone"))/c.rate(stream("shmbus")), atLeast(0.9))
	}
	c.add("shmbus-fenced 64 B : shmbus", c.rate(stream("shmbus-fenced"))/c.rate(stream("shmbus")), shown)
}

// What one could use instead, on the same system.
var (
	unbuffered = []string{"named-pipe", "unix-stream", "unix-seqpacket", "tcp-loopback", "http-keepalive", "http-close"}
	buffered   = []string{"named-pipe-buffered", "unix-stream-buffered", "unix-seqpacket-buffered", "tcp-loopback-buffered"}
	sizes      = []int{64, kib, 64 * kib}
)

func (c *checker) others() {
	c.line = "others"
	beaten := func(name string, size int, b bound) {
		c.add(fmt.Sprintf("shmbus : %s, stream %s", name, sizeText(size)), c.rate(stream("shmbus").size(size))/c.rate(stream(name).size(size)), b)
	}
	for _, name := range unbuffered {
		beaten(name, 64, atLeast(20))
		c.add("shmbus, spin : "+name+", rtt 64 B", c.p50(rtt(name))/c.p50(rtt("shmbus").wait("spin")), atLeast(20))
	}
	for _, name := range buffered {
		beaten(name, 64, atLeast(1))
		c.add("shmbus-batch : "+name+", stream 64 B", c.rate(stream("shmbus-batch"))/c.rate(stream(name)), atLeast(3))
	}
	for _, size := range sizes[1:] {
		for _, name := range append(unbuffered, buffered...) {
			beaten(name, size, atLeast(1))
		}
	}
}

// peers compares with what bench/peers measures, and with what is quoted, by
// the better of Publish and Claim.
func (c *checker) peers() {
	c.line = "peers"
	better := func(size int) float64 {
		return max(c.rate(stream("shmbus").size(size)), c.rate(stream("shmbus-claim").size(size)))
	}
	ours := rtt("shmbus").wait("spin")
	for _, name := range []string{"peer-spsc", "peer-iceoryx", "peer-boost", "peer-zeromq", "peer-nng"} {
		if !c.has(name) {
			continue
		}
		for _, size := range sizes {
			c.add(fmt.Sprintf("shmbus : %s, stream %s", name, sizeText(size)), better(size)/c.rate(stream(name).size(size)), atLeast(1))
		}
		c.add(fmt.Sprintf("shmbus : %s, rtt 64 B", name), c.p50(rtt(name))/c.p50(ours), atLeast(1))
	}
	quoted := bench.Quoted(c.rows)
	for _, r := range quoted {
		what, v := fmt.Sprintf("shmbus : %s (quoted), %s %s", r.Mechanism, r.Pattern, sizeText(r.Size)), 0.0
		if r.Pattern == bench.Stream {
			v = better(r.Size) / *r.MsgsPerS
		} else {
			v = float64(*r.P50Ns) / c.p50(ours)
		}
		c.add(what, v, atLeast(1))
		if r.P99Ns != nil {
			c.add(what+", p99", float64(*r.P99Ns)/c.p99(ours), atLeast(1))
		}
	}
}

func (c *checker) subscribers() {
	c.line = "subscribers"
	delivery := func(n int) float64 {
		k := stream("shmbus").subscribers(n)
		if n == 1 {
			k = k.like("poll") // as several read
		}
		return 1 / (c.rate(k) * float64(n))
	}
	for _, n := range []int{1, 2, 4} {
		c.add(fmt.Sprintf("a delivery to %d : to %d", 2*n, n), delivery(2*n)/delivery(n), atMost(1))
	}
	own := func(n int) float64 { return 1 / c.rate(stream("shmbus").subscribers(n).like("burst")) }
	c.add("the publisher's own cost, 1→8 : 1→1", own(8)/own(1), atMost(1.3))
}

// Failed returns how many findings are neither met nor only shown.
func Failed(findings []Finding) int {
	n := 0
	for _, f := range findings {
		if f.Verdict == Missed || f.Verdict == Absent {
			n++
		}
	}
	return n
}

// WriteFindings writes findings as a table for a terminal.
func WriteFindings(out io.Writer, findings []Finding) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "group\ttarget\twant\tfound\tverdict")
	for _, f := range findings {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s", f.Line, f.What, f.Want, f.Found, f.Verdict)
		if len(f.Missing) > 0 {
			fmt.Fprintf(w, ": %s", strings.Join(f.Missing, "; "))
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}

// sizeText is a size as a reader writes it.
func sizeText(n int) string {
	switch {
	case n >= 1<<30 && n%(1<<30) == 0:
		return fmt.Sprintf("%d GiB", n>>30)
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= kib && n%kib == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d B", n)
}
