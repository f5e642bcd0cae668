package bench

import "encoding/binary"

// A message of size bytes, a multiple of 8:
//
//	first word          number of the message; paced: the counter when it was due
//	last word           number of the message
//	every other word    in the warm-up: wordOf the number and the word's offset
//	                    afterwards: offset * filler if it is the first of a line, else 0
//
// A number is publisher<<48 | count; count starts at 0 with the warm-up. So in
// the warm-up no word is what it was in any message before, nor what another
// place in the same message has: what is old, torn or moved is seen, wherever
// it is. Afterwards a publisher writes two words a message and a subscriber
// reads one of each line, which is what is measured.
const (
	lineSize      = 64
	publisherBits = 48
	filler        = 0x9E3779B97F4A7C15
	stirrer       = 0xD1B54A32D192ED03 // odd, and no multiple of filler by a small number
)

var little = binary.LittleEndian

// wordOf is a word between the first and the last one in the warm-up. All its
// bits depend on the number.
func wordOf(number, off uint64) uint64 { return number*stirrer + off*filler }

// writer makes the messages of one publisher, in a buffer of its own.
type writer struct {
	payload []byte
	number  uint64
	due     uint64 // paced
	// Words before this offset, but for the first one, are written for each
	// message; 0 after the warm-up.
	vary  uint64
	batch [][]byte // more buffers, for who publishes several messages at once
}

// newWriter makes the writer of a publisher that begins its warm-up.
func newWriter(size, publisher int) *writer {
	return &writer{payload: make([]byte, size), number: uint64(publisher) << publisherBits, vary: uint64(size - 8)}
}

// settle ends the warm-up: what is between the first and the last word stays
// what it is from here on. The buffers are others: somebody may still be about
// to copy the last message (net/http).
func (w *writer) settle() {
	w.vary = 0
	w.payload = constant(len(w.payload))
	for i, p := range w.batch {
		w.batch[i] = constant(len(p))
	}
}

// constant returns a buffer with all words that do not differ from message to
// message.
func constant(size int) []byte {
	p := make([]byte, size)
	for off := lineSize; off+8 <= size; off += lineSize {
		little.PutUint64(p[off:], uint64(off)*filler)
	}
	return p
}

// next returns the next message. It is the caller's until the next call.
func (w *writer) next() []byte {
	w.fill(w.payload)
	return w.payload
}

// fill writes what differs from message to message. It is small enough for the
// compiler to put it right into the loops of the drivers.
func (w *writer) fill(p []byte) {
	n := w.number
	for off := uint64(8); off < w.vary; off += 8 {
		little.PutUint64(p[off:], wordOf(n, off))
	}
	little.PutUint64(p[len(p)-8:], n)
	if w.due != 0 {
		n = w.due
	}
	little.PutUint64(p, n)
	w.number++
}

// batchSize is how many messages shmbus-batch publishes at once.
const batchSize = 32

// makeBatch makes the buffers of nextBatch.
func (w *writer) makeBatch() {
	for range batchSize {
		w.batch = append(w.batch, make([]byte, len(w.payload)))
	}
}

// nextBatch returns the next messages, each in a buffer of its own: a batch, or
// n if that is less.
func (w *writer) nextBatch(n int) [][]byte {
	messages := w.batch[:min(n, len(w.batch))]
	for _, p := range messages {
		w.fill(p)
	}
	return messages
}
