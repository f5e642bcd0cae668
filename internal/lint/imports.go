package lint

import (
	"fmt"
	"path"
	"strconv"
	"strings"
)

const (
	xsys       = "golang.org/x/sys"
	mmap       = "github.com/edsrzf/mmap-go"
	cobra      = "github.com/spf13/cobra"
	histogram  = "github.com/HdrHistogram/hdrhistogram-go"
	rapid      = "pgregory.net/rapid"
	prometheus = "github.com/prometheus"
	protobuf   = "google.golang.org/protobuf"
	bubbletea  = "charm.land/bubbletea/v2"
	terminal   = "github.com/charmbracelet/x/term"
	porcupine  = "github.com/anishathalye/porcupine"
	schema     = "github.com/santhosh-tekuri/jsonschema/v6"
	script     = "github.com/rogpeppe/go-internal"
)

// node says what the package at Dir, and all below it, may import besides the
// standard library and itself.
type node struct {
	Dir    string
	Ours   []string // packages of this module, with all below them
	Others []string // modules
	Tests  []string // what its tests may import besides: ours or modules
	Reason string
}

// graph is the import graph. The node with the longest Dir that holds a
// package applies.
var graph = []node{
	{
		Dir: "shm", Ours: []string{"internal/failpoint", "internal/trick"}, Others: []string{xsys, mmap}, Tests: []string{rapid},
		Reason: "shm is memory and system calls: it knows no ring, no name and no process",
	},
	{
		Dir: "ring", Ours: []string{"shm", "internal/failpoint", "internal/invariants", "internal/trick"}, Tests: []string{rapid},
		Reason: "a ring has no names, no sockets and no pids, so that it runs the same over heap memory and can be modelled",
	},
	{
		Dir: "control", Ours: []string{"shm", "ring", "internal/failpoint", "internal/invariants"}, Others: []string{xsys}, Tests: []string{rapid},
		Reason: "the host serves a bus to anybody: it must not depend on what users see",
	},
	{
		Dir: "bus", Ours: []string{"shm", "ring", "control", "internal/failpoint", "internal/invariants"}, Tests: []string{"bustest", rapid, xsys},
		Reason: "whoever imports bus gets memory and sockets, not a metrics library",
	},
	{
		Dir: "bustest", Ours: []string{"bus"}, Others: []string{xsys},
		Reason: "users' tests see what users see",
	},
	{
		Dir: "metrics", Ours: []string{"bus", "ring"}, Others: []string{prometheus, protobuf}, Tests: []string{"bustest"},
		Reason: "the only home of client_golang: it reads the regions, nothing depends on it but the command",
	},
	{
		Dir: "cmd", Ours: []string{"bus", "control", "ring", "shm", "metrics", "web", "bench", "internal/failpoint", "internal/watch", "internal/top"}, Others: []string{cobra, histogram, xsys}, Tests: []string{script, "bustest"},
		Reason: "the one binary joins all rooms; nothing imports it",
	},
	{
		Dir: "examples", Ours: []string{"bus", "metrics"}, Tests: []string{"bustest", "examples"},
		Reason: "an example that needs more than bus shows that bus lacks something",
	},
	{
		Dir: "internal/failpoint", Others: []string{xsys},
		Reason: "every room may name its failpoints, so failpoint may know none",
	},
	{
		Dir: "internal", Ours: []string{"internal/failpoint", "internal/invariants"}, Others: []string{xsys},
		Reason: "helpers of tests and builds stand below the rooms that use them",
	},
	{
		Dir: "internal/watch", Ours: []string{"bus", "ring"},
		Reason: "what people are shown is what an observer reads",
	},
	{
		Dir: "internal/top", Ours: []string{"internal/watch"}, Others: []string{bubbletea, terminal},
		Reason: "the screen shows snapshots, wherever they come from",
	},
	{
		Dir: "web", Ours: []string{"bus", "internal/watch"}, Tests: []string{"bustest", schema, "metrics"},
		Reason: "the bridge is an ordinary participant: what it may do, any may",
	},
	{
		Dir: "internal/steps", Ours: []string{"ring", "shm"}, Others: []string{xsys},
		Reason: "who is killed between two instructions is a participant of a ring, and nothing above it",
	},
	{
		Dir: "internal/storm", Ours: []string{"internal/storm", "bus", "control", "ring", "internal/failpoint"}, Others: []string{xsys},
		Reason: "the storm uses the bus as users do, and asks the kernel who holds its lock",
	},
	{
		Dir: "internal/hostile", Ours: []string{"bus", "bustest", "control", "ring", "shm"}, Others: []string{xsys},
		Reason: "an attacker stands outside, beside a bus that is used as users do",
	},
	{
		Dir: "internal/histories", Ours: []string{"bus", "bustest"}, Others: []string{porcupine},
		Reason: "what is recorded is what users see",
	},
	{
		Dir: "model", Ours: []string{"model"},
		Reason: "a model that shared code with what it checks would share its mistakes",
	},
	{
		Dir: "bench", Ours: []string{"bench", "bus", "bustest", "ring", "shm", "internal/trick"}, Others: []string{histogram, xsys},
		Reason: "benchmarks measure the library from outside and below",
	},
}

