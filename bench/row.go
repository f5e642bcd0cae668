package bench

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// Row is the result of one cell: medians over the rounds that count. What was
// not measured, or makes no sense for the cell, is null. Mode is one of
//
//	reliable  nothing is lost, and publishers wait for space
//	burst     the publisher never waits, and only its own time counts ([Burst])
//	poll      reliable, and the one subscriber reads with Poll, as several do ([Poll])
//	alone     one publisher after a contest with the others ([Alone])
//	slowest   of several publishers: the slowest one's messages in the time of the row before, until the first was through
//	ring=N    reliable, with a ring of N bytes instead of the default
//	without=T reliable, with the trick T of the ring switched off (plan tricks)
//	quoted    somebody else's figure, measured elsewhere ([Quoted])
type Row struct {
	Mechanism        string   `json:"mechanism"`
	Mode             string   `json:"mode"`
	Pattern          Pattern  `json:"pattern"`
	Size             int      `json:"size"` // bytes
	Publishers       int      `json:"publishers"`
	Subscribers      int      `json:"subscribers"`
	Wait             string   `json:"wait"`
	Stamps           bool     `json:"stamps"`
	RatePerS         int      `json:"rate_per_s"` // paced: messages due a second; otherwise 0
	MsgsPerS         *float64 `json:"msgs_per_s"` // of all publishers, until the first of them is through; rtt: round trips
	BytesPerS        *float64 `json:"bytes_per_s"`
	P50Ns            *int64   `json:"p50_ns"` // rtt: there and back; paced: since it was due
	P90Ns            *int64   `json:"p90_ns"`
	P99Ns            *int64   `json:"p99_ns"`
	P999Ns           *int64   `json:"p999_ns"`        // null if a round has fewer than 1000 latencies
	MaxNs            *int64   `json:"max_ns"`         // of all rounds that count
	CPUNsPerMsg      *float64 `json:"cpu_ns_per_msg"` // of all participants
	CtxSwitchesPerMg *float64 `json:"ctx_switches_per_msg"`
	Rounds           int      `json:"rounds"`         // that count
	RatioToLimit     *float64 `json:"ratio_to_limit"` // rate over limit-spsc's, or p50 over limit-line's or limit-futex's

	note string
}

// Modes of rows that are no cells, and that of most that are.
const (
	reliable    = "reliable"
	modeSlowest = "slowest"
	modeQuoted  = "quoted"
)

// Quoted are figures of systems that cannot be installed from a registry,
// measured on a machine like the one this was built on, elsewhere and at
// another time: for orientation, not for ratios. Those are returned that stand
// beside one of rows: of the same pattern and size.
func Quoted(beside []Row) []Row {
	var rows []Row
	add := func(name string, pattern Pattern, size int, perSecond float64, p50, p99 int64) {
		r := Row{Mechanism: name, Mode: modeQuoted, Pattern: pattern, Size: size, Publishers: 1, Subscribers: 1, Wait: "spin", note: "quoted, not measured here"}
		if perSecond > 0 {
			bytes := perSecond * float64(size)
			r.MsgsPerS, r.BytesPerS = &perSecond, &bytes
		}
		if p50 > 0 {
			r.P50Ns = &p50
		}
		if p99 > 0 {
			r.P99Ns = &p99
		}
		if slices.ContainsFunc(beside, func(b Row) bool { return b.Pattern == pattern && b.Size == size }) {
			rows = append(rows, r)
		}
	}
	add("aeron-ipc", Stream, 64, 52e6, 0, 0)
	add("aeron-ipc", Stream, kib, 10e6, 0, 0)
	add("aeron-ipc", Stream, 64*kib, 0.17e6, 0, 0)
	add("aeron-ipc", RTT, 64, 0, 150, 250)
	add("iceoryx2", Stream, 64, 4.0e6, 0, 0)
	add("iceoryx2", Stream, 64*kib, 0.53e6, 0, 0)
	add("iceoryx2", RTT, 64, 0, 540, 0)
	return rows
}

// Order compares rows so that those of one pattern and size stand together.
func Order(a, b Row) int {
	pattern := func(r Row) int { return slices.Index(anyOf, r.Pattern) }
	return cmp.Or(cmp.Compare(pattern(a), pattern(b)), cmp.Compare(a.Size, b.Size))
}

// WriteTable writes rows as a table, a block for each pattern and size.
func WriteTable(out io.Writer, rows []Row) error {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	last := ""
	for _, r := range rows {
		title := fmt.Sprintf("%s, %d B", r.Pattern, r.Size)
		if title != last {
			w.Flush()
			if last != "" {
				b.WriteByte('\n')
			}
			last = title
			fmt.Fprintln(w, title)
			fmt.Fprintln(w, "mechanism\tmode\tpub\tsub\twait\tstamps\trate\tmsgs/s\tbytes/s\tp50\tp90\tp99\tp99.9\tmax\tcpu/msg\tswitches/msg\trounds\tto limit\tnote")
		}
		fmt.Fprintln(w, strings.Join(r.cells(), "\t"))
	}
	w.Flush()
	_, err := io.WriteString(out, b.String())
	return err
}

func (r *Row) cells() []string {
	stamps := "off"
	if r.Stamps {
		stamps = "on"
	}
	rate := "-"
	if r.RatePerS > 0 {
		rate = Short(float64(r.RatePerS))
	}
	cells := []string{
		r.Mechanism, r.Mode, strconv.Itoa(r.Publishers), strconv.Itoa(r.Subscribers), r.Wait, stamps, rate,
		shortOr(r.MsgsPerS), shortOr(r.BytesPerS),
	}
	for _, p := range []*int64{r.P50Ns, r.P90Ns, r.P99Ns, r.P999Ns, r.MaxNs} {
		cells = append(cells, nanosOr(p))
	}
	cpu, switches, ratio := "-", "-", "-"
	if r.CPUNsPerMsg != nil {
		cpu = Nanos(*r.CPUNsPerMsg)
	}
	if r.CtxSwitchesPerMg != nil {
		switches = strconv.FormatFloat(*r.CtxSwitchesPerMg, 'g', 2, 64)
	}
	if r.RatioToLimit != nil {
		ratio = strconv.FormatFloat(*r.RatioToLimit, 'f', 2, 64)
	}
	return append(cells, cpu, switches, strconv.Itoa(r.Rounds), ratio, r.note)
}

func shortOr(v *float64) string {
	if v == nil {
		return "-"
	}
	return Short(*v)
}

// Short is a number with three digits that matter and k, M or G.
func Short(v float64) string {
	for _, u := range []struct {
		unit float64
		name string
	}{{1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if v >= u.unit {
			return three(v/u.unit) + u.name
		}
	}
	return three(v)
}

// three formats with three digits that matter.
func three(v float64) string {
	digits := 2 - int(math.Floor(math.Log10(max(v, 0.01))))
	return strconv.FormatFloat(v, 'f', min(max(digits, 0), 2), 64)
}

func nanosOr(v *int64) string {
	if v == nil {
		return "-"
	}
	return Nanos(float64(*v))
}

// Nanos is a time with three digits that matter.
func Nanos(ns float64) string {
	switch {
	case ns >= 1e6:
		return three(ns/1e6) + "ms"
	case ns >= 1e4:
		return three(ns/1e3) + "µs"
	}
	return three(ns) + "ns"
}
