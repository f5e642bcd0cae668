package plot

// Bars is a chart of horizontal bars on a logarithmic axis: values that differ
// by powers of ten. A bar has no natural beginning there, so each says its
// value.
type Bars struct {
	Title string
	X     string               // what the axis shows
	XText func(float64) string // of a mark on the axis
	Text  func(float64) string // of a bar
	Bars  []Bar
}

// Bar is one value. Bars of one kind have one colour.
type Bar struct {
	Name  string
	Value float64
	Kind  int
}

// The area of a bar chart.
const (
	barLeft, barRight = 200, 80
	barStep, barWidth = 22, 15
)

// SVG draws the chart.
func (c *Bars) SVG() []byte {
	tall := top + barStep*len(c.Bars) + bottom
	d := newDrawing(width, tall, c.Title)
	var values []float64
	for _, b := range c.Bars {
		values = append(values, b.Value)
	}
	x := newAxis(values, true, barLeft, width-barRight)
	if !x.unreadable {
		x.low /= 2 // the least bar is to be seen too
	}
	x.round()
	for _, v := range x.marks {
		d.line("grid", x.at(v), top-textGap, x.at(v), float64(tall-bottom))
		d.text("middle", x.at(v), float64(tall-bottom+18), c.XText(v))
	}
	for i, b := range c.Bars {
		y := float64(top + barStep*i)
		d.text("end", barLeft-textGap, y+barWidth-textHeight+1, b.Name)
		if !x.shows(b.Value) {
			continue
		}
		d.rect(palette[b.Kind%len(palette)], barLeft, y, x.at(b.Value)-barLeft, barWidth)
		d.text("start", x.at(b.Value)+5, y+barWidth-textHeight+1, c.Text(b.Value))
	}
	d.text("middle", (barLeft+width-barRight)/2, float64(tall-8), c.X)
	return d.end()
}
