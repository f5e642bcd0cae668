package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A defence is something that must not be missing, and the test that says so.
type defence struct {
	name string
	file string // from the root of the module
	with string // the text, exactly once in the file
	gone string // what stands there without the defence
	in   string // package of the test
	test string // -run expression
}

// What becomes of a mutant.
const (
	caught   = "caught"
	survives = "SURVIVES"
	broken   = "BROKEN" // it does not apply, or does not compile
)

// moduleRoot is the directory of go.mod.
func moduleRoot() (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOMOD: %w", err)
	}
	return filepath.Dir(strings.TrimSpace(string(out))), nil
}

// apply returns the file without the defence.
func (d *defence) apply(root string) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(root, d.file))
	if err != nil {
		return nil, err
	}
	if n := bytes.Count(text, []byte(d.with)); n != 1 {
		return nil, fmt.Errorf("%s: the text is in %s %d times, want once: %q", d.name, d.file, n, d.with)
	}
	return bytes.Replace(text, []byte(d.with), []byte(d.gone), 1), nil
}

// try runs the test without the defence.
func (d *defence) try(root string) (out, fate string) {
	text, err := d.apply(root)
	if err != nil {
		return err.Error(), broken
	}
	dir, err := os.MkdirTemp("", "shmbus-mutant-")
	if err != nil {
		return err.Error(), broken
	}
	defer os.RemoveAll(dir)
	changed := filepath.Join(dir, filepath.Base(d.file))
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(root, d.file): changed}})
	if err == nil {
		err = errors.Join(os.WriteFile(changed, text, 0o600), os.WriteFile(dir+"/overlay.json", overlay, 0o600))
	}
	if err != nil {
		return err.Error(), broken
	}
	cmd := exec.Command("go", "test", "-overlay", dir+"/overlay.json", "-count=1", "-timeout=90s", "-run", d.test, "./"+d.in)
	cmd.Dir = root
	b, err := cmd.CombinedOutput()
	out = string(b)
	switch {
	case strings.Contains(out, "[build failed]") || strings.Contains(out, "[setup failed]"):
		return out, broken
	case strings.Contains(out, "no tests to run"):
		return out, broken
	case err == nil:
		return out, survives
	}
	return out, caught
}
