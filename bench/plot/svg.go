package plot

import (
	"fmt"
	"html"
	"strings"
)

// palette are the colours of series, in order.
var palette = []string{"#3b82c4", "#d9822b", "#2a9d6f", "#c9517a", "#8a6fd1", "#b59a1c", "#45a7c9", "#8a8f98"}

const style = `<style>
text{font:12px system-ui,sans-serif;fill:#57606a}
.title{font-size:14px;font-weight:600}
.grid{stroke:#8a8f98;stroke-opacity:.25}
.axis{stroke:#8a8f98}
@media (prefers-color-scheme:dark){text{fill:#a3abb5}}
</style>
`

// drawing is an SVG in the making.
type drawing struct{ strings.Builder }

func newDrawing(width, height int, title string) *drawing {
	d := &drawing{}
	fmt.Fprintf(d, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" role=\"img\">\n", width, height, width, height)
	fmt.Fprintf(d, "<title>%s</title>\n%s", html.EscapeString(title), style)
	fmt.Fprintf(d, "<text class=\"title\" x=\"8\" y=\"20\">%s</text>\n", html.EscapeString(title))
	return d
}

func (d *drawing) line(class string, x1, y1, x2, y2 float64) {
	fmt.Fprintf(d, "<line class=\"%s\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", class, x1, y1, x2, y2)
}

// text puts text at a point; anchor is start, middle or end.
func (d *drawing) text(anchor string, x, y float64, text string) {
	fmt.Fprintf(d, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n", x, y, anchor, html.EscapeString(text))
}

func (d *drawing) rect(color string, x, y, w, h float64) {
	fmt.Fprintf(d, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\"/>\n", x, y, w, h, color)
}

// mark is a series' sign at a point: its form says what its colour may not.
func (d *drawing) mark(n int, x, y float64) {
	color := palette[n%len(palette)]
	switch n / 2 % 3 {
	case 0:
		fmt.Fprintf(d, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\" fill=\"%s\"/>\n", x, y, color)
	case 1:
		d.rect(color, x-3, y-3, 6, 6)
	default:
		fmt.Fprintf(d, "<path d=\"M%.1f %.1fl4 7h-8z\" fill=\"%s\"/>\n", x, y-4, color)
	}
}

func (d *drawing) path(n int, points [][2]float64) {
	var b strings.Builder
	for i, p := range points {
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "%.1f,%.1f", p[0], p[1])
	}
	dash := ""
	if n%2 == 1 {
		dash = " stroke-dasharray=\"6 3\""
	}
	fmt.Fprintf(d, "<polyline points=\"%s\" fill=\"none\" stroke=\"%s\" stroke-width=\"2\"%s/>\n", b.String(), palette[n%len(palette)], dash)
}

func (d *drawing) end() []byte {
	d.WriteString("</svg>\n")
	return []byte(d.String())
}
