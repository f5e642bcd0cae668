package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

// stdout is standard output with a closed reader told apart from other errors.
type stdout struct{}

func (stdout) Write(b []byte) (int, error) {
	n, err := os.Stdout.Write(b)
	if errors.Is(err, syscall.EPIPE) {
		err = errOutputClosed
	}
	return n, err
}

// printJSON writes v, indented, as one JSON value.
func printJSON(v any) error {
	e := json.NewEncoder(stdout{})
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// table lays text out in columns; numbers are not aligned differently, so that
// every line splits the same way.
type table struct{ rows []string }

func (t *table) row(cells ...any) {
	text := make([]string, len(cells))
	for i, c := range cells {
		text[i] = fmt.Sprint(c)
		if text[i] == "" {
			text[i] = "-"
		}
	}
	t.rows = append(t.rows, strings.Join(text, "\t"))
}

// String renders the table with each line after indent.
func (t *table) render(indent string) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	for _, r := range t.rows {
		fmt.Fprintf(w, "%s%s\n", indent, r)
	}
	w.Flush()
	return b.String()
}

// bytesText is a number of bytes for people: 512B, 64KiB, 141.3MiB.
func bytesText(n uint64) string {
	for i := len(units) - 1; i >= 0; i-- {
		u := units[i]
		if n>>u.shift == 0 {
			continue
		}
		if n&(1<<u.shift-1) == 0 {
			return strconv.FormatUint(n>>u.shift, 10) + u.suffix
		}
		return strconv.FormatFloat(float64(n)/float64(uint64(1)<<u.shift), 'f', 1, 64) + u.suffix
	}
	return strconv.FormatUint(n, 10) + "B"
}

// durationText is a duration with three digits that matter.
func durationText(d time.Duration) string {
	switch {
	case d >= 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	case d >= time.Microsecond:
		return d.Round(10 * time.Nanosecond).String()
	}
	return d.String()
}
