package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/shmbus/shmbus/bench"
)

// Run is a part of what was measured: the rows of one interleaved run, and
// what it said beside them.
type Run struct {
	Rows  []bench.Row
	Notes string
}

// Read reads rows, one JSON object each. [ErrBadRow].
func Read(r io.Reader) ([]bench.Row, error) {
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	var rows []bench.Row
	for {
		var row bench.Row
		err := d.Decode(&row)
		switch {
		case err == io.EOF:
			return rows, nil
		case err != nil:
			return nil, fmt.Errorf("%w %d: %w", ErrBadRow, len(rows)+1, err)
		case row.Mechanism == "" || row.Pattern == "":
			return nil, fmt.Errorf("%w %d: no mechanism or no pattern", ErrBadRow, len(rows)+1)
		}
		rows = append(rows, row)
	}
}

// ReadRun reads base.json and, if it is there, base.txt.
func ReadRun(base string) (Run, error) {
	b, err := os.ReadFile(base + ".json")
	if err != nil {
		return Run{}, err
	}
	rows, err := Read(bytes.NewReader(b))
	if err != nil {
		return Run{}, fmt.Errorf("%s.json: %w", base, err)
	}
	notes, err := os.ReadFile(base + ".txt")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return Run{}, err
	}
	return Run{rows, string(notes)}, nil
}

// figures looks for what rows say of cells, and remembers what they do not.
type figures struct {
	rows    []bench.Row
	missing []string
}

// key names a row. An empty wait means any.
type key struct {
	bench.Cell
	mode string
}

// of is a cell of 64 bytes from one to one, without stamps.
func of(mechanism string, pattern bench.Pattern) key {
	return key{bench.Cell{Mechanism: mechanism, Pattern: pattern, Size: 64, Publishers: 1, Subscribers: 1}, "reliable"}
}

func stream(mechanism string) key { return of(mechanism, bench.Stream) }
func rtt(mechanism string) key    { return of(mechanism, bench.RTT) }
func paced(rate int, wait string) key {
	k := of("shmbus", bench.Paced).wait(wait)
	k.Rate = rate
	return k
}

func (k key) size(n int) key        { k.Size = n; return k }
func (k key) publishers(n int) key  { k.Publishers = n; return k }
func (k key) subscribers(n int) key { k.Subscribers = n; return k }
func (k key) stamped() key          { k.Stamps = true; return k }
func (k key) wait(w string) key     { k.Wait = w; return k }
func (k key) like(mode string) key  { k.mode = mode; return k }
func (k key) matches(r *bench.Row) bool {
	return r.Mechanism == k.Mechanism && r.Mode == k.mode && r.Pattern == k.Pattern && r.Size == k.Size && r.Publishers == k.Publishers &&
		r.Subscribers == k.Subscribers && (k.Wait == "" || r.Wait == k.Wait) && r.Stamps == k.Stamps && r.RatePerS == k.Rate
}

func (k key) String() string {
	text := k.Cell.String()
	if k.mode != "reliable" {
		text += " " + k.mode
	}
	return text
}

// row returns the row of a key, or nil.
func (f *figures) row(k key) *bench.Row {
	for i := range f.rows {
		if k.matches(&f.rows[i]) {
			return &f.rows[i]
		}
	}
	return nil
}

// value returns what a row says of a key; NaN, and remembered, if it is not
// there.
func value[T int64 | float64](f *figures, k key, field func(*bench.Row) *T) float64 {
	if r := f.row(k); r != nil {
		if v := field(r); v != nil && *v > 0 {
			return float64(*v)
		}
	}
	f.missing = append(f.missing, k.String())
	return math.NaN()
}

func (f *figures) rate(k key) float64 {
	return value(f, k, func(r *bench.Row) *float64 { return r.MsgsPerS })
}
func (f *figures) p50(k key) float64 {
	return value(f, k, func(r *bench.Row) *int64 { return r.P50Ns })
}
func (f *figures) p99(k key) float64 {
	return value(f, k, func(r *bench.Row) *int64 { return r.P99Ns })
}
func (f *figures) cpu(k key) float64 {
	return value(f, k, func(r *bench.Row) *float64 { return r.CPUNsPerMsg })
}
