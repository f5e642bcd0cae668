//go:build unix

// Docstest runs what documents show. Every fenced block says in its info
// string what it is:
//
//	sh        a script: it must exit 0
//	console   commands after "$ " (continued after "> "), each followed by what
//	          it prints; it must exit 0 and print that, where "..." stands for
//	          anything within a line and a line of "..." for any lines
//	go        a whole program, or a test file: it must build, vet and run
//	python    a whole program: it must run
//	text, c, json, ini, systemd: only to be read
//
// The attribute in=repo runs a block in the repository with the caller's
// environment; all others run in a scratch directory of the document's own,
// with a bus directory of its own and the built program first on PATH. What a
// block leaves running goes on until its document ends. A block with no info
// string is a mistake, and so is a relative link to nothing.
//
// Usage: docstest [-bin DIR] [-v] FILE...
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	bin := flag.String("bin", "bin", "directory of the programs under test")
	verbose := flag.Bool("v", false, "show what blocks print")
	flag.Parse()
	passed, failed := 0, 0
	for _, name := range flag.Args() {
		p, f := document(name, *bin, *verbose)
		passed, failed = passed+p, failed+f
	}
	fmt.Printf("%d passed, %d failed\n", passed, failed)
	if failed > 0 || passed == 0 {
		os.Exit(1)
	}
}

// document runs the blocks of one file in order.
func document(name, bin string, verbose bool) (passed, failed int) {
	text, err := os.ReadFile(name)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 0, 1
	}
	complain := func(line int, err error) {
		fmt.Printf("FAIL %s:%d: %v\n", name, line, err)
		failed++
	}
	for _, bad := range brokenLinks(string(text), filepath.Dir(name)) {
		complain(bad.line, fmt.Errorf("link to nothing: %s", bad.target))
	}
	blocks, err := fences(string(text))
	if err != nil {
		complain(0, err)
		return passed, failed
	}
	stage, err := newStage(bin)
	if err != nil {
		complain(0, err)
		return passed, failed
	}
	defer stage.close()
	for _, b := range blocks {
		out, err := stage.run(b)
		switch {
		case err != nil:
			complain(b.line, err)
			os.Stdout.Write(indent(out))
		case b.runs():
			passed++
			fmt.Printf("ok   %s:%d: %s\n", name, b.line, b.kind)
			if verbose {
				os.Stdout.Write(indent(out))
			}
		}
	}
	return passed, failed
}
