package bench

import (
	"encoding/binary"
	"fmt"

	"github.com/shmbus/shmbus/shm"
)

// A message of size bytes, a multiple of 8:
//
//	first word          number of the message; paced: the counter when it was due
//	word of each line   offset * filler
//	last word           number of the message
//
// A number is publisher<<48 | count; count starts at 0 with the warm-up.
const (
	lineSize      = 64
	publisherBits = 48
	filler        = 0x9E3779B97F4A7C15
)

var little = binary.LittleEndian

// writer makes the messages of one publisher, in a buffer of its own.
type writer struct {
	payload []byte
	number  uint64
	due     uint64 // paced
}

func newWriter(size, publisher int) *writer {
	w := &writer{payload: make([]byte, size), number: uint64(publisher) << publisherBits}
	for off := lineSize; off+8 <= size; off += lineSize {
		little.PutUint64(w.payload[off:], uint64(off)*filler)
	}
	return w
}

// next returns the next message. It is the caller's until the next call.
func (w *writer) next() []byte {
	w.fill(w.payload)
	return w.payload
}

// fill writes what differs from message to message.
func (w *writer) fill(p []byte) {
	n := w.number
	little.PutUint64(p[len(p)-8:], n)
	if w.due != 0 {
		n = w.due
	}
	little.PutUint64(p, n)
	w.number++
}

// checker reads and checks the messages of one subscriber.
type checker struct {
	expected uint64 // number of the next message of a lone publisher
	sum      uint64
	paced    bool
	due      uint64   // paced: of the last message
	counts   []uint64 // several publishers: the next count of each
	share    uint64   // of the slowest publisher when the first was through, in millionths of its fair share
	warm     uint64   // messages of each publisher that do not count for that
	through  uint64   // messages of each publisher
	err      error
}

func newChecker(c Cell, a amount) *checker {
	k := &checker{paced: c.Pattern == Paced}
	if c.Publishers > 1 {
		k.expected = 1 << 63 // never: each message goes to odd
		k.counts = make([]uint64, c.Publishers)
		k.warm, k.through = uint64(a.warm), uint64(a.warm+a.count)
	}
	return k
}

// alone expects nothing more but the messages of publisher 0.
func (k *checker) alone() {
	if len(k.counts) > 0 {
		k.expected = k.counts[0]
	}
}

// next reads a message of at most one line that is just the next one of a lone
// publisher, or reports false: then take must. It is small enough for the
// compiler to put it right into the loops whose speed matters.
func (k *checker) next(p []byte) bool {
	first, last := little.Uint64(p), little.Uint64(p[len(p)-8:])
	if len(p) > lineSize || (first^k.expected)|(first^last) != 0 {
		return false
	}
	k.sum += first + last
	k.expected++
	return true
}

// take reads a message in place: a load of each cache line and of the last
// word. The loop is as short as one in C: a processor that looks some hundred
// instructions ahead has as many lines on the way as there are loads in them.
func (k *checker) take(p []byte) {
	first, last := little.Uint64(p), little.Uint64(p[len(p)-8:])
	sum := first + last
	lines, end := shm.NewSpan(p), uint64(len(p)-8)
	for off := uint64(lineSize); off <= end; off += lineSize {
		sum += shm.Ref[shm.Word64](lines, off).Get()
	}
	k.sum += sum
	if first != k.expected || first != last {
		k.odd(first, last)
		return
	}
	k.expected++
}

// odd deals with a message that is not just the next of a lone publisher.
func (k *checker) odd(first, last uint64) {
	publisher, count := first>>publisherBits, first&(1<<publisherBits-1)
	switch {
	case k.paced && last == k.expected:
		k.sum -= first
		k.due = first
		k.expected++
	case first == last && publisher < uint64(len(k.counts)) && count == k.counts[publisher]:
		k.counts[publisher]++
		if count+1 == k.through && k.share == 0 {
			k.share = shareOfSlowest(k.counts, k.warm)
		}
	case k.err == nil:
		k.err = fmt.Errorf("%w: first word %#x, last word %#x, expected number %#x", ErrWrong, first, last, k.expected)
	}
}

// shareOfSlowest is what the publisher with the fewest messages since the
// warm-up has of a fair share of them all, in millionths.
func shareOfSlowest(counts []uint64, warm uint64) uint64 {
	least, all := counts[0], uint64(0)
	for _, n := range counts {
		least = min(least, n)
		all += n - warm
	}
	if all == 0 {
		return 0
	}
	return max((least-warm)*uint64(len(counts))*1_000_000/all, 1) // 0 means not known yet
}

// expectedSum is what a checker has summed up in the end.
func expectedSum(c Cell, a amount) uint64 {
	times := uint64(2) // a number is in the first word and in the last one
	if c.Pattern == Paced {
		times-- // where the first word is the time
	}
	var lines uint64
	for off := lineSize; off+8 <= c.Size; off += lineSize {
		if off == c.Size-8 {
			times++ // the last word is also the first of its line
			continue
		}
		lines += uint64(off) * filler
	}
	var sum uint64
	for p := range c.Publishers {
		n := uint64(a.total(c, p))
		sum += times*(n*(uint64(p)<<publisherBits)+n*(n-1)/2) + n*lines
	}
	return sum
}
