package lint

import (
	"strings"
	"testing"
)

func TestRepository(t *testing.T) {
	root, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	tree, err := Load(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(tree.Files) < 10 {
		t.Fatalf("only %d Go files found under %s", len(tree.Files), root)
	}
	for _, r := range Rules {
		t.Run(r.Name, func(t *testing.T) {
			for _, p := range r.Check(tree) {
				t.Errorf("%s\n\t(%s)", p, r.Reason)
			}
		})
	}
}

// TestRules shows each rule a text that breaks it and one that does not.
func TestRules(t *testing.T) {
	const doc = "// Package p is documented.\npackage p\n"
	tests := []struct {
		rule, path, bad, good string
	}{
		{"imports", "ring/x.go", `package ring; import _ "github.com/shmbus/shmbus/control"`, `package ring; import _ "github.com/shmbus/shmbus/shm"`},
		{"imports", "bus/x.go", `package bus; import _ "github.com/prometheus/client_golang/prometheus"`, `package bus; import _ "github.com/shmbus/shmbus/control"`},
		{"imports", "shm/x.go", `package shm; import "C"`, `package shm; import _ "golang.org/x/sys/unix"`},
		{"imports", "ring/x.go", `package ring; import _ "pgregory.net/rapid"`, `package ring; import _ "os"`},
		{"imports", "nowhere/x.go", `package nowhere`, ``},
		{"imports", "go.mod", "require example.org/m v1.0.0\n", "require example.org/m v1.0.0 // indirect\n"},
		{"rooms", "pkg/x.go", `package pkg`, ``},
		{"rooms", "ring/util.go", `package ring`, ``},
		{"rooms", "notes.md", `notes`, ``},
		{"documents", "ring/x.go", `package ring`, ``},
		{"documents", "ring/doc.go", "package ring", doc},
		{"documents", "ring/doc.go", doc + `import "errors"` + "\n// ErrX is.\nvar ErrX = errors.New(\"ring: x\")", doc},
		{"documents", "ring/doc.go", doc + "func F() {}", doc + "// F does.\nfunc F() {}"},
		{"unsafe", "ring/x.go", `package ring; import "unsafe"; var _ unsafe.Pointer`, `package ring`},
		{"unsafe", "ring/layout.go", `package ring; import "unsafe"; var _ unsafe.Pointer`, `package ring; import "unsafe"; const _ = unsafe.Sizeof(1)`},
		{"unsafe", "shm/x_unsafe.go", "package shm\nimport \"unsafe\"\nfunc f(p *int) unsafe.Pointer { return unsafe.Pointer(p) }",
			"package shm\nimport \"unsafe\"\nfunc f(p *int) unsafe.Pointer { return unsafe.Pointer(p) } // Safe: only looked at"},
		{"unsafe", "ring/x.s", "TEXT", ""},
		{"unsafe", "shm/x.go", "package shm\n//go:linkname a b\nfunc a()", "package shm"},
		{"shared-structs", "ring/layout.go", `package ring; import "structs"; type header struct { _ structs.HostLayout; n int }`,
			`package ring; import "structs"; type header struct { _ structs.HostLayout; n uint64; a [2]uint32 }`},
		{"shared-structs", "ring/layout.go", `package ring; type header struct { n uint64 }; var _ = shm.Overlay[header](nil, 0)`,
			`package ring; type header struct { n uint64 }`},
		{"atomics", "ring/x.go", `package ring; import "sync/atomic"; var n uint64; var _ = atomic.LoadUint64(&n)`, `package ring; import "sync/atomic"; var n atomic.Uint64`},
		{"sync", "ring/x.go", "package ring\n// sync(lonely): release, pairs with nobody", "package ring\n// sync(two): release, pairs with acquire\n\n// sync(two): acquire, pairs with release"},
		{"sync", "ring/x.go", "package ring\n// sync(two) release\n\n// sync(two): acquire, pairs with release", "package ring"},
		{"sync", "ring/x.go", "package ring\ntype h struct { bias shm.Word64 }\nfunc f(x *h) { x.bias.Store(1) }",
			"package ring\ntype h struct { bias shm.Word64 }\n// sync(bias): pairs with f\nfunc f(x *h) {\n\tx.bias.Store(1) // sync(bias): release, pairs with f\n}"},
		{"positions", "ring/x.go", `package ring; func f(tail, n uint64) bool { return tail < n }`, `package ring; func f(tail, n uint64) bool { return before(tail, n) }`},
		{"positions", "ring/x.go", `package ring; func f(r struct{ gating uint64 }, n uint64) bool { return n >= uint64(r.gating) }`, `package ring; func f(tail uint64) bool { return tail == 0 }`},
		{"sleep", "ring/x_test.go", `package ring; import "time"; func f() { time.Sleep(1) }`, `package ring; import "time"; func f() { time.Now() }`},
		{"vocabulary", "bus/x.go", `package bus; func SendMessage() {}`, `package bus; func Publish() {}`},
		{"vocabulary", "ring/x.go", `package ring; type T struct{ QueueLength int }`, `package ring; type T struct{ Length int }`},
		{"prose", "docs/x.md", "see issue 12", "see the reasons above"},
		{"prose", "docs/x.md", "see DES" + "IGN.md", "see docs/architecture.md"},
		{"prose", "ring/x.go", "package ring // TO" + "DO", "package ring"},
		{"size", "Makefile", strings.Repeat("\n", 81), strings.Repeat("\n", 80)},
		{"size", "ring/x.go", "package ring\nfunc f() {" + strings.Repeat("\n", 100) + "}", "package ring"},
	}
	for _, tt := range tests {
		problems := func(text string) []Problem {
			tree, err := Parse(map[string]string{tt.path: text})
			if err != nil {
				t.Fatalf("%s: %v", tt.path, err)
			}
			return ruleNamed(t, tt.rule).Check(tree)
		}
		if got := problems(tt.bad); len(got) == 0 {
			t.Errorf("%s finds nothing in %s: %.80q", tt.rule, tt.path, tt.bad)
		}
		if tt.good == "" {
			continue
		}
		if got := problems(tt.good); len(got) != 0 {
			t.Errorf("%s complains of %s: %.80q: %v", tt.rule, tt.path, tt.good, got)
		}
	}
}

func ruleNamed(t *testing.T, name string) Rule {
	for _, r := range Rules {
		if r.Name == name {
			return r
		}
	}
	t.Fatalf("no rule %s", name)
	return Rule{}
}
