package main

import (
	"encoding/binary"
	"slices"

	"github.com/shmbus/shmbus/bus"
	"github.com/shmbus/shmbus/internal/watch"
)

// encoder appends a message in the form of the output to b.
type encoder func(b []byte, m *bus.Message) []byte

func encodeLine(b []byte, m *bus.Message) []byte {
	return append(append(b, m.Payload...), '\n')
}

func encodeRaw(b []byte, m *bus.Message) []byte { return append(b, m.Payload...) }

func encodePrefixed(b []byte, m *bus.Message) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(m.Payload)))
	return append(b, m.Payload...)
}

func encodeJSON(b []byte, m *bus.Message) []byte { return append(watch.AppendMessage(b, m), '\n') }

const (
	sinkLimit = 64 << 10 // output collected before it is written
)

// sink collects output and writes it at the end of a batch.
//
// A subscriber with --max-lag may be detached while it reads; what it read then
// may have been overwritten. So its output is staged: written only once the poll
// that brought it has returned without an error.
type sink struct {
	encode  encoder
	staged  bool
	b       []byte
	ends    []int  // of the messages in b
	written uint64 // messages
}

func (s *sink) message(m *bus.Message, last bool) error {
	s.b = s.encode(s.b, m)
	s.ends = append(s.ends, len(s.b))
	if !s.staged && (last || len(s.b) >= sinkLimit) {
		return s.flush()
	}
	return nil
}

func (s *sink) flush() error {
	var n int
	var err error
	if len(s.b) > 0 {
		n, err = stdout{}.Write(s.b)
	}
	whole, _ := slices.BinarySearch(s.ends, n+1)
	s.written += uint64(whole)
	s.b, s.ends = s.b[:0], s.ends[:0]
	return err
}
