package control

import "fmt"

// MaxName is the length limit of bus, topic and given names, in bytes.
const MaxName = 64

// ValidName checks a bus, topic or given name: [A-Za-z0-9][A-Za-z0-9._-]{0,63}.
// The first character keeps names from being ".", ".." or an option, and no
// name can hold a slash. kind ("bus", "topic", …) is for the text of the error.
//
// Errors: ErrBadName.
func ValidName(kind, name string) error {
	if name == "" {
		return fmt.Errorf("%w: the %s name is empty; want 1 to %d characters of A-Z a-z 0-9 . _ -", ErrBadName, kind, MaxName)
	}
	if len(name) > MaxName {
		return fmt.Errorf("%w: the %s name %.70q is %d bytes long; at most %d are allowed", ErrBadName, kind, name, len(name), MaxName)
	}
	for i, c := range name {
		alnum := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		switch {
		case alnum:
		case i == 0:
			return fmt.Errorf("%w: the %s name %q starts with %q; want a letter or a digit", ErrBadName, kind, name, c)
		case c != '.' && c != '_' && c != '-':
			return fmt.Errorf("%w: the %s name %q has %q at byte %d; want only A-Z a-z 0-9 . _ -", ErrBadName, kind, name, c, i)
		}
	}
	return nil
}
