// Command mutants takes the defences of shmbus away, one at a time, and runs
// the test that must notice.
//
//	go run ./internal/mutants [-run REGEXP] [-v]
//
// A defence is a piece of source text and what stands there without it
// (defences.go). The tree is not touched: the compiler is told to read the
// changed file in place of the one that is there (go test -overlay). It prints
// a table, and exits with 1 if a test stays green without its defence, or if the text
// is not there exactly once any more.
package main

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"
)

func main() {
	only := flag.String("run", "", "only the mutants whose name matches")
	verbose := flag.Bool("v", false, "show what the tests print")
	flag.Parse()
	chosen, err := regexp.Compile(*only)
	if err != nil {
		fmt.Fprintf(os.Stderr, "mutants: -run: %v\n", err)
		os.Exit(2)
	}
	if err := run(chosen, *verbose); err != nil {
		fmt.Fprintf(os.Stderr, "mutants: %v\n", err)
		os.Exit(1)
	}
}

// run tries the chosen mutants and prints how each fared.
func run(chosen *regexp.Regexp, verbose bool) error {
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	tried := 0
	var survivors []string
	for _, d := range defences {
		if !chosen.MatchString(d.name) {
			continue
		}
		tried++
		began := time.Now()
		out, fate := d.try(root)
		fmt.Printf("%-9s %-44s %-60s %5.1fs\n", fate, d.name, d.in+" "+strings.Trim(d.test, "^$"), time.Since(began).Seconds())
		if fate != caught {
			survivors = append(survivors, d.name)
		}
		if verbose || fate == broken {
			fmt.Println(out)
		}
	}
	if tried == 0 {
		return fmt.Errorf("no mutant matches %s", chosen)
	}
	if len(survivors) > 0 {
		return fmt.Errorf("%d of %d are not caught: %s", len(survivors), tried, strings.Join(survivors, ", "))
	}
	fmt.Printf("all %d caught\n", tried)
	return nil
}