func checkImports(t *Tree) []Problem {
	var ps []Problem
	for _, f := range t.Files {
		if t.ownModule(f.Dir) {
			continue // its go.mod says what it needs
		}
		n := nodeOf(f.Dir)
		if n == nil {
			ps = append(ps, Problem{f.Path, "package is not in the import graph (internal/lint/imports.go)"})
			continue
		}
		for _, spec := range f.AST.Imports {
			p, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				continue
			}
			switch {
			case p == "C":
				ps = append(ps, t.at(spec, "imports C: no cgo anywhere"))
			case !n.allows(p, f):
				ps = append(ps, t.at(spec, "%s may not import %s: %s", f.Dir, p, n.Reason))
			}
		}
	}
	return append(ps, checkModules(t)...)
}

// ownModule reports whether dir lies in a module other than the root's.
func (t *Tree) ownModule(dir string) bool {
	for ; dir != "."; dir = path.Dir(dir) {
		if t.Texts[dir+"/go.mod"] != "" {
			return true
		}
	}
	return false
}

func nodeOf(dir string) *node {
	var best *node
	for i := range graph {
		if within(dir, graph[i].Dir) && (best == nil || len(graph[i].Dir) > len(best.Dir)) {
			best = &graph[i]
		}
	}
	return best
}

func (n *node) allows(p string, f *File) bool {
	if first, _, _ := strings.Cut(p, "/"); !strings.Contains(first, ".") {
		return true // the standard library
	}
	ours, isOurs := strings.CutPrefix(p, Module+"/")
	if isOurs && within(ours, f.Dir) {
		return true
	}
	any := func(list []string, name string) bool {
		for _, l := range list {
			if within(name, l) {
				return true
			}
		}
		return false
	}
	name := p
	if isOurs {
		name = ours
	}
	if any(n.Ours, name) && isOurs || any(n.Others, name) && !isOurs {
		return true
	}
	return f.Test && (any(n.Tests, name) || isOurs && within(ours, "internal"))
}

// checkModules wants the reason for each direct dependency written down.
func checkModules(t *Tree) []Problem {
	mod, reasons := t.Texts["go.mod"], t.Texts["docs/dependencies.md"]
	if mod == "" {
		return nil
	}
	var ps []Problem
	for i, line := range strings.Split(mod, "\n") {
		fields := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require "))
		if len(fields) < 2 || !strings.HasPrefix(fields[1], "v") || strings.Contains(line, "// indirect") {
			continue
		}
		if !strings.Contains(reasons, fields[0]) {
			ps = append(ps, Problem{fmt.Sprintf("go.mod:%d", i+1), fields[0] + " has no reason in docs/dependencies.md"})
		}
	}
	return ps
}
