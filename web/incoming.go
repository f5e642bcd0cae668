package web

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// wantIncoming is what a message as JSON looks like.
const wantIncoming = `{"payload": TEXT} or {"payload": TEXT, "encoding": "utf8" or "base64"}`

// readIncoming returns the payload of a message as JSON, exactly as it was
// meant: what package encoding/json would leave out, put right or choose from
// is refused. The error is errInput and says what was found.
func readIncoming(b []byte) ([]byte, error) {
	if !utf8.Valid(b) {
		return nil, fmt.Errorf("%w: the JSON is not valid UTF-8: send bytes as base64", errInput)
	}
	var whole json.RawMessage
	if err := json.Unmarshal(b, &whole); err != nil {
		return nil, fmt.Errorf("%w: not one JSON value: %w: want %s", errInput, err, wantIncoming)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	if t, _ := d.Token(); t != json.Delim('{') {
		return nil, fmt.Errorf("%w: the JSON is no object: want %s", errInput, wantIncoming)
	}
	fields := map[string]string{}
	for d.More() {
		name, value, err := readField(d, b)
		if err != nil {
			return nil, err
		}
		if _, twice := fields[name]; twice {
			return nil, fmt.Errorf("%w: field %q is there twice: want %s", errInput, name, wantIncoming)
		}
		fields[name] = value
	}
	payload, ok := fields["payload"]
	if !ok {
		return nil, fmt.Errorf("%w: no payload: want %s", errInput, wantIncoming)
	}
	encoding, ok := fields["encoding"]
	switch {
	case !ok || encoding == "utf8":
		return []byte(payload), nil
	case encoding != "base64":
		return nil, fmt.Errorf("%w: encoding %.64q: want utf8 or base64", errInput, encoding)
	case strings.ContainsAny(payload, "\r\n"): // the decoder skips them
		return nil, fmt.Errorf("%w: payload: base64 with an end of line: want it on one line", errInput)
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(payload)
	if err != nil {
		return nil, fmt.Errorf("%w: payload: %w: want standard base64, with padding", errInput, err)
	}
	return raw, nil
}

// readField reads the next field of an object that is known to be JSON: b, of
// which d reads.
func readField(d *json.Decoder, b []byte) (name, value string, err error) {
	t, _ := d.Token()
	name, _ = t.(string)
	if name != "payload" && name != "encoding" {
		return "", "", fmt.Errorf("%w: unknown field %.64q: want %s", errInput, name, wantIncoming)
	}
	from := d.InputOffset()
	t, err = d.Token()
	value, ok := t.(string)
	if err != nil || !ok {
		return "", "", fmt.Errorf("%w: field %q is no string: want %s", errInput, name, wantIncoming)
	}
	if half := halfPair(b[from:d.InputOffset()]); half != "" {
		return "", "", fmt.Errorf("%w: field %q has %s, half of a surrogate pair: no text has that; send bytes as base64", errInput, name, half)
	}
	return name, value, nil
}

// halfPair returns the first escape of JSON that is half of a surrogate pair,
// "" if there is none. The decoder makes U+FFFD of it.
func halfPair(b []byte) string {
	const length = len(`\uXXXX`)
	unit := func(b []byte) (rune, bool) {
		if len(b) < length || b[0] != '\\' || b[1] != 'u' {
			return 0, false
		}
		u, err := strconv.ParseUint(string(b[2:length]), 16, 16)
		return rune(u), err == nil
	}
	for {
		i := bytes.IndexByte(b, '\\')
		if i < 0 {
			return ""
		}
		b = b[i:]
		first, ok := unit(b)
		switch {
		case !ok:
			b = b[2:] // another escape, of two bytes
		case !utf16.IsSurrogate(first):
			b = b[length:]
		default:
			second, _ := unit(b[length:])
			if utf16.DecodeRune(first, second) == utf8.RuneError {
				return string(b[:length])
			}
			b = b[2*length:]
		}
	}
}
