package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/shmbus/shmbus/ring"
	"github.com/shmbus/shmbus/shm"
)

// errorMessage refuses a request. Message is for people; Code is what the other
// side acts on.
type errorMessage struct {
	Header
	Code    string `json:"code"`
	Message string `json:"message"`
}

// codes pairs an error with its code on the wire. The first match counts, so
// the more special ones come first.
var codes = []struct {
	code string
	err  error
}{
	{"name", ErrBadName},
	{"guest", ErrGuest},
	{"permission", ErrPermission},
	{"pid-namespace", ErrPidNamespace},
	{"descriptors", ErrNoDescriptors},
	{"unexpected-descriptors", ErrDescriptors},
	{"no-memory", ErrNoMemory},
	{"no-memory", shm.ErrNoMemory},
	{"name-in-use", ErrNameInUse},
	{"options", ErrOptions},
	{"exclusive", ErrExclusive},
	{"schema", ErrSchema},
	{"no-topic", ErrNoTopic},
	{"topic-in-use", ErrTopicInUse},
	{"no-slot", ErrNoSlot},
	{"too-many-clients", ErrTooManyClients},
	{"too-many-topics", ErrTooManyTopics},
	{"too-many-requests", ErrTooManyRequests},
	{"orphaned", ErrOrphaned},
	{"region", ErrRegion},
	{"stalled", ErrStalled},
	{"layout", ErrLayout},
	{"membarrier", shm.ErrNoMembarrier},
	{"membarrier", ring.ErrNoBarrier},
	{"corrupt", ring.ErrCorrupt},
	{"start", ring.ErrBadStart},
	{"ring-options", ring.ErrBadOptions},
	{"malformed", ErrMalformed},
	{"closed", ErrClosed},
	{"canceled", context.Canceled},
}

const codeInternal = "internal"

// hostError is an error that the host reported: its text, and the sentinel its
// code stands for.
type hostError struct {
	code    string
	message string
}

func (e *hostError) Error() string { return e.message }

// Unwrap returns the sentinel; nil for an internal error of the host.
func (e *hostError) Unwrap() error {
	for _, c := range codes {
		if c.code == e.code {
			return c.err
		}
	}
	return nil
}

// newErrorMessage returns the answer that refuses request id.
func newErrorMessage(id uint64, err error) errorMessage {
	m := errorMessage{Header: NewHeader(typeError, id), Code: codeInternal, Message: err.Error()}
	const most = 8 << 10 // far below MaxMessage, even escaped
	if len(m.Message) > most {
		m.Message = m.Message[:most]
	}
	for _, c := range codes {
		if errors.Is(err, c.err) {
			m.Code = c.code
			break
		}
	}
	return m
}

// decodeError returns the error in an error message.
func decodeError(raw []byte) error {
	var m errorMessage
	if err := json.Unmarshal(raw, &m); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if m.Message == "" {
		m.Message = "control: the host refused: " + m.Code
	}
	return &hostError{code: m.Code, message: m.Message}
}
