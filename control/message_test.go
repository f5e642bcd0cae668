package control

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/shmbus/shmbus/ring"
	"github.com/shmbus/shmbus/shm"
)

// TestNamesInMessages: whatever a request is about, no name in it is anything
// but a name.
func TestNamesInMessages(t *testing.T) {
	for _, bad := range []string{"..", "a/b", "-rf", "a b", strings.Repeat("x", MaxName+1)} {
		for _, format := range []string{
			`{"version":%d,"type":"publish","id":1,"topic":%q}`,
			`{"version":%d,"type":"publish","id":1,"topic":"t","name":%q}`,
			`{"version":%d,"type":"subscribe","id":1,"topic":%q,"mode":"lossy"}`,
			`{"version":%d,"type":"subscribe","id":1,"topic":"t","name":%q,"mode":"lossy"}`,
			`{"version":%d,"type":"remove","id":1,"topic":%q}`,
			`{"version":%d,"type":"offer","id":1,"topic":%q,"role":"publisher","slot":0,"generation":1,"ring":1}`,
		} {
			raw := fmt.Sprintf(format, Version, bad)
			if _, _, err := decodeRequest([]byte(raw)); !errors.Is(err, ErrBadName) {
				t.Errorf("%s: %v, want %v", raw, err, ErrBadName)
			}
		}
	}
}

// TestDocumentedMessages: every message that docs/protocol.md shows is one that
// this package reads, field by field, and it shows every type there is.
func TestDocumentedMessages(t *testing.T) {
	text, err := os.ReadFile("../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	missing := map[string]bool{}
	for _, kind := range []string{typeHello, typeWelcome, typeOffer, typeReady, typePublish, typeSubscribe, typeGrant, typeWaiting, typeRelease,
		typeCancel, typeTopics, typeObserve, typeObserved, typeHost, typeRemove, typePing, typeBye, typeOK, typeError} {
		missing[kind] = true
	}
	answers := map[string]func() any{
		typeWelcome: func() any { return &welcomeMessage{} }, typeGrant: func() any { return &grantMessage{} },
		typeWaiting: func() any { return &waitingMessage{} }, typeOK: func() any { return &plainRequest{} },
		typeError: func() any { return &errorMessage{} }, typeObserved: func() any { return &observedMessage{} },
	}
	fenced := false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "```") {
			fenced = line == "```json"
			continue
		}
		if !fenced {
			continue
		}
		head, err := DecodeHeader([]byte(line))
		if errors.Is(err, ErrVersion) {
			continue // the refusal, which has a test of its own
		}
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		delete(missing, head.Type)
		var m any
		switch {
		case answers[head.Type] != nil:
			m = answers[head.Type]()
		case head.Type == typeTopics && strings.Contains(line, `"more"`):
			m = &topicsMessage{}
		case head.Type == typeHost && strings.Contains(line, `"host":`):
			m = &hostMessage{}
		default:
			if m, _, err = decodeRequest([]byte(line)); err != nil {
				t.Errorf("%s: %v", line, err)
				continue
			}
		}
		d := json.NewDecoder(bytes.NewReader([]byte(line)))
		d.DisallowUnknownFields()
		if err := d.Decode(m); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
	for kind := range missing {
		t.Errorf("docs/protocol.md shows no %q", kind)
	}
	for _, c := range codes {
		if !strings.Contains(string(text), "`"+c.code+"`") {
			t.Errorf("docs/protocol.md does not name the code %q", c.code)
		}
	}
}

// Errors keep their meaning on their way through the socket.
func TestErrorsCrossTheSocket(t *testing.T) {
	for _, c := range codes {
		b, err := json.Marshal(newErrorMessage(3, errors.Join(errors.New("somewhere"), c.err)))
		if err != nil {
			t.Fatal(err)
		}
		got := decodeError(b)
		want := c.err
		switch want {
		case shm.ErrNoMemory:
			want = ErrNoMemory
		case ring.ErrNoBarrier:
			want = shm.ErrNoMembarrier
		}
		if !errors.Is(got, want) || !strings.Contains(got.Error(), "somewhere") {
			t.Errorf("%v became %v", c.err, got)
		}
	}
	b, err := json.Marshal(newErrorMessage(3, errors.New(strings.Repeat("\x01", 100<<10))))
	if err != nil || len(b) > MaxMessage {
		t.Errorf("a long error makes a message of %d bytes, %v", len(b), err)
	}
	if err := decodeError(b); errors.Unwrap(err) != nil {
		t.Errorf("an internal error became %v", errors.Unwrap(err))
	}
}
