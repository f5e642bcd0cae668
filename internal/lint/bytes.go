package lint

import (
	"go/ast"
	"path"
	"regexp"
	"strings"
)

// checkUnsafe keeps unsafe and assembly at home. Elsewhere layout.go may take
// sizes and offsets, and nothing else. The programs of bench/peers are no part
// of ours.
func checkUnsafe(t *Tree) []Problem {
	var ps []Problem
	for _, p := range t.paths() {
		if ext := path.Ext(p); (ext == ".s" || ext == ".c" || ext == ".S") && path.Dir(p) != "shm" && path.Dir(p) != "bench/peers" && p != "ring/short_amd64.s" {
			ps = append(ps, Problem{p, "assembly lives in shm, and in ring/short_amd64.s, C with the peers of the benchmarks"})
		}
		if path.Ext(p) == ".go" && regexp.MustCompile(`(?m)^//go:linkname`).MatchString(t.Texts[p]) {
			ps = append(ps, Problem{p, "linkname is forbidden"})
		}
	}
	for _, f := range t.Files {
		home := f.Dir == "shm" && strings.Contains(f.Base, "_unsafe")
		ast.Inspect(f.AST, func(n ast.Node) bool {
			e, ok := n.(ast.Expr)
			if !ok {
				return true
			}
			name, ok := selectorOf(e, "unsafe")
			if !ok {
				return true
			}
			measures := name == "Sizeof" || name == "Offsetof" || name == "Alignof"
			if !home && !(measures && (f.Base == "layout.go" || f.Base == "layout_test.go")) {
				ps = append(ps, t.at(n, "unsafe.%s outside its home", name))
			}
			return true
		})
		if home {
			ps = append(ps, checkSafeLines(t, f)...)
		}
	}
	return ps
}

// checkSafeLines wants a "// Safe:" comment in every function that casts.
func checkSafeLines(t *Tree, f *File) []Problem {
	var ps []Problem
	for _, d := range f.AST.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Body == nil {
			continue
		}
		casts := false
		ast.Inspect(fn.Body, func(n ast.Node) bool {
			if e, ok := n.(ast.Expr); ok {
				name, ok := selectorOf(e, "unsafe")
				casts = casts || ok && (name == "Pointer" || name == "Slice" || name == "Add" || name == "String")
			}
			return true
		})
		if casts && !t.hasComment(f, fn, "Safe: ") {
			ps = append(ps, t.at(fn, "%s casts without a line // Safe: that says why it may", fn.Name.Name))
		}
	}
	return ps
}

// hasComment reports whether a comment of fn, or its doc, contains text.
func (t *Tree) hasComment(f *File, fn *ast.FuncDecl, text string) bool {
	start := fn.Pos()
	if fn.Doc != nil {
		start = fn.Doc.Pos()
	}
	line := t.Fset.Position(fn.End()).Line // a one-line function may carry it behind
	for _, g := range f.AST.Comments {
		for _, c := range g.List {
			if c.Pos() >= start && t.Fset.Position(c.Pos()).Line <= line && strings.Contains(c.Text, text) {
				return true
			}
		}
	}
	return false
}

var fixedWidth = regexp.MustCompile(`^(u?int(8|16|32|64)|byte|HostLayout|Word32|Word64)$`)

// checkSharedStructs looks at every struct that says it is shared, by its
// first field or by standing under an overlay, and at each of its fields.
func checkSharedStructs(t *Tree) []Problem {
	var ps []Problem
	for _, files := range t.dirs() {
		structs, shared := map[string]*ast.StructType{}, map[string]bool{}
		owner := map[string]*ast.TypeSpec{}
		for _, f := range files {
			ast.Inspect(f.AST, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.TypeSpec:
					if s, ok := n.Type.(*ast.StructType); ok {
						structs[n.Name.Name], owner[n.Name.Name] = s, n
						shared[n.Name.Name] = shared[n.Name.Name] || isHostLayout(s)
					}
				case *ast.IndexExpr:
					if fn, ok := selectorOf(n.X, "shm"); ok && (fn == "Overlay" || fn == "Ref") {
						shared[lastName(n.Index)] = true
					}
				}
				return true
			})
		}
		for name := range shared {
			s := structs[name]
			if s == nil || !shared[name] {
				continue
			}
			if !isHostLayout(s) {
				ps = append(ps, t.at(owner[name], "%s is shared: its first field is _ structs.HostLayout", name))
			}
			for _, fld := range s.Fields.List {
				if bad := notFixed(fld.Type, structs, shared); bad != "" {
					ps = append(ps, t.at(fld, "%s is shared: %s is not of fixed width", name, bad))
				}
			}
		}
	}
	return ps
}

func isHostLayout(s *ast.StructType) bool {
	if len(s.Fields.List) == 0 {
		return false
	}
	name, ok := selectorOf(s.Fields.List[0].Type, "structs")
	return ok && name == "HostLayout"
}

// notFixed returns the name of a type whose width depends on the build or that
// holds a pointer, or "".
func notFixed(e ast.Expr, structs map[string]*ast.StructType, shared map[string]bool) string {
	switch e := e.(type) {
	case *ast.ArrayType:
		if e.Len == nil {
			return "a slice"
		}
		return notFixed(e.Elt, structs, shared)
	case *ast.Ident, *ast.SelectorExpr:
		name := lastName(e)
		if fixedWidth.MatchString(name) || structs[name] != nil && shared[name] {
			return ""
		}
		return name
	default:
		return "its type"
	}
}
