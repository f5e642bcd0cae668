//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// part is one run of shmbus bench.
type part struct {
	name string
	args []string
	tags string // of a build of its own
}

// parts returns all there are.
func (p *places) parts() []part {
	main := part{name: "main"}
	if p.peers != "" {
		main.args = []string{"--peers", p.peers}
	}
	all := []part{main}
	for _, name := range []string{"growth-size", "growth-publishers", "growth-subscribers", "growth-ring"} {
		all = append(all, part{name: name, args: []string{"--plan", name}})
	}
	return append(all, part{name: "tricks", args: []string{"--plan", "tricks"}, tags: "shmbus_tricks"})
}

func (p *places) measure(ctx context.Context, names []string) error {
	chosen := p.parts()
	if len(names) > 0 {
		all := chosen
		chosen = nil
		for _, name := range names {
			i := slices.IndexFunc(all, func(q part) bool { return q.name == name })
			if i < 0 {
				return fmt.Errorf("no part %s", name)
			}
			chosen = append(chosen, all[i])
		}
	}
	if err := errors.Join(os.MkdirAll(p.scratch, 0o755), os.MkdirAll(p.dir, 0o755)); err != nil {
		return err
	}
	var nothing []string
	for i, q := range chosen {
		if _, err := os.Stat(filepath.Join(p.scratch, q.name+".json")); err == nil {
			fmt.Fprintf(os.Stderr, "%s is done\n", q.name)
			continue
		}
		fmt.Fprintf(os.Stderr, "part %d of %d: %s\n", i+1, len(chosen), q.name)
		err := p.one(ctx, q)
		if err == errNothing {
			fmt.Fprintf(os.Stderr, "%s: %v\n", q.name, err)
			nothing = append(nothing, q.name)
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", q.name, err)
		}
	}
	for _, q := range chosen {
		if slices.Contains(nothing, q.name) {
			continue
		}
		for _, suffix := range []string{".txt", ".json"} {
			if err := move(filepath.Join(p.scratch, q.name+suffix), filepath.Join(p.dir, q.name+suffix)); err != nil {
				return err
			}
		}
	}
	return nil
}

// errNothing: a build with a tag has no more to measure than one without.
var errNothing = errors.New("nothing to measure in this build; left out")

// one measures one part. Its rows get their name last: what has the name is
// whole.
func (p *places) one(ctx context.Context, q part) error {
	base := filepath.Join(p.scratch, q.name)
	program := p.bin
	if q.tags != "" {
		program = base + "-shmbus"
		build := exec.CommandContext(ctx, "go", "build", "-tags", q.tags, "-o", program, "./cmd/shmbus")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			return fmt.Errorf("building with tag %s: %w", q.tags, err)
		}
		defer os.Remove(program)
	}
	args := slices.Concat([]string{"bench", "-o", "json"}, q.args, strings.Fields(p.flags))
	rows, err := os.Create(base + ".rows")
	if err != nil {
		return err
	}
	defer rows.Close()
	notes, err := os.Create(base + ".txt")
	if err != nil {
		return err
	}
	defer notes.Close()
	fmt.Fprintf(notes, "$ shmbus %s\n", strings.Join(args, " "))
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdout, cmd.Stderr = rows, io.MultiWriter(notes, os.Stderr)
	err = cmd.Run()
	if exit := (*exec.ExitError)(nil); q.tags != "" && errors.As(err, &exit) && exit.ExitCode() == 2 {
		return errNothing
	}
	if err != nil {
		return err
	}
	if err := errors.Join(rows.Close(), notes.Close()); err != nil {
		return err
	}
	return os.Rename(base+".rows", base+".json")
}

// move renames a file, or copies it to another file system.
func move(from, to string) error {
	if os.Rename(from, to) == nil {
		return nil
	}
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.WriteFile(to, b, 0o644); err != nil {
		return err
	}
	return os.Remove(from)
}
