package control

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestDecodeHeader(t *testing.T) {
	h, err := DecodeHeader([]byte(`{"future":[1,{}],"id":7,"type":"hello","version":1}`))
	if err != nil || h != (Header{Version: 1, Type: "hello", ID: 7}) {
		t.Errorf("got %+v, %v", h, err)
	}
	for _, raw := range []string{
		"", " ", "null", "1", `"x"`, "[]", "{", `{"version"`, "{}", `{"type":"hello"}`, `{"version":null,"type":"x"}`,
		`{"version":-1,"type":"x"}`, `{"version":4294967296,"type":"x"}`, `{"version":"1","type":"x"}`, `{"version":1.5,"type":"x"}`,
		`{"version":1}`, `{"version":1,"type":""}`, `{"version":1,"type":5}`, `{"version":1,"type":"x","id":-1}`,
		`{"version":1,"type":"x"} {"version":1,"type":"x"}`, "\x00\xff\xfe", strings.Repeat("[", MaxMessage),
		"GET / HTTP/1.1\r\n\r\n",
	} {
		if _, err := DecodeHeader([]byte(raw)); !errors.Is(err, ErrMalformed) {
			t.Errorf("DecodeHeader(%.40q) = %v, want ErrMalformed", raw, err)
		}
	}
}

// Each side names both versions, whoever is older, and whatever else another
// version's message looks like.
func TestVersionMismatchNamesBothOnBothSides(t *testing.T) {
	for _, c := range []struct{ host, client uint32 }{{1, 2}, {2, 1}, {1, 0}, {7, 4294967295}} {
		raw, err := json.Marshal(map[string]any{"version": c.client, "type": map[string]any{"not": "a string"}, "id": 42})
		if err != nil {
			t.Fatal(err)
		}
		h, err := decodeHeader(raw, c.host)
		wantVersions(t, err, c.host, c.client)
		if h.ID != 42 || h.Version != c.client {
			t.Errorf("the header to refuse is %+v", h)
		}
		refusal, err := json.Marshal(refuse(h, c.host))
		if err != nil {
			t.Fatal(err)
		}
		_, err = decodeHeader(refusal, c.client)
		wantVersions(t, err, c.client, c.host)
		// A later version may answer in the asker's own.
		_, err = decodeHeader([]byte(strings.Replace(string(refusal), `"version":`+itoa(c.host), `"version":`+itoa(c.client), 1)), c.client)
		wantVersions(t, err, c.client, c.host)
	}
}

func wantVersions(t *testing.T, err error, ours, theirs uint32) {
	t.Helper()
	var v *VersionError
	if !errors.As(err, &v) || !errors.Is(err, ErrVersion) || *v != (VersionError{Ours: ours, Theirs: theirs}) {
		t.Errorf("got %v, want a VersionError of %d and %d", err, ours, theirs)
	}
	wantText(t, err, "version "+itoa(ours), "version "+itoa(theirs))
}

func itoa(v uint32) string {
	b, _ := json.Marshal(v)
	return string(b)
}

func TestRefusalFormIsFrozen(t *testing.T) {
	b, err := json.Marshal(refuse(Header{Version: 2, ID: 9}, 1))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"version":1,"type":"error","id":9,"code":"version","message":"control: protocol versions differ: this side speaks version 1, the other side version 2: use the same shmbus version on both","ours":1,"theirs":2}`
	if string(b) != want {
		t.Errorf("got  %s\nwant %s", b, want)
	}
}
