package lint

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"strings"
	"unicode"
)

// positionWords are the names under which positions travel.
var positionWords = regexp.MustCompile(`(?i)^(pos|position|tail|claimed|pending|gating|cursor)$|(?i)[a-z](position|cursor)$`)

// checkPositions finds ordered comparisons of positions, known by name.
func checkPositions(t *Tree) []Problem {
	var ps []Problem
	for _, f := range t.Files {
		if f.Dir != "ring" && f.Dir != "bus" || f.Base == "position.go" || f.Test {
			continue
		}
		ast.Inspect(f.AST, func(n ast.Node) bool {
			b, ok := n.(*ast.BinaryExpr)
			if !ok || b.Op != token.LSS && b.Op != token.GTR && b.Op != token.LEQ && b.Op != token.GEQ {
				return true
			}
			for _, side := range []ast.Expr{b.X, b.Y} {
				if name := lastName(side); positionWords.MatchString(name) {
					ps = append(ps, t.at(b, "compares the position %s: use ring/position.go", name))
					break
				}
			}
			return true
		})
	}
	return ps
}

func checkSleep(t *Tree) []Problem {
	var ps []Problem
	for _, f := range t.Files {
		if !f.Test {
			continue
		}
		ast.Inspect(f.AST, func(n ast.Node) bool {
			if e, ok := n.(ast.Expr); ok {
				if name, ok := selectorOf(e, "time"); ok && name == "Sleep" {
					ps = append(ps, t.at(n, "time.Sleep in a test: poll a condition, with a watchdog"))
				}
			}
			return true
		})
	}
	return ps
}

// foreign are words that have another name here, by where they are foreign.
var foreign = map[string][]string{
	"ring":    {"Frame", "Entry", "Entries", "Queue", "Channel", "Send", "Receive"},
	"bus":     {"Frame", "Entry", "Entries", "Queue", "Channel", "Send", "Receive", "Head", "Tail", "Producer", "Consumer"},
	"bustest": {"Frame", "Entry", "Entries", "Queue", "Channel", "Send", "Receive", "Head", "Tail", "Producer", "Consumer"},
}

// checkVocabulary looks at the words of the exported names of the library.
func checkVocabulary(t *Tree) []Problem {
	var ps []Problem
	for _, f := range t.Files {
		bad := foreign[f.Dir]
		if len(bad) == 0 || f.Test {
			continue
		}
		look := func(id *ast.Ident) {
			if !id.IsExported() {
				return
			}
			for _, w := range splitName(id.Name) {
				for _, b := range bad {
					if w == b || w == b+"s" {
						ps = append(ps, t.at(id, "%s: the word %s is not used here (docs/architecture.md, Words)", id.Name, strings.ToLower(w)))
					}
				}
			}
		}
		for _, d := range f.AST.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				look(d.Name)
			case *ast.GenDecl:
				ast.Inspect(d, func(n ast.Node) bool {
					switch n := n.(type) {
					case *ast.TypeSpec:
						look(n.Name)
					case *ast.Field:
						for _, id := range n.Names {
							look(id)
						}
					case *ast.ValueSpec:
						for _, id := range n.Names {
							look(id)
						}
					}
					return true
				})
			}
		}
	}
	return ps
}

// splitName splits MixedCaps into words: PublishBatch is Publish, Batch.
func splitName(s string) []string {
	var words []string
	start := 0
	for i, r := range s {
		if i > 0 && unicode.IsUpper(r) {
			words = append(words, s[start:i])
			start = i
		}
	}
	return append(words, s[start:])
}

// unfit are texts that make no sense to a reader of the repository alone.
var unfit = []struct {
	form *regexp.Regexp
	why  string
}{
	{regexp.MustCompile(`(?i)\b(issues?|tickets?|pull requests?|milestones?)\s+#?\d+`), "trackers come and go: give the reason itself"},
	{regexp.MustCompile(`(^|[\s(])#\d+\b`), "trackers come and go: give the reason itself"},
	{regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`), "do it or leave it"},
	{regexp.MustCompile(`\b(DES` + `IGN|SP` + `EC|STY` + `LE)(\.md\b| section| §)`), "no such file here: name docs/architecture.md or say it"},
	{regexp.MustCompile(`(^|[\s"'(=:])/work/`), "a path of one machine"},
	{regexp.MustCompile(`(?i)\b(copi` + `lot|chat` + `gpt|cla` + `ude|language mod` + `el)\b`), "who typed it is no part of the text"},
}

func checkProse(t *Tree) []Problem {
	var ps []Problem
	for _, p := range t.paths() {
		if p == "LICENSE" || p == "go.sum" || strings.Contains(p, "testdata/fuzz/") || p == "internal/lint/lint_test.go" || strings.Contains(t.Texts[p], "\x00") {
			continue // not ours, or no prose: a picture
		}
		for i, line := range strings.Split(t.Texts[p], "\n") {
			for _, u := range unfit {
				if m := u.form.FindString(line); m != "" {
					ps = append(ps, Problem{fmt.Sprintf("%s:%d", p, i+1), fmt.Sprintf("%q: %s", strings.TrimSpace(m), u.why)})
				}
			}
		}
	}
	return ps
}

// Hard limits; the aim is 400 lines a file and 60 a function.
const (
	maxFile     = 500
	maxFunction = 100
	maxMakefile = 80
	maxExample  = 100
)

func checkSize(t *Tree) []Problem {
	var ps []Problem
	over := func(p string, max int) {
		if n := strings.Count(t.Texts[p], "\n"); n > max {
			ps = append(ps, Problem{p, fmt.Sprintf("%d lines, at most %d", n, max)})
		}
	}
	for _, p := range t.paths() {
		switch {
		case path.Base(p) == "Makefile":
			over(p, maxMakefile)
		case within(path.Dir(p), "examples") && path.Base(p) == "main.go":
			over(p, maxExample)
		case path.Ext(p) == ".go":
			over(p, maxFile)
		}
	}
	for _, f := range t.Files {
		for _, d := range f.AST.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if n := t.Fset.Position(fn.End()).Line - t.Fset.Position(fn.Pos()).Line + 1; n > maxFunction {
				ps = append(ps, t.at(fn, "%s has %d lines, at most %d", fn.Name.Name, n, maxFunction))
			}
		}
	}
	return ps
}
