package web

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestLoadToken: made once, kept, and not taken from a file others can read.
func TestLoadToken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	first, err := LoadToken(path)
	if err != nil || len(first) < 43 {
		t.Fatalf("%q, %v", first, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Fatalf("%v, %v", info.Mode(), err)
	}
	if again, err := LoadToken(path); again != first || err != nil {
		t.Errorf("%q, %v", again, err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadToken(path); err == nil || !strings.Contains(err.Error(), "want a file of mode 0600") {
		t.Error(err)
	}
	if err := os.WriteFile(path, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	_ = os.Chmod(path, 0o600)
	if _, err := LoadToken(path); err == nil || !strings.Contains(err.Error(), "holds no token") {
		t.Error(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadToken(link); err == nil {
		t.Error("followed a symbolic link")
	}
}

// TestPlantedToken: what somebody put where a token is made is neither written
// to nor taken for the token's file.
func TestPlantedToken(t *testing.T) {
	dir := t.TempDir()
	path, victim := filepath.Join(dir, "token"), filepath.Join(dir, "victim")
	if err := os.WriteFile(victim, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	guess := fmt.Sprintf("%s.%d", path, os.Getpid())
	for name, plant := range map[string]func() error{
		"link": func() error { return os.Symlink(victim, guess) },
		"file": func() error { return os.WriteFile(guess, nil, 0o666) },
	} {
		if err := plant(); err != nil {
			t.Fatal(err)
		}
		if token, err := LoadToken(path); err != nil || len(token) < 43 {
			t.Errorf("%s: %q, %v", name, token, err)
		}
		if info, err := os.Lstat(path); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: the token's file is %v, %v", name, info.Mode(), err)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) != 3 {
			t.Errorf("%s: %v, %v, want the token, the victim and what was planted", name, left, err)
		}
		_, _ = os.Remove(guess), os.Remove(path)
	}
	if b, err := os.ReadFile(victim); string(b) != "precious" {
		t.Errorf("somebody else's file holds %q, %v", b, err)
	}
}

// TestForeignToken: a token's file of another user is no secret; root's is.
func TestForeignToken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	if _, err := LoadToken(path); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	me := os.Geteuid()
	if !trusted(info, me) || me != 0 && trusted(info, me+1) {
		t.Errorf("of user %d: trusted by it %v, by another %v", me, trusted(info, me), trusted(info, me+1))
	}
	if me != 0 {
		return // only root gives files away
	}
	if !trusted(info, 1) {
		t.Error("root's file is not trusted")
	}
	if err := os.Chown(path, 1, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadToken(path); err == nil || !strings.Contains(err.Error(), "belongs to another user") {
		t.Errorf("%v, want it refused", err)
	}
}
