package report

import (
	"strings"

	"github.com/shmbus/shmbus/bench"
	"github.com/shmbus/shmbus/bench/plot"
)

// Charts draws what the runs hold: file names and SVG.
func Charts(runs map[string]Run) map[string][]byte {
	charts := map[string][]byte{}
	if run, ok := runs["main"]; ok {
		charts["throughput.svg"] = throughput(run.Rows)
		charts["latency.svg"] = latency(run.Rows)
	}
	for name, c := range map[string]struct {
		g           *growth
		title, x, y string
	}{
		"growth-size":        {&bySize, "Cost of a message by its size, one publisher, one subscriber", "payload", "ns per message"},
		"growth-publishers":  {&byPublishers, "Cost of a message of 64 B by publishers, one subscriber", "publishers", "ns per message, all together"},
		"growth-subscribers": {&bySubscribers, "Cost of a delivery of 64 B by subscribers in one process", "subscribers", "ns per delivery"},
		"growth-ring":        {&byRing, "Cost of a message by the size of the ring", "ring", "ns per message"},
	} {
		if run, ok := runs[name]; ok {
			charts[name+".svg"] = c.g.chart(run.Rows, c.title, c.x, c.y)
		}
	}
	return charts
}

func (g *growth) chart(rows []bench.Row, title, x, y string) []byte {
	c := plot.Lines{Title: title, X: x, Y: y, XLog: true, YLog: true, YText: mark, XText: func(v float64) string { return g.text(int(v)) }}
	names, values, costs := g.collect(rows)
	for _, n := range names {
		s := plot.Series{Name: n}
		for _, v := range values {
			if cost, ok := costs[n][v]; ok {
				s.Points = append(s.Points, plot.Point{X: float64(v), Y: cost})
			}
		}
		c.Series = append(c.Series, s)
	}
	return c.SVG()
}

// mark is a round number without the zeros that only a measured one needs.
func mark(v float64) string {
	text := bench.Short(v)
	digits := strings.TrimRight(text, "kMG")
	unit := text[len(digits):]
	if strings.Contains(digits, ".") {
		digits = strings.TrimRight(strings.TrimRight(digits, "0"), ".")
	}
	return digits + unit
}

// kinds are colours of bars, by what a mechanism's name begins or ends with.
func kind(r *bench.Row) int {
	switch m := r.Mechanism; {
	case r.Mode == "quoted", strings.HasPrefix(m, "peer-"):
		return 5
	case strings.HasPrefix(m, "limit-"):
		return 7
	case strings.HasPrefix(m, "shmbus"):
		return 0
	case m == "mutex":
		return 1
	case m == "function-call", m == "go-channel":
		return 4
	case strings.HasSuffix(m, "-buffered"):
		return 6
	}
	return 2
}

func throughput(rows []bench.Row) []byte {
	c := plot.Bars{Title: "Stream of 64 B messages, one publisher, one subscriber", X: "messages per second, logarithmic", XText: mark, Text: bench.Short}
	for _, r := range choose(rows, func(r *bench.Row) bool {
		return r.Pattern == bench.Stream && r.Size == 64 && r.Publishers == 1 && r.Subscribers == 1 && (r.Mode == "reliable" || r.Mode == "quoted")
	}, quickest) {
		label := r.Mechanism
		if r.Stamps {
			label += ", stamped"
		}
		if r.Mode == "quoted" {
			label += " (quoted)"
		}
		value := 0.0
		if r.MsgsPerS != nil {
			value = *r.MsgsPerS
		}
		c.Bars = append(c.Bars, plot.Bar{Name: label, Value: value, Kind: kind(&r)})
	}
	return c.SVG()
}

// latency draws the percentiles of some round trips.
func latency(rows []bench.Row) []byte {
	texts := []string{"p50", "p90", "p99", "p99.9", "longest"}
	c := plot.Lines{
		Title: "Round trips of 64 B", X: "percentile", Y: "ns, there and back", YLog: true,
		YText: mark, XText: func(v float64) string { return texts[int(v)] },
	}
	f := figures{rows: rows}
	for _, k := range []key{
		rtt("limit-line"), rtt("shmbus").wait("spin"), rtt("peer-iceoryx"), rtt("limit-futex"), rtt("shmbus").wait("park"), rtt("named-pipe"), rtt("unix-stream"), rtt("tcp-loopback"),
	} {
		r := f.row(k)
		if r == nil {
			continue
		}
		s := plot.Series{Name: strings.TrimSpace(r.Mechanism + map[bool]string{true: ", " + k.Wait}[k.Wait != ""])}
		for i, p := range []*int64{r.P50Ns, r.P90Ns, r.P99Ns, r.P999Ns, r.MaxNs} {
			if p != nil {
				s.Points = append(s.Points, plot.Point{X: float64(i), Y: float64(*p)})
			}
		}
		c.Series = append(c.Series, s)
	}
	return c.SVG()
}
