package storm

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// What a child tells, in records of 32 bytes, little-endian:
//
//	0   kind         u32
//	4   participant  u32
//	8   a, b, c      u64 each
//
// A text record is followed by a bytes of JSON (a Report).
const eventSize = 32

type eventKind uint32

const (
	eventMay  eventKind = iota + 1 // publisher: indices below a may be published from now on
	eventAck                       // publisher: indices below a are acknowledged
	eventGot                       // subscriber: a sequence, b publisher<<32|index, c lost before it
	eventText                      // a bytes of JSON follow
)

type event struct {
	kind        eventKind
	participant uint32
	a, b, c     uint64
}

func (e event) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(e.kind))
	b = binary.LittleEndian.AppendUint32(b, e.participant)
	b = binary.LittleEndian.AppendUint64(b, e.a)
	b = binary.LittleEndian.AppendUint64(b, e.b)
	return binary.LittleEndian.AppendUint64(b, e.c)
}

// A Report is what a child tells in words. What is what says Kind.
type Report struct {
	Kind        string   `json:"kind"`
	Participant uint32   `json:"participant,omitempty"`
	Start       uint64   `json:"start,omitempty"`    // up: a subscriber's first sequence
	Sequence    uint64   `json:"sequence,omitempty"` // end: the one it would have read next
	Delivered   uint64   `json:"delivered,omitempty"`
	Lost        uint64   `json:"lost,omitempty"`
	Aborted     uint64   `json:"aborted,omitempty"`
	Text        string   `json:"text,omitempty"`
	Usage       *Usage   `json:"usage,omitempty"`
	Host        int      `json:"host,omitempty"` // pid
	Memory      uint64   `json:"memory,omitempty"`
	Clients     int      `json:"clients,omitempty"`
	Topics      []string `json:"topics,omitempty"`
}

// Kinds of reports.
const (
	reportUp        = "up"        // a participant is attached
	reportEnd       = "end"       // a subscriber came to the mark, or to its end
	reportLeft      = "left"      // a publisher has closed
	reportReady     = "ready"     // all participants of the process are attached
	reportViolation = "violation" // the process saw what must not be
	reportUsage     = "usage"     // what the process holds
	reportStalled   = "stalled"   // a call ended with ErrStalled
	reportNote      = "note"      // counted, not judged
	reportLie       = "lie"       // the process has told the lie that it was to tell
)

func (r Report) append(b []byte) []byte {
	text, err := json.Marshal(r)
	if err != nil {
		panic("storm: " + err.Error()) // plain data
	}
	b = event{kind: eventText, participant: r.Participant, a: uint64(len(text))}.append(b)
	return append(b, text...)
}

// readEvents hands over what comes until the pipe ends. What a killed child had
// half written is dropped.
func readEvents(in io.Reader, each func(event), text func(Report)) error {
	r := bufio.NewReaderSize(in, 64<<10)
	var b [eventSize]byte
	for {
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return ended(err)
		}
		e := event{
			kind: eventKind(binary.LittleEndian.Uint32(b[:])), participant: binary.LittleEndian.Uint32(b[4:]),
			a: binary.LittleEndian.Uint64(b[8:]), b: binary.LittleEndian.Uint64(b[16:]), c: binary.LittleEndian.Uint64(b[24:]),
		}
		switch {
		case e.kind == eventText && e.a <= 1<<20:
			raw := make([]byte, e.a)
			if _, err := io.ReadFull(r, raw); err != nil {
				return ended(err)
			}
			var report Report
			if err := json.Unmarshal(raw, &report); err != nil {
				return fmt.Errorf("storm: a report %.80q: %w", raw, err)
			}
			text(report)
		case e.kind >= eventMay && e.kind <= eventGot:
			each(e)
		default:
			return fmt.Errorf("storm: an event of kind %d", e.kind)
		}
	}
}

func ended(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}
