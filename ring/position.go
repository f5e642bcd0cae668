package ring

import "math/bits"

// All arithmetic on positions is here. A position counts bytes from the
// topic's start, only grows, and may run past 2^64: positions are compared by
// their difference, which is far below 2^63 while both are of one ring.

// before reports whether position a comes before b.
func before(a, b uint64) bool { return int64(a-b) < 0 }

// reaches reports whether position a is at or beyond b.
func reaches(a, b uint64) bool { return int64(a-b) >= 0 }

// earlier returns the smaller position.
func earlier(a, b uint64) uint64 {
	if before(b, a) {
		return b
	}
	return a
}

// later returns the greater position.
func later(a, b uint64) uint64 {
	if before(a, b) {
		return b
	}
	return a
}

// within reports whether from <= p <= to.
func within(p, from, to uint64) bool { return p-from <= to-from }

// roundUp returns the first multiple of step, a power of two, at or beyond p.
func roundUp(p, step uint64) uint64 { return (p + step - 1) &^ (step - 1) }

// blockOf numbers the 1/64 of the ring that position p lies in, over all laps.
func blockOf(p, capacity uint64) uint64 { return p >> (bits.TrailingZeros64(capacity) - 6) }

// blockEnd returns the first position beyond p's 1/64 of the ring.
func blockEnd(p, capacity uint64) uint64 {
	step := capacity / indexBlocks
	return (p &^ (step - 1)) + step
}

// fraction is how far a stored tail, a cursor or claimed may lag behind: 1/16
// of the ring.
func fraction(capacity uint64) uint64 { return capacity / 16 }
