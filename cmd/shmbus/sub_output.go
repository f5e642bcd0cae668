package main

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"time"
	"unicode/utf8"

	"github.com/shmbus/shmbus/bus"
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

// messageJSON is a line of `sub -o json`.
type messageJSON struct {
	Sequence  uint64 `json:"sequence"`
	Time      string `json:"time"`
	Kind      uint32 `json:"kind"`
	Publisher uint16 `json:"publisher"`
	Size      int    `json:"size"`
	Lost      uint64 `json:"lost"`
	Payload   string `json:"payload"`
	Encoding  string `json:"encoding"` // utf8 or base64
}

func encodeJSON(b []byte, m *bus.Message) []byte {
	j := messageJSON{
		Sequence: m.Sequence, Time: m.Time().UTC().Format(time.RFC3339Nano), Kind: m.Kind,
		Publisher: m.Publisher, Size: len(m.Payload), Lost: m.Lost,
	}
	if utf8.Valid(m.Payload) {
		j.Payload, j.Encoding = string(m.Payload), "utf8"
	} else {
		j.Payload, j.Encoding = base64.StdEncoding.EncodeToString(m.Payload), "base64"
	}
	line, err := json.Marshal(&j)
	must(err)
	return append(append(b, line...), '\n')
}

const (
	sinkLimit = 64 << 10 // output collected before it is written
)

// sink collects output and writes it at the end of a batch.
//
// A subscriber with --max-lag may be detached while it reads; what it read then
// may have been overwritten. So its output is staged: written only once the poll
// that brought it has returned without an error.
type sink struct {
	encode encoder
	staged bool
	b      []byte
}

func (s *sink) message(m *bus.Message, last bool) error {
	s.b = s.encode(s.b, m)
	if !s.staged && (last || len(s.b) >= sinkLimit) {
		return s.flush()
	}
	return nil
}

func (s *sink) flush() error {
	if len(s.b) == 0 {
		return nil
	}
	_, err := stdout{}.Write(s.b)
	s.b = s.b[:0]
	return err
}
