package plot

import (
	"slices"
)

// Lines is a chart of series over a number.
type Lines struct {
	Title  string
	X, Y   string // what the axes show
	XLog   bool
	YLog   bool
	XText  func(float64) string // of a mark on the axis
	YText  func(float64) string
	Series []Series
}

// Series is one line; Points are in the order of X.
type Series struct {
	Name   string
	Points []Point
}

// Point is a value over a number.
type Point struct{ X, Y float64 }

// The area of a line chart.
const (
	width, height       = 760, 400
	left, right         = 72, 190 // of the axes; the legend is on the right
	top, bottom         = 48, 52
	legendStep          = 20
	markDistance        = 44.0 // between texts under the axis
	textHeight, textGap = 4, 8
)

// SVG draws the chart. The axis of X has a mark at each number that occurs.
func (c *Lines) SVG() []byte {
	d := newDrawing(width, height, c.Title)
	var xs, ys []float64
	for _, s := range c.Series {
		for _, p := range s.Points {
			xs, ys = append(xs, p.X), append(ys, p.Y)
		}
	}
	x := newAxis(xs, c.XLog, left, width-right)
	y := newAxis(ys, c.YLog, height-bottom, top)
	y.round()
	for _, v := range y.marks {
		d.line("grid", left, y.at(v), width-right, y.at(v))
		d.text("end", left-textGap, y.at(v)+textHeight, c.YText(v))
	}
	d.line("axis", left, height-bottom, width-right, height-bottom)
	slices.Sort(xs)
	last := -markDistance
	for _, v := range slices.Compact(xs) {
		if !x.shows(v) {
			continue
		}
		at := x.at(v)
		d.line("axis", at, height-bottom, at, height-bottom+4)
		if at-last >= markDistance {
			last = at
			d.text("middle", at, height-bottom+18, c.XText(v))
		}
	}
	d.text("middle", (left+width-right)/2, height-8, c.X)
	d.text("start", textGap, top-textGap, c.Y)
	c.draw(d, &x, &y)
	return d.end()
}

// draw draws the lines, and the legend in the order of their right ends.
func (c *Lines) draw(d *drawing, x, y *axis) {
	type name struct {
		series int
		at     float64
	}
	var names []name
	for n, s := range c.Series {
		var points [][2]float64
		for _, p := range s.Points {
			if x.shows(p.X) && y.shows(p.Y) {
				points = append(points, [2]float64{x.at(p.X), y.at(p.Y)})
			}
		}
		if len(points) == 0 {
			continue
		}
		d.path(n, points)
		for _, p := range points {
			d.mark(n, p[0], p[1])
		}
		names = append(names, name{n, points[len(points)-1][1]})
	}
	slices.SortStableFunc(names, func(a, b name) int { return int(a.at - b.at) })
	at := float64(top)
	for _, n := range names {
		d.mark(n.series, width-right+24, at)
		d.text("start", width-right+34, at+textHeight, c.Series[n.series].Name)
		at += legendStep
	}
}
