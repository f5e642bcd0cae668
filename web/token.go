package web

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// tokenBytes of randomness make a token.
const tokenBytes = 32

// LoadToken reads the token of a file that only this user can read, and makes
// one, file and all, if there is none. An existing file of another user (but
// root), or that others can read, or that holds no token, is an error: somebody
// else may know it.
func LoadToken(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|noFollow, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return makeToken(path)
	}
	if err != nil {
		return "", fmt.Errorf("web: token: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("web: token: %w", err)
	}
	if !trusted(info, os.Geteuid()) {
		return "", fmt.Errorf("web: token file %s belongs to another user, who knows the token: remove it and a new one is made", path)
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("web: token file %s has mode %v, want a file of mode 0600: remove it and a new one is made", path, info.Mode())
	}
	b := make([]byte, 256)
	n, _ := f.Read(b)
	token := strings.TrimSpace(string(b[:n]))
	if raw, err := base64.RawURLEncoding.DecodeString(token); err != nil || len(raw) < tokenBytes {
		return "", fmt.Errorf("web: token file %s holds no token: remove it and a new one is made", path)
	}
	return token, nil
}

// makeToken makes a token and its file, which appears whole or not at all.
func makeToken(path string) (string, error) {
	raw := make([]byte, tokenBytes)
	if _, err := rand.Read(raw); err != nil {
		return "", fmt.Errorf("web: token: %w", err)
	}
	token := base64.RawURLEncoding.EncodeToString(raw)
	// A name that nobody guesses, and a file that was not there: what somebody
	// put there would be written to, with its mode, or where it leads.
	part, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return "", fmt.Errorf("web: token: %w", err)
	}
	defer os.Remove(part.Name())
	_, err = part.WriteString(token + "\n")
	if err = errors.Join(err, part.Close()); err != nil {
		return "", fmt.Errorf("web: token: %w", err)
	}
	// A link fails if the file is there: then another bridge made it first.
	err = os.Link(part.Name(), path)
	if errors.Is(err, fs.ErrExist) {
		return LoadToken(path)
	}
	if err != nil {
		return "", fmt.Errorf("web: token: %w", err)
	}
	return token, nil
}

// same compares in a time that tells nothing about either.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}
