package bench

import (
	"fmt"

	"github.com/shmbus/shmbus/shm"
)

// checker reads and checks the messages of one subscriber. In the warm-up it
// looks at every word of every message. Afterwards it compares the first and
// the last word with what they must be, and adds up those and the first word
// of each line.
type checker struct {
	expected uint64 // number of the next message of a lone publisher; none that there is while odd has to look
	sum      uint64 // since the warm-up
	paced    bool
	warming  bool
	due      uint64   // paced: of the last message
	counts   []uint64 // in the warm-up, or of several publishers: the next count of each
	warm     uint64   // messages of each publisher in the warm-up
	through  uint64   // messages of each publisher
	clock    *clock
	contest  contest
	err      error
}

// contest is how several publishers stood when the first of them was through.
// What comes later is published by fewer of them.
type contest struct {
	share uint64 // of the slowest, in millionths of its fair share; 0 means not known yet
	count uint64 // messages of all since the warm-up
	end   uint64 // counter
}

// none is no message's number.
const none = 1 << 63

// newChecker makes the checker of a subscriber that begins its warm-up.
func newChecker(c Cell, a amount, clk *clock) *checker {
	return &checker{
		expected: none, paced: c.Pattern == Paced, warming: true, counts: make([]uint64, c.Publishers),
		warm: uint64(a.warm), through: uint64(a.warm + a.count), clock: clk,
	}
}

// settle ends the warm-up.
func (k *checker) settle() {
	k.warming, k.sum = false, 0
	if len(k.counts) == 1 {
		k.alone()
	}
}

// alone expects nothing more but the messages of publisher 0.
func (k *checker) alone() { k.expected = k.counts[0] }

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
		k.odd(p, first, last)
		return
	}
	k.expected++
}

// odd deals with a message that is not just the next of a lone publisher.
func (k *checker) odd(p []byte, first, last uint64) {
	publisher, count := last>>publisherBits, last&(1<<publisherBits-1)
	switch {
	case k.paced && !k.warming && last == k.expected:
		k.sum -= first
		k.due = first
		k.expected++
	case (first == last || k.paced) && k.expected == none && publisher < uint64(len(k.counts)) && count == k.counts[publisher]:
		k.counts[publisher]++
		if k.warming {
			k.due = first
			k.every(p, last)
		} else if count+1 == k.through && k.contest.share == 0 {
			k.contest = k.standing()
		}
	case k.err == nil:
		k.err = fmt.Errorf("%w: first word %#x, last word %#x, expected number %#x", ErrWrong, first, last, k.expected)
	}
}

// every looks at every word of a message of the warm-up.
func (k *checker) every(p []byte, number uint64) {
	for off := uint64(8); off+16 <= uint64(len(p)); off += 8 {
		if got, want := little.Uint64(p[off:]), wordOf(number, off); got != want && k.err == nil {
			k.err = fmt.Errorf("%w: in the warm-up, number %#x has %#x at offset %d, want %#x", ErrWrong, number, got, off, want)
		}
	}
}

// standing is the contest now.
func (k *checker) standing() contest {
	least, all := k.counts[0], uint64(0)
	for _, n := range k.counts {
		least = min(least, n)
		all += n - k.warm
	}
	share := (least - k.warm) * uint64(len(k.counts)) * 1_000_000 / max(all, 1)
	return contest{share: max(share, 1), count: all, end: k.clock.ticks()}
}

// expectedSum is what a checker has summed up in the end, since the warm-up.
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
	upTo := func(n uint64) uint64 { return n * (n - 1) / 2 }
	warm := uint64(a.warm)
	var sum uint64
	for p := range c.Publishers {
		end := uint64(a.total(c, p))
		n := end - warm
		sum += times*(n*(uint64(p)<<publisherBits)+upTo(end)-upTo(warm)) + n*lines
	}
	return sum
}
