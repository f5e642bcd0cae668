package lint

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
)

// Module is the import path of the repository's root.
const Module = "github.com/shmbus/shmbus"

// Tree is the text of a repository and the syntax of its Go files.
type Tree struct {
	Fset  *token.FileSet
	Texts map[string]string // every text file, by slash-separated path
	Files []*File           // every Go file, sorted by path
}

// File is one Go file.
type File struct {
	Path string // slash-separated, from the root
	Dir  string // of Path; "." at the root
	Base string
	Test bool // _test.go
	AST  *ast.File
}

// Problem is one offence against a rule.
type Problem struct {
	Where string // path or path:line
	What  string
}

func (p Problem) String() string { return p.Where + ": " + p.What }

// Rule is one house rule.
type Rule struct {
	Name   string
	Reason string
	Check  func(*Tree) []Problem
}

// Rules are all rules, in the order in which they are run.
var Rules = []Rule{
	{"imports", "the import graph is the design: see the reason beside each package", checkImports},
	{"rooms", "a file that has no room has no owner, and a package called util has no purpose", checkRooms},
	{"documents", "each package states its purpose and contract in doc.go; errors are found in errors.go", checkPackages},
	{"unsafe", "all unsafe code fits one review: shm/*_unsafe*.go, shm/*.s, ring/short_amd64.s and layout.go", checkUnsafe},
	{"shared-structs", "two builds of the program must agree on every byte", checkSharedStructs},
	{"atomics", "untyped atomics let one word be accessed plainly and atomically", checkAtomics},
	{"sync", "an atomic access without its partner cannot be reviewed", checkSync},
	{"positions", "positions wrap: only ring/position.go may compare them", checkPositions},
	{"sleep", "a test that sleeps to synchronise is slow on every run and wrong on some", checkSleep},
	{"vocabulary", "one thing, one word", checkVocabulary},
	{"prose", "the text must make sense to a reader who has only the repository", checkProse},
	{"size", "what does not fit a screen or two is not read", checkSize},
}

// Root returns the directory of go.mod at or above the working directory.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if parent := filepath.Dir(dir); parent != dir {
			dir = parent
			continue
		}
		return "", fmt.Errorf("lint: no go.mod at or above the working directory")
	}
}

// Load reads the repository at root. What git ignores by name is skipped.
func Load(root string) (*Tree, error) {
	texts := map[string]string{}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		switch {
		case d.IsDir() && (rel == ".git" || rel == "bin" || d.Name() == "__pycache__"):
			return filepath.SkipDir
		case d.IsDir() || !d.Type().IsRegular():
			return nil
		case strings.HasSuffix(rel, ".test") || strings.HasSuffix(rel, ".prof") || strings.HasSuffix(rel, ".out"):
			return nil
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		texts[rel] = string(b)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return Parse(texts)
}

// Parse makes a Tree of texts by path.
func Parse(texts map[string]string) (*Tree, error) {
	t := &Tree{Fset: token.NewFileSet(), Texts: texts}
	for p, text := range texts {
		if path.Ext(p) != ".go" || strings.Contains(p, "testdata/") {
			continue
		}
		f, err := parser.ParseFile(t.Fset, p, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		t.Files = append(t.Files, &File{
			Path: p, Dir: path.Dir(p), Base: path.Base(p),
			Test: strings.HasSuffix(p, "_test.go"), AST: f,
		})
	}
	sort.Slice(t.Files, func(i, j int) bool { return t.Files[i].Path < t.Files[j].Path })
	return t, nil
}

// at is a problem at a node.
func (t *Tree) at(n ast.Node, format string, args ...any) Problem {
	pos := t.Fset.Position(n.Pos())
	return Problem{fmt.Sprintf("%s:%d", pos.Filename, pos.Line), fmt.Sprintf(format, args...)}
}

// paths returns the paths of all texts, sorted.
func (t *Tree) paths() []string {
	ps := make([]string, 0, len(t.Texts))
	for p := range t.Texts {
		ps = append(ps, p)
	}
	sort.Strings(ps)
	return ps
}

// dirs returns the Go files by directory.
func (t *Tree) dirs() map[string][]*File {
	m := map[string][]*File{}
	for _, f := range t.Files {
		m[f.Dir] = append(m[f.Dir], f)
	}
	return m
}

// within reports whether dir is room or lies below it.
func within(dir, room string) bool {
	return dir == room || strings.HasPrefix(dir, room+"/")
}

// lastName returns the last identifier of an operand: x in x, a.x, a.x[i],
// a.x(), uint64(a.x) and &a.x; "" if it has none.
func lastName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	case *ast.IndexExpr:
		return lastName(e.X)
	case *ast.ParenExpr:
		return lastName(e.X)
	case *ast.StarExpr:
		return lastName(e.X)
	case *ast.UnaryExpr:
		return lastName(e.X)
	case *ast.CallExpr:
		if len(e.Args) == 1 {
			if id, ok := e.Fun.(*ast.Ident); ok && (id.Name == "uint64" || id.Name == "int64" || id.Name == "uint32") {
				return lastName(e.Args[0])
			}
		}
		if s, ok := e.Fun.(*ast.SelectorExpr); ok && s.Sel.Name == "Load" {
			return lastName(s.X)
		}
		return lastName(e.Fun)
	}
	return ""
}

// selectorOf reports whether e is pkg.Name, and returns Name.
func selectorOf(e ast.Expr, pkg string) (string, bool) {
	s, ok := e.(*ast.SelectorExpr)
	if !ok {
		return "", false
	}
	id, ok := s.X.(*ast.Ident)
	return s.Sel.Name, ok && id.Name == pkg
}
