package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDefencesAreThere: each text to be taken away is there once, each test
// exists, and no defence is listed twice.
func TestDefencesAreThere(t *testing.T) {
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, d := range defences {
		if seen[d.name] {
			t.Errorf("%s is listed twice", d.name)
		}
		seen[d.name] = true
		if d.with == d.gone {
			t.Errorf("%s changes nothing", d.name)
		}
		if _, err := d.apply(root); err != nil {
			t.Error(err)
		}
		if !d.testExists(t, root) {
			t.Errorf("%s: %s has no test that matches %s", d.name, d.in, d.test)
		}
	}
	if len(defences) < 40 {
		t.Errorf("only %d defences", len(defences))
	}
}

func (d *defence) testExists(t *testing.T, root string) bool {
	t.Helper()
	top, _, _ := strings.Cut(d.test, "/")
	want, err := regexp.Compile(top)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(root, d.in, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	function := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range function.FindAllSubmatch(text, -1) {
			if want.Match(m[1]) {
				return true
			}
		}
	}
	return false
}

// TestFates: a test that notices, one that does not, a mutant that may be
// missed, and what cannot be tried.
func TestFates(t *testing.T) {
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	l := newLab(root)
	defer l.close()
	const with = "if len(name) > MaxName {"
	for _, c := range []struct{ with, gone, test, harmless, fate, why string }{
		{with, "if len(name) > MaxName+1 {", "^TestValidName$", "", caught, "TestValidName"},
		{with, "if len(name) > MaxName+1 {", "^TestValidName$", "no reason", broken, "listed as harmless"},
		{with, "if MaxName < len(name) {", "^TestValidName$", "", survives, ""},
		{with, "if MaxName < len(name) {", "^TestValidName$", "it is the same", harmless, "it is the same"},
		{with, "if {", "^TestValidName$", "", broken, "not compile"},
		{with, "if len(name) > MaxName+1 {", "^TestNoSuchTest$", "", broken, "no test ran"},
		{"no such text", "", "^TestValidName$", "", broken, "0 times"},
	} {
		d := defence{name: "x", file: "control/names.go", with: c.with, gone: c.gone, in: "control", test: c.test, harmless: c.harmless}
		if v := l.try(&d); v.fate != c.fate || !strings.Contains(v.why, c.why) {
			t.Errorf("%q, %s: %+v, want %s: %s", c.gone, c.test, v, c.fate, c.why)
		}
	}
}

// TestVerdicts: what a test prints says what became of it.
func TestVerdicts(t *testing.T) {
	l := newLab(t.TempDir())
	defer l.close()
	for _, c := range []struct{ script, fate, by string }{
		{"echo '=== RUN   TestA'; echo '--- PASS: TestA (0.00s)'", survives, "TestA"},
		{"echo '=== RUN   TestA'; echo '--- SKIP: TestA (0.00s)'", broken, "no test ran"},
		{"echo '=== RUN   TestA'; echo '--- FAIL: TestA (0.00s)'; exit 1", caught, "TestA"},
		{"echo '=== RUN   TestA'; echo '=== RUN   TestB'; echo 'TestB hangs'; exit 3", caught, "TestB"},
		{"echo '=== RUN   TestB'; echo 'panic: test timed out after 1m0s'; exit 2", hangs, "TestB"},
		{"exit 1", broken, "exit status 1"},
	} {
		binary := filepath.Join(t.TempDir(), "binary")
		if err := os.WriteFile(binary, []byte("#!/bin/sh\n"+c.script+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		d := defence{test: "TestA"}
		if fate, by, _ := l.run(&d, binary); fate != c.fate || by != c.by {
			t.Errorf("%s: %s by %s, want %s by %s", c.script, fate, by, c.fate, c.by)
		}
	}
}
