package control

import (
	"errors"
	"strings"
	"testing"
)

func TestValidName(t *testing.T) {
	long := strings.Repeat("x", MaxName)
	for _, name := range []string{"a", "Z", "0", "a.b_c-d", "9lives", "a..", long} {
		if err := ValidName("topic", name); err != nil {
			t.Errorf("ValidName(%q) = %v, want nil", name, err)
		}
	}
	for _, name := range []string{"", ".", "..", ".group", "-x", "_x", "a/b", "a b", "a\x00", "a\n", "ä", "aä", long + "x"} {
		err := ValidName("topic", name)
		if !errors.Is(err, ErrBadName) {
			t.Errorf("ValidName(%q) = %v, want ErrBadName", name, err)
		}
		wantText(t, err, "topic")
	}
}

// TestValidNameQuotes: what is wrong is shown as the character it is.
func TestValidNameQuotes(t *testing.T) {
	for name, want := range map[string]string{
		"ä":     `the topic name "ä" starts with 'ä'`,
		"aäb":   `the topic name "aäb" has 'ä' at byte 1`,
		"a\xff": `the topic name "a\xff" has '�' at byte 1`,
	} {
		wantText(t, ValidName("topic", name), want)
	}
}

// wantText fails unless the error's text has all of these.
func wantText(t *testing.T, err error, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if err == nil || !strings.Contains(err.Error(), p) {
			t.Errorf("error %v does not say %q", err, p)
		}
	}
}
