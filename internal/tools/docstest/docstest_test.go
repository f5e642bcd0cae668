//go:build unix

package main

import (
	"os"
	"strings"
	"testing"
)

func TestFences(t *testing.T) {
	text := "a\n```sh\necho 1\n```\n- x\n  ```console in=repo\n  $ ls\n  a\n  ```\n```text\n```\n"
	bs, err := fences(text)
	if err != nil {
		t.Fatal(err)
	}
	if len(bs) != 3 || bs[0].text != "echo 1\n" || bs[1].text != "$ ls\na\n" || !bs[1].inRepo || bs[1].line != 6 || bs[2].runs() {
		t.Errorf("fences: %+v", bs)
	}
	for _, bad := range []string{"```\nx\n```\n", "```cobol\n```\n", "```sh\n", "```sh at=home\n```\n"} {
		if _, err := fences(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestMatches(t *testing.T) {
	tests := []struct {
		want, got string
		ok        bool
	}{
		{"a\nb", "a\nb", true},
		{"a", "a\nb", false},
		{"a\n...", "a\nb\nc", true},
		{"...\nc", "a\nb\nc", true},
		{"...", "", true},
		{"", "a", false},
		{"delivered ..., lost 0", "delivered 12, lost 0", true},
		{"delivered ..., lost 0", "delivered 12, lost 1", false},
		{"a   b", "a b", true},
	}
	for _, tt := range tests {
		if got := matches(lines(tt.want), lines(tt.got)); got != tt.ok {
			t.Errorf("matches(%q, %q) = %v", tt.want, tt.got, got)
		}
	}
}

func TestBrokenLinks(t *testing.T) {
	bad := brokenLinks("[a](main.go) [b](nothing.md#x) [c](https://example.org/x)", ".")
	if len(bad) != 1 || bad[0].target != "nothing.md" {
		t.Errorf("brokenLinks: %v", bad)
	}
}

// TestRun shows blocks that pass and blocks that must not.
func TestRun(t *testing.T) {
	if err := os.Chdir("../../.."); err != nil { // where documents are run from
		t.Fatal(err)
	}
	s, err := newStage("bin")
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	good := []block{
		{kind: "sh", text: "sleep 100 &\necho x > f\n"},
		{kind: "console", text: "$ cat f\nx\n$ x=1\n$ echo $x\n1\n$ for i in 1 2; do\n>   echo $i\n> done\n1\n2\n"},
		{kind: "go", text: "package main\n\nimport \"fmt\"\n\nfunc main() { fmt.Println(1) }\n"},
		{kind: "console", inRepo: true, text: "$ ls go.mod\ngo.mod\n"},
		{kind: "text", text: "$ false"},
	}
	for _, b := range good {
		if out, err := s.run(b); err != nil {
			t.Errorf("%s %q: %v\n%s", b.kind, b.text, err, out)
		}
	}
	bad := []block{
		{kind: "sh", text: "false\ntrue\n"},
		{kind: "console", text: "$ echo 1\n2\n"},
		{kind: "console", text: "$ echo 1\n"},
		{kind: "console", text: "$ false\n"},
		{kind: "console", text: "$ exit 0\n"},
		{kind: "go", text: "package main\n\nfunc main() { x }\n"},
		{kind: "go", text: "package main\n\nfunc main() { panic(1) }\n"},
	}
	for _, b := range bad {
		if _, err := s.run(b); err == nil {
			t.Errorf("%s %q passed", b.kind, b.text)
		}
	}
	if !strings.HasPrefix(s.scratch, os.TempDir()) {
		t.Errorf("scratch directory %s", s.scratch)
	}
}
