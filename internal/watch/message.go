package watch

import (
	"encoding/base64"
	"encoding/json"
	"time"
	"unicode/utf8"

	"github.com/shmbus/shmbus/bus"
)

// Message is a message as JSON: `sub -o json` and the bridge for browsers.
type Message struct {
	Sequence  uint64 `json:"sequence"`
	Time      string `json:"time"` // RFC 3339, "" without a publish time
	Kind      uint32 `json:"kind"`
	Publisher uint16 `json:"publisher"`
	Size      int    `json:"size"`
	Lost      uint64 `json:"lost"`
	Payload   string `json:"payload"`
	Encoding  string `json:"encoding"` // utf8 or base64
}

// AppendMessage appends m as one line of JSON, without its end.
func AppendMessage(b []byte, m *bus.Message) []byte {
	j := Message{Sequence: m.Sequence, Kind: m.Kind, Publisher: m.Publisher, Size: len(m.Payload), Lost: m.Lost}
	if t := m.Time(); !t.IsZero() {
		j.Time = t.UTC().Format(time.RFC3339Nano)
	}
	if utf8.Valid(m.Payload) {
		j.Payload, j.Encoding = string(m.Payload), "utf8"
	} else {
		j.Payload, j.Encoding = base64.StdEncoding.EncodeToString(m.Payload), "base64"
	}
	line, err := json.Marshal(&j)
	if err != nil {
		panic("watch: a message is not JSON: " + err.Error()) // of strings and numbers it always is
	}
	return append(b, line...)
}
