//go:build unix

// Performance measures what docs/performance.md shows, and writes it.
//
//	performance measure [PART...]   run shmbus bench for each part that is not there yet
//	performance write               tables, pictures and the biased path, into the document
//	performance check [FILE]        judge a run by the targets; exit 1 if one is missed
//
// Parts are main, growth-size, growth-publishers, growth-subscribers,
// growth-ring and tricks. A part that is done waits in the scratch directory
// until all that were asked for are: after an interruption the same command
// goes on where it was. Then they move to the document's directory together.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/shmbus/shmbus/bench/report"
)

// places are the files the command works on.
type places struct {
	bin, peers, dir, doc, scratch string
	flags                         string
}

func main() {
	var p places
	flag.StringVar(&p.bin, "bin", "bin/shmbus", "the program that measures, and whose biased path is shown")
	flag.StringVar(&p.peers, "peers", "bin/peers", "the programs of bench/peers; empty means none")
	flag.StringVar(&p.dir, "dir", "docs/performance", "where results and pictures go")
	flag.StringVar(&p.doc, "doc", "docs/performance.md", "the document")
	flag.StringVar(&p.scratch, "scratch", "bin/performance", "where results wait for each other")
	flag.StringVar(&p.flags, "flags", "", "more flags of shmbus bench")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := p.run(ctx, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "performance:", err)
		os.Exit(1)
	}
}

func (p *places) run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("what to do? measure, write or check")
	}
	switch what, rest := args[0], args[1:]; {
	case what == "measure":
		return p.measure(ctx, rest)
	case what == "write" && len(rest) == 0:
		return p.write(ctx)
	case what == "check" && len(rest) <= 1:
		return p.check(rest)
	}
	return fmt.Errorf("%s: want measure [PART...], write or check [FILE]", strings.Join(args, " "))
}

func (p *places) check(args []string) error {
	base := filepath.Join(p.dir, "main")
	if len(args) > 0 {
		base = strings.TrimSuffix(args[0], ".json")
	}
	run, err := report.ReadRun(base)
	if err != nil {
		return err
	}
	findings := report.Check(run.Rows)
	if err := report.WriteFindings(os.Stdout, findings); err != nil {
		return err
	}
	if n := report.Failed(findings); n > 0 {
		return fmt.Errorf("%d of %d targets are missed", n, len(findings))
	}
	return nil
}
