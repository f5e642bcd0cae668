package lint

import (
	"go/ast"
	"regexp"
	"sort"
	"strings"
)

// checkAtomics forbids the functions of sync/atomic outside shm, where the
// named operations are made of them; its types are welcome.
func checkAtomics(t *Tree) []Problem {
	var ps []Problem
	untyped := regexp.MustCompile(`^(Load|Store|Add|And|Or|Swap|CompareAndSwap)[A-Z]`)
	for _, f := range t.Files {
		if f.Dir == "shm" {
			continue
		}
		ast.Inspect(f.AST, func(n ast.Node) bool {
			if e, ok := n.(ast.Expr); ok {
				if name, ok := selectorOf(e, "atomic"); ok && untyped.MatchString(name) {
					ps = append(ps, t.at(n, "atomic.%s: use a type of sync/atomic, or shm's operations on shared words", name))
				}
			}
			return true
		})
	}
	return ps
}

var (
	syncMark = regexp.MustCompile(`sync\(([a-zA-Z][a-zA-Z0-9.-]*)\)([:,]?)`)
	pairing  = regexp.MustCompile(`\bpairs?\s+with\b`)
	wordOp   = regexp.MustCompile(`^(Load|Store|CompareAndSwap|Add|Or|And|Swap)$`)
)

// checkSync wants each comment "sync(name): what, pairs with whom" to have its
// partner: each name occurs at least twice and says once with whom it pairs.
// Each function of ring that touches a shared word must carry such a comment.
func checkSync(t *Tree) []Problem {
	var ps []Problem
	count, paired, first := map[string]int{}, map[string]bool{}, map[string]ast.Node{}
	for _, f := range t.Files {
		if f.Dir == "internal/lint" {
			continue // it talks about the form
		}
		for _, g := range f.AST.Comments {
			for _, c := range g.List {
				for _, m := range syncMark.FindAllStringSubmatch(c.Text, -1) {
					name := m[1]
					count[name]++
					paired[name] = paired[name] || pairing.MatchString(g.Text())
					if first[name] == nil {
						first[name] = c
					}
					if m[2] == "" {
						ps = append(ps, t.at(c, "write it as // sync(%s): what, pairs with whom", name))
					}
				}
			}
		}
	}
	names := make([]string, 0, len(count))
	for n := range count {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		switch {
		case count[n] < 2:
			ps = append(ps, t.at(first[n], "sync(%s) occurs once: its partner has no comment", n))
		case !paired[n]:
			ps = append(ps, t.at(first[n], "sync(%s) nowhere says with whom it pairs", n))
		}
	}
	return append(ps, checkWords(t)...)
}

// checkWords finds the fields of package ring that are shared words, by their
// declared type, and the functions that use them without saying with whom.
func checkWords(t *Tree) []Problem {
	var ps []Problem
	words := map[string]bool{}
	for _, f := range t.dirs()["ring"] {
		for _, d := range f.AST.Decls {
			if g, ok := d.(*ast.GenDecl); ok {
				collectWords(g, words)
			}
		}
	}
	for _, f := range t.dirs()["ring"] {
		if f.Test {
			continue
		}
		for _, d := range f.AST.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			word := ""
			ast.Inspect(fn.Body, func(n ast.Node) bool {
				if call, ok := n.(*ast.CallExpr); ok {
					if s, ok := call.Fun.(*ast.SelectorExpr); ok && wordOp.MatchString(s.Sel.Name) && words[lastName(s.X)] {
						word = lastName(s.X)
					}
				}
				return true
			})
			if word != "" && !t.hasComment(f, fn, "sync(") {
				ps = append(ps, t.at(fn, "%s uses the shared word %s without // sync(name): pairs with …", fn.Name.Name, word))
			}
		}
	}
	return ps
}

// collectWords adds the fields that are shared words. A field, or a whole
// struct, whose own comment says sync(name) needs none at each access:
// counters with one writer, words that are written once.
func collectWords(g *ast.GenDecl, words map[string]bool) {
	for _, spec := range g.Specs {
		ts, ok := spec.(*ast.TypeSpec)
		if !ok || marked(g.Doc) || marked(ts.Doc) {
			continue
		}
		s, ok := ts.Type.(*ast.StructType)
		if !ok {
			continue
		}
		for _, fld := range s.Fields.List {
			for _, name := range fld.Names {
				words[name.Name] = words[name.Name] || isWord(fld.Type) && !marked(fld.Doc) && !marked(fld.Comment)
			}
		}
	}
}

func marked(g *ast.CommentGroup) bool { return g != nil && strings.Contains(g.Text(), "sync(") }

// isWord reports whether a type is shm.Word32, shm.Word64 or an array of one.
// A pointer to one is usually private to the process.
func isWord(e ast.Expr) bool {
	if a, ok := e.(*ast.ArrayType); ok {
		return isWord(a.Elt)
	}
	name, ok := selectorOf(e, "shm")
	return ok && (name == "Word32" || name == "Word64")
}
