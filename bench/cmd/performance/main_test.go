//go:build unix

package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fake is a program that stands for shmbus bench: it notes its arguments and
// fails where the file "fail" is.
const fake = `#!/bin/sh
echo "$@" >> "$(dirname "$0")/calls"
echo "a note" >&2
echo '{"mechanism":"shmbus","mode":"reliable","pattern":"stream","size":64,"publishers":1,"subscribers":1,"msgs_per_s":5e7}'
case "$*" in *growth-ring*) test ! -e "$(dirname "$0")/fail";; esac
`

// TestMeasureGoesOn interrupts a measurement in its last part; the next call
// measures just that.
func TestMeasureGoesOn(t *testing.T) {
	dir := t.TempDir()
	p := &places{bin: filepath.Join(dir, "shmbus"), dir: filepath.Join(dir, "results"), scratch: filepath.Join(dir, "scratch"), flags: "--rounds 1"}
	if err := os.WriteFile(p.bin, []byte(fake), 0o755); err != nil {
		t.Fatal(err)
	}
	fail := filepath.Join(dir, "fail")
	if err := os.WriteFile(fail, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	parts := []string{"main", "growth-size", "growth-ring"}
	measure := func() error { return p.run(context.Background(), append([]string{"measure"}, parts...)) }
	if err := measure(); err == nil || !strings.Contains(err.Error(), "growth-ring") {
		t.Fatalf("got %v, want growth-ring to fail", err)
	}
	if files, _ := filepath.Glob(filepath.Join(p.dir, "*")); len(files) > 0 {
		t.Errorf("results before all are there: %v", files)
	}
	if err := os.Remove(fail); err != nil {
		t.Fatal(err)
	}
	if err := measure(); err != nil {
		t.Fatal(err)
	}
	calls, err := os.ReadFile(filepath.Join(dir, "calls"))
	if err != nil {
		t.Fatal(err)
	}
	want := "bench -o json --rounds 1\nbench -o json --plan growth-size --rounds 1\n" + strings.Repeat("bench -o json --plan growth-ring --rounds 1\n", 2)
	if string(calls) != want {
		t.Errorf("got calls\n%swant\n%s", calls, want)
	}
	notes, err := os.ReadFile(filepath.Join(p.dir, "main.txt"))
	if err != nil || string(notes) != "$ shmbus bench -o json --rounds 1\na note\n" {
		t.Errorf("got notes %q, %v", notes, err)
	}
	if err := p.run(context.Background(), []string{"check"}); err == nil || !strings.Contains(err.Error(), "targets are missed") {
		t.Errorf("check of one row: got %v", err)
	}
}

func TestUsage(t *testing.T) {
	p := &places{dir: t.TempDir(), scratch: t.TempDir()}
	for _, args := range [][]string{nil, {"dance"}, {"measure", "dance"}, {"write"}, {"write", "x"}, {"check"}} {
		if err := p.run(context.Background(), args); err == nil {
			t.Errorf("%v: no error", args)
		}
	}
}
