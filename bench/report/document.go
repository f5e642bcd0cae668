package report

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/shmbus/shmbus/bench"
)

// Parts makes what stands between the markers of the document, by their names,
// of the runs that are there.
func Parts(runs map[string]Run) map[string]string {
	parts := map[string]string{}
	for _, p := range []struct {
		name, run string
		make      func([]bench.Row) string
	}{
		{"targets", "main", targets},
		{"stream-64", "main", streams(64)},
		{"stream-1KiB", "main", streams(kib)},
		{"stream-64KiB", "main", streams(64 * kib)},
		{"rtt", "main", roundTrips},
		{"paced", "main", pacedRows},
		{"publishers", "main", manyPublishers},
		{"subscribers", "main", bySubscribers.mainTable},
		{"bought", "main", bought},
		{"growth-size", "growth-size", bySize.table},
		{"growth-publishers", "growth-publishers", byPublishers.table},
		{"growth-subscribers", "growth-subscribers", bySubscribers.table},
		{"growth-ring", "growth-ring", byRing.table},
		{"tricks", "tricks", tricks},
	} {
		if run, ok := runs[p.run]; ok {
			parts[p.name] = p.make(run.Rows)
		}
	}
	parts["rounds"] = rounds(runs)
	for name, run := range runs {
		if run.Notes != "" {
			parts["notes-"+name] = "```text\n" + strings.TrimSpace(run.Notes) + "\n```\n"
		}
	}
	return parts
}

// rounds says how many rounds of each run count.
func rounds(runs map[string]Run) string {
	t := newTable("run", "rounds")
	for _, name := range slices.Sorted(maps.Keys(runs)) {
		most := 0
		for _, r := range runs[name].Rows {
			most = max(most, r.Rounds) // those of the quoted rows are 0
		}
		t.row(name, strconv.Itoa(most))
	}
	return t.String()
}

// mainTable is the table of growth of what a default run has of shmbus alone,
// read with Poll however many subscribers there are.
func (g *growth) mainTable(rows []bench.Row) string {
	var chosen []bench.Row
	for _, r := range rows {
		polled := r.Mode == "poll" || r.Mode == "burst" || r.Mode == "reliable" && r.Subscribers > 1
		if r.Mechanism == "shmbus" && r.Size == 64 && r.Publishers == 1 && !r.Stamps && polled {
			chosen = append(chosen, r)
		}
	}
	return g.table(chosen)
}

var marker = regexp.MustCompile(`(?m)^<!-- (begin|end) ([A-Za-z0-9-]+) -->$`)

// Rewrite puts the parts between their markers:
//
//	<!-- begin NAME -->
//	<!-- end NAME -->
//
// What stands between markers whose part is not given stays. [ErrBadMarker].
func Rewrite(text string, parts map[string]string) (string, error) {
	var b strings.Builder
	at, open := 0, ""
	for _, m := range marker.FindAllStringSubmatchIndex(text, -1) {
		what, name := text[m[2]:m[3]], text[m[4]:m[5]]
		switch {
		case what == "begin" && open == "":
			b.WriteString(text[at:m[1]])
			open = name
		case what == "end" && open == name:
			if part, ok := parts[name]; ok {
				b.WriteString("\n\n" + strings.TrimSpace(part) + "\n\n")
			} else {
				b.WriteString(text[at:m[0]])
			}
			b.WriteString(text[m[0]:m[1]])
			open = ""
		default:
			return "", fmt.Errorf("%w: %s %s where %q is open", ErrBadMarker, what, name, open)
		}
		at = m[1]
	}
	if open != "" {
		return "", fmt.Errorf("%w: %s has no end", ErrBadMarker, open)
	}
	b.WriteString(text[at:])
	return b.String(), nil
}
