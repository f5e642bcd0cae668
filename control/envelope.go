package control

import (
	"encoding/json"
	"fmt"
)

// Version is the version of the control protocol. Both sides refuse any other.
const Version uint32 = 1

// MaxMessage is the limit of one control message in bytes.
const MaxMessage = 64 << 10

// Header is what every control message starts with.
type Header struct {
	// Version is the sender's protocol version.
	Version uint32 `json:"version"`
	// Type says what the message is.
	Type string `json:"type"`
	// ID pairs an answer with its request; 0 for what nobody asked for.
	ID uint64 `json:"id"`
}

// NewHeader returns a header of our version.
func NewHeader(kind string, id uint64) Header {
	return Header{Version: Version, Type: kind, ID: id}
}

// Refusal is the answer to a message of another version. Its form is frozen:
// every version, past and future, reads and writes it like this. Ours is the
// version of the refusing side, Theirs that of the refused message.
type Refusal struct {
	Header
	Code    string `json:"code"` // "version"
	Message string `json:"message"`
	Ours    uint32 `json:"ours"`
	Theirs  uint32 `json:"theirs"`
}

const (
	typeError   = "error"
	codeVersion = "version"
)

// Refuse returns the answer to a message with the given header, which
// DecodeHeader reported with a VersionError.
func Refuse(h Header) Refusal { return refuse(h, Version) }

func refuse(h Header, ours uint32) Refusal {
	v := VersionError{Ours: ours, Theirs: h.Version}
	return Refusal{
		Header:  Header{Version: ours, Type: typeError, ID: h.ID},
		Code:    codeVersion,
		Message: v.Error(),
		Ours:    ours,
		Theirs:  h.Version,
	}
}

// DecodeHeader reads the header of a message, the version first and alone: what
// else a message of another version holds is not looked at, its id excepted
// where it is a number. Unknown fields are ignored. The header is usable for
// Refuse when the error is a VersionError.
//
// Errors: ErrMalformed, *VersionError (also for a refusal by the other side).
func DecodeHeader(raw []byte) (Header, error) { return decodeHeader(raw, Version) }

func decodeHeader(raw []byte, ours uint32) (Header, error) {
	var first struct {
		Version *uint32 `json:"version"`
	}
	if err := json.Unmarshal(raw, &first); err != nil {
		return Header{}, fmt.Errorf("%w: want one JSON object with a version, got %s: %w", ErrMalformed, excerpt(raw), err)
	}
	if first.Version == nil {
		return Header{}, fmt.Errorf("%w: %s has no version", ErrMalformed, excerpt(raw))
	}
	h := Header{Version: *first.Version}
	if h.Version != ours {
		var id struct {
			ID uint64 `json:"id"`
		}
		if json.Unmarshal(raw, &id) == nil {
			h.ID = id.ID
		}
		return h, &VersionError{Ours: ours, Theirs: h.Version}
	}
	var rest struct {
		Type string `json:"type"`
		ID   uint64 `json:"id"`
	}
	if err := json.Unmarshal(raw, &rest); err != nil {
		return h, fmt.Errorf("%w: type or id of %s: %w", ErrMalformed, excerpt(raw), err)
	}
	if rest.Type == "" {
		return h, fmt.Errorf("%w: %s has no type", ErrMalformed, excerpt(raw))
	}
	h.Type, h.ID = rest.Type, rest.ID
	if h.Type == typeError {
		var r Refusal
		if json.Unmarshal(raw, &r) == nil && r.Code == codeVersion {
			return h, &VersionError{Ours: ours, Theirs: r.Ours}
		}
	}
	return h, nil
}

// excerpt is at most 64 bytes of a message, quoted for an error text.
func excerpt(raw []byte) string {
	const most = 64
	if len(raw) <= most {
		return fmt.Sprintf("%q", raw)
	}
	return fmt.Sprintf("%q… (%d bytes)", raw[:most], len(raw))
}
