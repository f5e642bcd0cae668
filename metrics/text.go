package metrics

import (
	"bytes"
	"io"
	"math"
	"strconv"
	"strings"

	dto "github.com/prometheus/client_model/go"
)

// Text is written here rather than by expfmt, which spells out the labels of
// every line anew: that takes several times as long as all else in a scrape.
// Names of series and labels here need no quoting in any format. A test holds
// every byte to expfmt's.

// textChunk is how much text is gathered before it is written on.
const textChunk = 64 << 10

var (
	helpEscapes  = strings.NewReplacer("\\", `\\`, "\n", `\n`)
	labelEscapes = strings.NewReplacer("\\", `\\`, "\n", `\n`, "\"", `\"`)
)

// classicEnds are what stands behind the labels of each classic bucket, in
// text and in OpenMetrics; the last one is that of all.
var classicEnds = func() (ends [2][classicEdges + 1]string) {
	for i := range classicEdges + 1 {
		edge := math.Inf(1)
		if i < classicEdges {
			edge = classicBounds[i]
		}
		for j := range ends {
			ends[j][i] = `,le="` + string(appendFloat(nil, edge, j == 1)) + `"} `
		}
	}
	return ends
}()

// text writes samples as text.
type text struct {
	to   io.Writer
	b    []byte // what is not written yet; used again
	open bool   // OpenMetrics
}

// series writes all samples of a series; exposition.sort comes first.
func (t *text) series(s *series, list []sample) error {
	if len(list) == 0 {
		return nil
	}
	t.head(s)
	for i := range list {
		if s.kind == dto.MetricType_HISTOGRAM {
			t.histogram(s.name, &list[i])
		} else {
			t.plain(s, &list[i])
		}
		if len(t.b) >= textChunk {
			if err := t.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// flush writes on what is gathered.
func (t *text) flush() error {
	_, err := t.to.Write(t.b)
	t.b = t.b[:0]
	return err
}

func (t *text) head(s *series) {
	name := s.name
	if t.open {
		name = strings.TrimSuffix(name, "_total")
	}
	help := helpEscapes
	if t.open {
		help = labelEscapes
	}
	t.b = append(append(append(t.b, "# HELP "...), name...), ' ')
	t.b = append(append(t.b, help.Replace(s.help)...), "\n# TYPE "...)
	t.b = append(append(t.b, name...), ' ')
	t.b = append(append(t.b, strings.ToLower(s.kind.String())...), '\n')
}

// plain writes a counter or gauge.
func (t *text) plain(s *series, of *sample) {
	t.line(s.name, "", of.of, "} ")
	t.b = append(appendFloat(t.b, of.value, t.open), '\n')
	if s.kind == dto.MetricType_COUNTER {
		t.since(strings.TrimSuffix(s.name, "_total"), of.of)
	}
}

func (t *text) histogram(name string, s *sample) {
	counts, ends, all := classicCounts(s.latency), &classicEnds[0], s.latency.Count()
	if t.open {
		ends = &classicEnds[1]
	}
	for i, end := range ends {
		t.line(name, "_bucket", s.of, end)
		n := all
		if i < classicEdges {
			n = counts[i]
		}
		t.count(n)
	}
	t.line(name, "_sum", s.of, "} ")
	t.b = append(appendFloat(t.b, seconds(s.latency.SumNanos), t.open), '\n')
	t.line(name, "_count", s.of, "} ")
	t.count(all)
	t.since(name, s.of)
}

// line begins a line.
func (t *text) line(name, suffix string, of *owner, end string) {
	b := append(append(t.b, name...), suffix...)
	t.b = append(append(b, of.text...), end...)
}

// count ends a line with a number of observations.
func (t *text) count(n uint64) {
	if t.open {
		t.b = append(strconv.AppendUint(t.b, n, 10), '\n')
	} else {
		t.b = append(appendFloat(t.b, float64(n), false), '\n')
	}
}

// since tells in OpenMetrics when the counting began.
func (t *text) since(name string, of *owner) {
	if t.open && of.since != "" {
		t.line(name, "_created", of, "} ")
		t.b = append(append(t.b, of.since...), '\n')
	}
}

// appendFloat appends v as the formats have it; OpenMetrics wants to see that
// it is no integer.
func appendFloat(b []byte, v float64, open bool) []byte {
	switch {
	case math.IsInf(v, 1):
		return append(b, "+Inf"...)
	case v >= 0 && v < 1e15 && v == math.Trunc(v):
		return appendWhole(b, uint64(v), open)
	}
	from := len(b)
	b = strconv.AppendFloat(b, v, 'g', -1, 64)
	if open && !bytes.ContainsAny(b[from:], "e.NI") {
		b = append(b, ".0"...)
	}
	return b
}

// appendWhole is appendFloat of a whole number below 10^15, which no shorter
// one stands for: strconv takes twice as long to find that out. From 10^6 on
// the digits stand before an exponent.
func appendWhole(b []byte, n uint64, open bool) []byte {
	from := len(b)
	b = strconv.AppendUint(b, n, 10)
	exponent := len(b) - from - 1
	if exponent < 6 {
		if open {
			b = append(b, ".0"...)
		}
		return b
	}
	for b[len(b)-1] == '0' {
		b = b[:len(b)-1]
	}
	if len(b) > from+1 {
		b = append(b, 0)
		copy(b[from+2:], b[from+1:])
		b[from+1] = '.'
	}
	return append(b, 'e', '+', '0'+byte(exponent/10), '0'+byte(exponent%10))
}
