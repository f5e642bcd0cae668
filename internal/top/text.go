package top

import (
	"fmt"
	"strings"
	"time"

	"github.com/shmbus/shmbus/internal/watch"
)

// count is a number in at most five characters: 999, 12.3k, 4.56M.
func count(v float64) string {
	if v < 0.05 {
		return "0"
	}
	if v < 9.95 && v != float64(int64(v)) {
		return fmt.Sprintf("%.1f", v)
	}
	units := " kMGTPE"
	for _, u := range units {
		switch {
		case u == ' ' && v < 999.5:
			return fmt.Sprintf("%.0f", v)
		case u != ' ' && v < 9.995:
			return fmt.Sprintf("%.2f%c", v, u)
		case u != ' ' && v < 99.95:
			return fmt.Sprintf("%.1f%c", v, u)
		case u != ' ' && v < 999.5:
			return fmt.Sprintf("%.0f%c", v, u)
		}
		v /= 1000
	}
	return ">999E"
}

// size is a number of bytes in at most six characters.
func size(v float64) string {
	units := []string{"B", "K", "M", "G", "T", "P"}
	for i, u := range units {
		if v < 999.5 || i == len(units)-1 {
			if i == 0 || v >= 99.95 {
				return fmt.Sprintf("%.0f%s", v, u)
			}
			return fmt.Sprintf("%.1f%s", v, u)
		}
		v /= 1024
	}
	return ""
}

// span is a latency in at most six characters; "-" if there was none.
func span(l watch.Latency, d time.Duration) string {
	if l.Count == 0 {
		return "-"
	}
	v, units := float64(d), []string{"ns", "µs", "ms", "s"}
	for i, u := range units {
		if v < 999.5 || i == len(units)-1 {
			if i == 0 || v >= 99.95 {
				return fmt.Sprintf("%.0f%s", v, u)
			}
			return fmt.Sprintf("%.1f%s", v, u)
		}
		v /= 1000
	}
	return ""
}

// bar shows a share of 1 in a number of cells.
func bar(share float64, cells int) string {
	eighths := int(min(max(share, 0), 1)*float64(cells)*8 + 0.5)
	if share > 0 && eighths == 0 {
		eighths = 1
	}
	full, rest := eighths/8, eighths%8
	s := strings.Repeat("█", full)
	n := full
	if rest > 0 {
		s += string([]rune(" ▏▎▍▌▋▊▉")[rest])
		n++
	}
	return s + strings.Repeat("·", cells-n)
}

// spark shows the last values, the greatest of them as a full cell.
func spark(values []float64, cells int) string {
	if len(values) > cells {
		values = values[len(values)-cells:]
	}
	greatest := 0.0
	for _, v := range values {
		greatest = max(greatest, v)
	}
	var b strings.Builder
	b.WriteString(strings.Repeat(" ", cells-len(values)))
	for _, v := range values {
		level := 0
		if greatest > 0 {
			level = int(v/greatest*7 + 0.5)
		}
		b.WriteRune([]rune("▁▂▃▄▅▆▇█")[level])
	}
	return b.String()
}

// fit cuts or pads to a width in characters.
func fit(s string, width int) string {
	r := []rune(s)
	switch {
	case width <= 0:
		return ""
	case len(r) > width && width > 1:
		return string(r[:width-1]) + "…"
	case len(r) > width:
		return string(r[:width])
	}
	return s + strings.Repeat(" ", width-len(r))
}

// right pads on the left.
func right(s string, width int) string {
	n := len([]rune(s))
	if n >= width {
		return fit(s, width)
	}
	return strings.Repeat(" ", width-n) + s
}

// Text is a snapshot as plain lines: the bus, its topics, and everybody
// attached to them.
func Text(s watch.Snapshot) string {
	var b strings.Builder
	fmt.Fprintf(&b, "bus %s", s.Bus)
	if s.Host == nil {
		fmt.Fprintf(&b, ": %s\n", s.Problem)
		return b.String()
	}
	fmt.Fprintf(&b, "  host %s pid %d  memory %s of %s  topics %d  over %.1fs\n",
		s.Host.Program, s.Host.PID, size(float64(s.Host.Memory)), size(float64(s.Host.MaxMemory)), len(s.Topics), s.Interval)
	for _, t := range s.Topics {
		fmt.Fprintf(&b, "\ntopic %s  %s msg/s  %s/s  delivered %s/s  lost %s/s (%d)  ring %s of %s  p50 %s  p99 %s\n",
			t.Topic, count(t.PublishedPS), size(t.BytesPS), count(t.DeliveredPS), count(t.LostPS), t.Lost,
			size(float64(t.Used)), size(float64(t.Capacity)), span(t.Latency, t.Latency.P50), span(t.Latency, t.Latency.P99))
		for _, note := range notes(&t) {
			fmt.Fprintf(&b, "  ! %s\n", note)
		}
		for _, p := range t.Publishers {
			fmt.Fprintf(&b, "  publisher  %s %s msg/s  %s/s  blocked %.0f%%  refused %d  dropped %d\n",
				fit(watch.Label(p.Name, p.Slot), nameWidth), right(count(p.PublishedPS), 5), right(size(p.BytesPS), 6), p.Blocked*100, p.Refused, p.Dropped)
		}
		for _, r := range t.Subscribers {
			mark := ""
			if r.Gates {
				mark = "  gates"
			}
			fmt.Fprintf(&b, "  subscriber %s %s msg/s  %s  lag %d (%.0f%%)  lost %d  p50 %s  p99 %s%s\n",
				fit(watch.Label(r.Name, r.Slot), nameWidth), right(count(r.DeliveredPS), 5), fit(r.Mode, 8), r.Lag, r.Behind*100, r.Lost,
				span(r.Latency, r.Latency.P50), span(r.Latency, r.Latency.P99), mark)
		}
	}
	return b.String()
}

const nameWidth = 16

// notes are what is wrong with a topic, in words.
func notes(t *watch.Topic) []string {
	var n []string
	if t.Stalled != "" {
		n = append(n, "stalled: "+t.Stalled)
	}
	for _, q := range t.Quarantined {
		n = append(n, "quarantined: "+q)
	}
	if t.Gating != "" && t.Used*10 >= t.Capacity*9 {
		n = append(n, fmt.Sprintf("%s holds publishers back: the ring is %d%% full", t.Gating, t.Used*100/max(t.Capacity, 1)))
	}
	if t.LostPS > 0 {
		n = append(n, fmt.Sprintf("lossy subscribers lose %s messages a second", count(t.LostPS)))
	}
	return n
}
