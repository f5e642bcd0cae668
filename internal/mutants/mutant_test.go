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

// TestFates: a defence whose text has moved, one that is not tested, and one
// that is.
func TestFates(t *testing.T) {
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	d := defence{name: "x", file: "control/names.go", with: "if len(name) > MaxName {", in: "control", test: "^TestValidName$"}
	for gone, want := range map[string]string{"if len(name) > MaxName+1 {": caught, "if MaxName < len(name) {": survives, "if {": broken} {
		d.gone = gone
		if out, fate := d.try(root); fate != want {
			t.Errorf("%q: %s, want %s\n%s", gone, fate, want, out)
		}
	}
	d.with = "no such text"
	if out, fate := d.try(root); fate != broken || !strings.Contains(out, "0 times") {
		t.Errorf("a text that is not there: %s, %s", fate, out)
	}
}
