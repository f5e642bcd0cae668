package web

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// TestIncoming: messages as JSON, and what they say exactly.
func TestIncoming(t *testing.T) {
	for in, want := range map[string]string{
		`{"payload":""}`: "",
		" {\"payload\" :\t\"a\\u00e4\\n\\\\ud800\\\"}\"}\n":               "aä\n\\ud800\"}",
		`{"encoding":"utf8","payload":"\ud83d\ude00\uD83D\uDE00\ufffd😀"}`: "😀😀\ufffd😀",
		`{"payload":"\\\ud83d\ude00\u0000"}`:                              "\\😀\x00",
		`{"p\u0061yload":"a"}`:                                            "a",
		`{"payload":"/w==","encoding":"base64"}`:                          "\xff",
		`{"encoding":"base64","payload":""}`:                              "",
	} {
		if got, err := readIncoming([]byte(in)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v, want %q", in, got, err, want)
		}
	}
}

// TestIncomingRefused: what could only be published as something else is not.
func TestIncomingRefused(t *testing.T) {
	s := newSite(t, nil)
	s.publisher(t, "orders", 64<<10)
	for in, want := range map[string]string{
		`null`:                                       "no object",
		`"a"`:                                        "no object",
		`["payload","a"]`:                            "no object",
		`{}`:                                         "no payload",
		`{"encoding":"utf8"}`:                        "no payload",
		`{"payload":null}`:                           "is no string",
		`{"payload":1}`:                              "is no string",
		`{"payload":{"payload":"a"}}`:                "is no string",
		`{"payload":"a","encoding":null}`:            "is no string",
		`{"payload":"a"}}`:                           "not one JSON value",
		`{"payload":"a"}{"payload":"b"}`:             "not one JSON value",
		`{"payload":"a",}`:                           "not one JSON value",
		`{"payload":"a"`:                             "not one JSON value",
		``:                                           "not one JSON value",
		`{"PAYLOAD":"a"}`:                            "unknown field \"PAYLOAD\"",
		`{"payload":"a","Encoding":"base64"}`:        "unknown field \"Encoding\"",
		`{"payload":"a","payload":"b"}`:              "there twice",
		`{"payload":"a","p\u0061yload":"a"}`:         "there twice",
		`{"payload":"a","encoding":""}`:              "want utf8 or base64",
		`{"payload":"\ud800"}`:                       `has \\ud800`,
		`{"payload":"a\uDC00\uD800"}`:                `has \\uDC00`,
		`{"payload":"\ud83d\ud83d\ude00"}`:           `has \\ud83d`,
		`{"payload":"\ud83dx\ude00"}`:                `has \\ud83d`,
		`{"payload":"\\\ud83d\\ude00"}`:              `has \\ud83d`,
		"{\"payload\":\"\xff\"}":                     "not valid UTF-8",
		"{\"payload\":\"\xed\xa0\x80\"}":             "not valid UTF-8",
		`{"payload":"/w","encoding":"base64"}`:       "want standard base64",
		`{"payload":"/x==","encoding":"base64"}`:     "want standard base64",
		`{"payload":"/w\n==","encoding":"base64"}`:   "on one line",
		`{"` + strings.Repeat("x", 10_000) + `":""}`: "unknown field",
	} {
		s.want(t, 400, "shmbus:bad-request", "POST", "/v1/topics/orders/messages", in, "Content-Type", "application/json")
		_, _, answer := s.ask(t, "POST", "/v1/topics/orders/messages", in, "Content-Type", "application/json")
		if !strings.Contains(decode[problem](t, answer).Detail, strings.ReplaceAll(want, `\\`, `\`)) || len(answer) > 1000 {
			t.Errorf("%.100s: %.1000s, want %q", in, answer, want)
		}
		if strings.TrimSpace(in) != "" {
			s.want(t, 400, "line 2", "POST", "/v1/topics/orders/messages", "\n"+in+"\n", "Content-Type", "application/x-ndjson")
		}
	}
	s.want(t, 200, `"messages":0`, "GET", "/v1/topics/orders", "")
}

// FuzzIncoming: what is taken is what package encoding/json reads too, and
// nothing of it was put right.
func FuzzIncoming(f *testing.F) {
	for _, in := range []string{`{"payload":"a"}`, `{"payload":"\ud83d\ude00","encoding":"utf8"}`, `{"payload":"\ud83d"}`, `{"payload":"\\ud83d"}`, `{"payload":"/w==","encoding":"base64"}`, `{"payload":"a","payload":null}`} {
		f.Add([]byte(in))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := readIncoming(in)
		if err != nil {
			if !errors.Is(err, errInput) {
				t.Error(err)
			}
			return
		}
		var m struct{ Payload, Encoding string }
		if err := json.Unmarshal(in, &m); err != nil {
			t.Fatalf("%q was taken: %v", in, err)
		}
		if m.Encoding != "base64" && m.Payload != string(got) {
			t.Errorf("%q gives %q, want %q", in, got, m.Payload)
		}
		if m.Encoding != "base64" && strings.Contains(m.Payload, "\ufffd") && !strings.Contains(strings.ToLower(string(in)), `\ufffd`) && !strings.Contains(string(in), "\ufffd") {
			t.Errorf("%q was put right", in)
		}
	})
}
