package plot

import (
	"bytes"
	"encoding/xml"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

func number(v float64) string { return fmt.Sprintf("%g", v) }

func lines() *Lines {
	return &Lines{
		Title: "cost & size", X: "bytes", Y: "ns", XLog: true, YLog: true, XText: number, YText: number,
		Series: []Series{
			{"slow", []Point{{8, 100}, {64, 120}, {1024, 900}}},
			{"quick", []Point{{8, 9}, {64, 10}, {1024, 30}, {4096, math.NaN()}}},
			{"absent", nil},
		},
	}
}

func bars() *Bars {
	return &Bars{Title: "rates", X: "messages/s", XText: number, Text: number, Bars: []Bar{{"a", 1e8, 0}, {"b", 3e5, 1}, {"<c>", 0, 1}}}
}

// TestGolden pins what charts look like. Look at what changes before -update.
func TestGolden(t *testing.T) {
	for name, svg := range map[string][]byte{"lines.svg": lines().SVG(), "bars.svg": bars().SVG()} {
		path := "testdata/" + name
		if *update {
			if err := os.WriteFile(path, svg, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(svg, want) {
			t.Errorf("%s differs from what is drawn now:\n%s", path, svg)
		}
	}
}

// TestWellFormed reads charts as XML, odd ones too, and looks for numbers that
// are none.
func TestWellFormed(t *testing.T) {
	odd := lines()
	odd.Series = []Series{{"one", []Point{{5, 5}}}, {"bad", []Point{{0, -1}, {math.Inf(1), 3}}}}
	zero := lines()
	zero.YLog, zero.Series = false, []Series{{"zero", []Point{{1, 0}, {2, 0}}}}
	for name, svg := range map[string][]byte{
		"lines": lines().SVG(), "bars": bars().SVG(), "odd": odd.SVG(), "zero": zero.SVG(),
		"no lines": (&Lines{XText: number, YText: number}).SVG(), "no bars": (&Bars{XText: number, Text: number}).SVG(),
	} {
		d := xml.NewDecoder(bytes.NewReader(svg))
		for {
			if _, err := d.Token(); err == io.EOF {
				break
			} else if err != nil {
				t.Fatalf("%s: %v\n%s", name, err, svg)
			}
		}
		if s := string(svg); strings.Contains(s, "NaN") || strings.Contains(s, "Inf") {
			t.Errorf("%s: a number that is none:\n%s", name, svg)
		}
	}
}

func TestAxis(t *testing.T) {
	for _, tt := range []struct {
		values []float64
		log    bool
		marks  []float64
	}{
		{[]float64{3, 40}, true, []float64{2, 5, 10, 20, 50}},
		{[]float64{1, 1000}, true, []float64{1, 10, 100, 1000}},
		{[]float64{10}, true, []float64{10, 20, 50, 100}},
		{[]float64{7, 42}, false, []float64{0, 10, 20, 30, 40, 50}},
		{[]float64{0}, false, []float64{0, 1}},
	} {
		a := newAxis(tt.values, tt.log, 0, 100)
		a.round()
		same := slices.EqualFunc(a.marks, tt.marks, func(a, b float64) bool { return math.Abs(a-b) < 1e-9*max(b, 1) })
		if !same || a.at(a.low) != 0 || math.Abs(a.at(a.high)-100) > 1e-9 {
			t.Errorf("%v: got marks %v, want %v", tt.values, a.marks, tt.marks)
		}
	}
}
