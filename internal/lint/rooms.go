package lint

import (
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// rooms are the directories that may hold files, each with all below it.
var rooms = []string{
	".ci", "bench", "bus", "bustest", "cmd/shmbus", "control", "dashboards", "docs", "examples", "metrics", "model", "packaging", "ring", "shm", "web",
	"internal/failpoint", "internal/histories", "internal/hostile", "internal/mutants", "internal/invariants", "internal/lint", "internal/process", "internal/steps", "internal/storm", "internal/tools", "internal/top", "internal/trick", "internal/watch",
}

// rootFiles are the files that may stand at the root.
var rootFiles = map[string]bool{
	".gitignore": true, "go.mod": true, "go.sum": true, "LICENSE": true, "Makefile": true,
	"README.md": true, "SECURITY.md": true, "CHANGELOG.md": true, "CONTRIBUTING.md": true,
}

var vagueName = regexp.MustCompile(`^(utils?|commons?|helpers?|misc|base|lib|stuff)(_test|_linux|_other)*$`)

func checkRooms(t *Tree) []Problem {
	var ps []Problem
	for _, p := range t.paths() {
		dir := path.Dir(p)
		if dir == "." {
			if !rootFiles[p] {
				ps = append(ps, Problem{p, "does not belong at the root"})
			}
			continue
		}
		ok := false
		for _, r := range rooms {
			ok = ok || within(dir, r)
		}
		if !ok {
			ps = append(ps, Problem{p, "lies in no room (internal/lint/rooms.go)"})
		}
		for _, part := range append(strings.Split(dir, "/"), strings.TrimSuffix(path.Base(p), ".go")) {
			if vagueName.MatchString(part) {
				ps = append(ps, Problem{p, part + " says nothing about what is inside"})
			}
		}
	}
	return ps
}

// checkPackages wants a doc.go in each library package, sentinels in errors.go
// that begin with the package's name, and nothing exported without a comment.
func checkPackages(t *Tree) []Problem {
	var ps []Problem
	for dir, files := range t.dirs() {
		if within(dir, "examples") || files[0].AST.Name.Name == "main" {
			continue
		}
		documented, code := false, false
		for _, f := range files {
			if f.Test {
				continue
			}
			code = true
			documented = documented || f.Base == "doc.go" && f.AST.Doc != nil
			ps = append(ps, checkSentinels(t, f)...)
			ps = append(ps, checkComments(t, f)...)
		}
		if code && !documented {
			ps = append(ps, Problem{dir, "has no doc.go with a package comment"})
		}
	}
	return ps
}

func checkSentinels(t *Tree, f *File) []Problem {
	var ps []Problem
	for _, d := range f.AST.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.VAR {
			continue
		}
		for _, s := range g.Specs {
			v := s.(*ast.ValueSpec)
			for i, name := range v.Names {
				if !name.IsExported() || !strings.HasPrefix(name.Name, "Err") || i >= len(v.Values) {
					continue
				}
				call, ok := v.Values[i].(*ast.CallExpr)
				if !ok || len(call.Args) == 0 {
					continue // another package's sentinel under this package's name
				}
				if f.Base != "errors.go" {
					ps = append(ps, t.at(name, "%s belongs in errors.go", name.Name))
				}
				lit, ok := call.Args[0].(*ast.BasicLit)
				if !ok {
					continue
				}
				if text, err := strconv.Unquote(lit.Value); err == nil && !strings.HasPrefix(text, f.AST.Name.Name+": ") {
					ps = append(ps, t.at(lit, "the text of %s begins with %q", name.Name, f.AST.Name.Name+": "))
				}
			}
		}
	}
	return ps
}

// selfEvident are methods whose meaning is that of their interface.
var selfEvident = map[string]bool{"Error": true, "String": true, "Unwrap": true, "Is": true, "Len": true, "Less": true, "Swap": true}

func checkComments(t *Tree, f *File) []Problem {
	var ps []Problem
	missing := func(n ast.Node, name string) {
		ps = append(ps, t.at(n, "exported %s has no comment", name))
	}
	for _, d := range f.AST.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && d.Doc == nil && !selfEvident[d.Name.Name] && (d.Recv == nil || ast.IsExported(receiver(d))) {
				missing(d, d.Name.Name)
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				switch s := s.(type) {
				case *ast.TypeSpec:
					if s.Name.IsExported() && d.Doc == nil && s.Doc == nil {
						missing(s, s.Name.Name)
					}
				case *ast.ValueSpec:
					if s.Names[0].IsExported() && d.Doc == nil && s.Doc == nil && s.Comment == nil {
						missing(s, s.Names[0].Name)
					}
				}
			}
		}
	}
	return ps
}

// receiver returns the name of a method's receiver type.
func receiver(d *ast.FuncDecl) string {
	switch e := d.Recv.List[0].Type.(type) {
	case *ast.StarExpr:
		return lastName(e.X)
	default:
		return lastName(e)
	}
}
