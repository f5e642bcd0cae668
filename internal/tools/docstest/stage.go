//go:build unix

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Watchdogs: a block that takes longer hangs. In the repository a block may
// run the whole test suite.
const (
	blockTime = 2 * time.Minute
	repoTime  = 30 * time.Minute
)

// marker separates the outputs of the commands of a console block.
const marker = "\x01docstest"

// stage is where the blocks of one document run.
type stage struct {
	repo    string
	scratch string
	env     []string
	groups  []int // process groups that blocks have left behind
	count   int
}

func newStage(bin string) (*stage, error) {
	repo, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	if bin, err = filepath.Abs(bin); err != nil {
		return nil, err
	}
	scratch, err := os.MkdirTemp("", "docstest-")
	if err != nil {
		return nil, err
	}
	s := &stage{repo: repo, scratch: scratch}
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		switch {
		case strings.HasPrefix(name, "SHMBUS_"), name == "PATH", name == "XDG_RUNTIME_DIR", name == "PWD", strings.HasPrefix(name, "MAKE"), name == "MFLAGS":
			continue
		}
		s.env = append(s.env, v)
	}
	s.env = append(s.env, "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"),
		"SHMBUS_DIR="+filepath.Join(scratch, "run"), "LC_ALL=C", "TERM=dumb",
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=url."+repo+".insteadOf", "GIT_CONFIG_VALUE_0=https://github.com/shmbus/shmbus")
	return s, os.Mkdir(filepath.Join(scratch, "home"), 0o755)
}

// close ends what the blocks left running and removes the scratch directory.
func (s *stage) close() {
	for _, g := range s.groups {
		_ = syscall.Kill(-g, syscall.SIGKILL) // it may have ended meanwhile
	}
	if err := os.RemoveAll(s.scratch); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// run runs a block and returns what it printed.
func (s *stage) run(b block) ([]byte, error) {
	s.count++
	switch b.kind {
	case "sh":
		return s.exec(b, "bash", "-euo", "pipefail", "-c", b.text)
	case "console":
		return s.console(b)
	case "python":
		return s.exec(b, "python3", "-c", b.text)
	case "go":
		return s.goProgram(b)
	}
	return nil, nil
}

// console runs the commands of a block in one shell and compares what each
// printed.
func (s *stage) console(b block) ([]byte, error) {
	cs, err := commands(b.text)
	if err != nil {
		return nil, err
	}
	var script strings.Builder
	for _, c := range cs {
		fmt.Fprintf(&script, "%s\nprintf '%s %%d\\n' $?\n", c.text, marker)
	}
	out, err := s.exec(b, "bash", "-c", script.String())
	if err != nil {
		return out, err
	}
	rest := string(out)
	for _, c := range cs {
		got, after, ok := strings.Cut(rest, marker+" ")
		if !ok {
			return out, fmt.Errorf("the shell ended within: %s", c.text)
		}
		status, after, _ := strings.Cut(after, "\n")
		rest = after
		if status != "0" {
			return out, fmt.Errorf("exit status %s: %s", status, c.text)
		}
		if !matches(c.want, lines(got)) {
			return []byte(got), fmt.Errorf("%s\n    should print\n%s    and prints", c.text, indent([]byte(strings.Join(c.want, "\n")+"\n")))
		}
	}
	return out, nil
}

// goProgram builds a program as a package of this module, so that it sees the
// code beside the document, and runs it.
func (s *stage) goProgram(b block) ([]byte, error) {
	dir := filepath.Join(s.scratch, fmt.Sprintf("program%d", s.count))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	test := strings.Contains(b.text, `"testing"`)
	name := filepath.Join(dir, "main.go")
	if test {
		name = filepath.Join(dir, "main_test.go")
	}
	if err := os.WriteFile(name, []byte(b.text), 0o644); err != nil {
		return nil, err
	}
	atRepo := block{inRepo: true}
	if out, err := s.exec(atRepo, "gofmt", "-l", name); err != nil || len(out) > 0 {
		return out, errors.Join(errors.New("gofmt would change it"), err)
	}
	if out, err := s.exec(atRepo, "go", "vet", name); err != nil {
		return out, err
	}
	if test {
		return s.exec(atRepo, "go", "test", name)
	}
	program := filepath.Join(dir, "program")
	if out, err := s.exec(atRepo, "go", "build", "-o", program, name); err != nil {
		return out, err
	}
	return s.exec(b, program)
}

// exec runs one program to its end. Its output goes to a file, so that what it
// leaves running in the background does not hold it up.
func (s *stage) exec(b block, name string, args ...string) ([]byte, error) {
	limit := blockTime
	if b.inRepo {
		limit = repoTime
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	out, err := os.CreateTemp(s.scratch, "output-")
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = filepath.Join(s.scratch, "home"), s.env
	if b.inRepo {
		cmd.Dir, cmd.Env = s.repo, nil
	}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	group := cmd.Process.Pid
	cmd.Cancel = func() error { return syscall.Kill(-group, syscall.SIGKILL) }
	err = cmd.Wait()
	if syscall.Kill(-group, 0) == nil { // the number of one that is gone may become another's
		s.groups = append(s.groups, group)
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("still running after %v", limit)
	}
	text, readErr := os.ReadFile(out.Name())
	return text, errors.Join(err, readErr)
}

// lines splits text into lines, without the end of the last.
func lines(text string) []string {
	text = strings.TrimRight(text, "\n")
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

func indent(text []byte) []byte {
	if len(text) == 0 {
		return nil
	}
	text = bytes.TrimRight(text, "\n")
	return append([]byte("    | "), append(bytes.ReplaceAll(text, []byte("\n"), []byte("\n    | ")), '\n')...)
}
