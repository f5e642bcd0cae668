package plot

import "math"

// axis maps values to pixels.
type axis struct {
	low, high  float64 // values
	from, to   float64 // pixels
	log        bool
	marks      []float64
	unreadable bool // no value at all
}

// newAxis makes an axis that holds all values. A linear one begins at 0.
func newAxis(values []float64, log bool, from, to float64) axis {
	a := axis{low: math.Inf(1), high: math.Inf(-1), from: from, to: to, log: log}
	for _, v := range values {
		if a.shows(v) {
			a.low, a.high = min(a.low, v), max(a.high, v)
		}
	}
	if math.IsInf(a.low, 1) {
		a.low, a.high, a.unreadable = 1, 10, true
	}
	return a
}

// shows reports whether a value can be drawn.
func (a *axis) shows(v float64) bool {
	return !math.IsNaN(v) && !math.IsInf(v, 0) && (v > 0 || !a.log)
}

func (a *axis) at(v float64) float64 {
	low, high := a.low, a.high
	if a.log {
		low, high, v = math.Log10(low), math.Log10(high), math.Log10(v)
	}
	if high == low {
		return (a.from + a.to) / 2
	}
	return a.from + (v-low)/(high-low)*(a.to-a.from)
}

// round widens the axis to round values and marks those: powers of ten, with 2
// and 5 between if there are few; or a few equal steps from 0.
func (a *axis) round() {
	if !a.log {
		a.low = min(a.low, 0)
		step := niceStep((a.high - a.low) / 5)
		a.high = math.Ceil(a.high/step-1e-9) * step
		if a.high == a.low {
			a.high += step
		}
		for v := a.low; v <= a.high+step/2; v += step {
			a.marks = append(a.marks, v)
		}
		return
	}
	steps := []float64{1}
	if a.high/a.low < 100 {
		steps = []float64{1, 2, 5}
	}
	low, high := math.Inf(-1), math.Inf(1)
	first := int(math.Floor(math.Log10(a.low))) - 1
	for e := first; e <= int(math.Ceil(math.Log10(a.high)))+1; e++ {
		for _, s := range steps {
			v := s * math.Pow(10, float64(e))
			if v <= a.low*(1+1e-9) {
				low = v
			}
			if v >= a.high*(1-1e-9) && math.IsInf(high, 1) {
				high = v
			}
			a.marks = append(a.marks, v)
		}
	}
	if low == high {
		high *= 10
	}
	a.low, a.high = low, high
	kept := a.marks[:0]
	for _, v := range a.marks {
		if v >= low*(1-1e-9) && v <= high*(1+1e-9) {
			kept = append(kept, v)
		}
	}
	a.marks = kept
}

// niceStep is the least of 1, 2 and 5 times a power of ten that is not below v.
func niceStep(v float64) float64 {
	if v <= 0 {
		return 1
	}
	unit := math.Pow(10, math.Floor(math.Log10(v)))
	for _, s := range []float64{1, 2, 5} {
		if s*unit >= v*(1-1e-9) {
			return s * unit
		}
	}
	return 10 * unit
}
