// Command mutants takes the defences of shmbus away, one at a time, and runs
// the test that must notice.
//
//	go run ./internal/mutants [-run REGEXP] [-list] [-o FILE] [-exec COMMAND] [-v]
//
// A defence is a piece of source text and what stands there without it
// (defences*.go). The tree is not touched: the compiler is told to read the
// changed file in place of the one that is there (go test -c -overlay). The
// test must be green with the defence and red without it. A few defences are
// marked as harmless to miss, with the reason; of these the test must stay
// green.
//
// It prints a line for each, as it goes, and a summary, and exits with 1 if a
// test stays green without its defence, or hangs without saying where, or if a
// mutant cannot be tried: its text is not there exactly once any more, it does
// not compile, or its test is skipped or red without it.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"time"
)

func main() {
	only := flag.String("run", "", "only the mutants whose name matches")
	list := flag.Bool("list", false, "list them, and try none")
	by := flag.String("exec", "", "a command that compiler and tests are run by, such as `nice`")
	file := flag.String("o", "", "write the table to this file too, a line as soon as it is known")
	verbose := flag.Bool("v", false, "show what the tests print")
	flag.Parse()
	chosen, err := regexp.Compile(*only)
	if err != nil {
		fmt.Fprintf(os.Stderr, "mutants: -run: %v\n", err)
		os.Exit(2)
	}
	var table io.Writer = os.Stdout
	if *file != "" {
		f, err := os.Create(*file)
		if err != nil {
			fmt.Fprintf(os.Stderr, "mutants: %v\n", err)
			os.Exit(2)
		}
		table = io.MultiWriter(os.Stdout, f)
	}
	if err := run(table, choose(chosen), strings.Fields(*by), *list, *verbose); err != nil {
		fmt.Fprintf(os.Stderr, "mutants: %v\n", err)
		os.Exit(1)
	}
}

// choose returns the defences whose name matches.
func choose(name *regexp.Regexp) (chosen []defence) {
	for _, d := range defences {
		if name.MatchString(d.name) {
			chosen = append(chosen, d)
		}
	}
	return chosen
}

// run tries the mutants and prints how each fared.
func run(table io.Writer, chosen []defence, by []string, list, verbose bool) error {
	if len(chosen) == 0 {
		return fmt.Errorf("no mutant matches")
	}
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	l := newLab(root, by...)
	defer l.close()
	count := map[string]int{}
	var bad []string
	for _, d := range chosen {
		if list {
			fmt.Fprintf(table, "%-52s %-28s %s %s\n", d.name, d.file, d.in, d.test)
			continue
		}
		began := time.Now()
		v := l.try(&d)
		count[v.fate]++
		fmt.Fprintf(table, "%-8s %-52s %5.1fs  %s\n", v.fate, d.name, time.Since(began).Seconds(), v.why)
		if v.fate != caught && v.fate != harmless {
			bad = append(bad, d.name)
		}
		if verbose || v.fate == broken || v.fate == hangs {
			fmt.Fprintln(table, strings.TrimSpace(v.out))
		}
	}
	if list {
		return nil
	}
	fmt.Fprintf(table, "%d defences: %d caught, %d harmless, %d survived", len(chosen), count[caught], count[harmless], count[survives])
	if n := count[hangs] + count[broken]; n > 0 {
		fmt.Fprintf(table, ", %d not tried or hung", n)
	}
	fmt.Fprintln(table)
	if len(bad) > 0 {
		return fmt.Errorf("not caught: %s", strings.Join(bad, ", "))
	}
	return nil
}
