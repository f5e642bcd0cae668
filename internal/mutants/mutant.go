package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// A defence is something that must not be missing, and the test that says so.
type defence struct {
	name string
	file string // from the root of the module
	with string // the text, exactly once in the file
	gone string // what stands there without the defence
	in   string // package of the test
	test string // -run expression
	// Why nothing goes wrong without it, where another defence covers the same
	// danger. Then the test must stay green.
	harmless string
	// What goes wrong is a race between two processors, which the test runs
	// into at once if it has both to itself, and else perhaps not. It gets
	// several runs.
	race bool
}

// What becomes of a mutant.
const (
	caught   = "caught"
	harmless = "harmless"
	survives = "SURVIVES" // the test stays green
	hangs    = "HANGS"    // the test does not end, and does not say where
	broken   = "BROKEN"   // it could not be tried
)

// verdict is what became of one mutant.
type verdict struct {
	fate string
	why  string // the test that went red, or what else there is to say
	out  string
}

const (
	// patience is what a test is given: more than any watchdog of its own.
	patience = 60 * time.Second
	// Tests that end what hangs read from this variable how long to wait for
	// it, so that a mutant that hangs does not take minutes.
	watchdogVariable = "SHMBUS_WATCHDOG"
	watchdog         = "20s"
	// raceTime is for how long the test of a race is run again.
	raceTime = 30 * time.Second
)

// lab is where mutants are tried.
type lab struct {
	root  string
	dir   string            // for changed files and test binaries
	err   error             // why there is no dir
	sound map[string]string // package and test: why it is no test, "" if it is
	by    []string          // the command that runs compiler and tests, such as nice
}

func newLab(root string, by ...string) *lab {
	dir, err := os.MkdirTemp("", "shmbus-mutants-")
	return &lab{root: root, dir: dir, err: err, sound: map[string]string{}, by: by}
}

// command returns a command that is run in dir.
func (l *lab) command(ctx context.Context, dir string, words ...string) *exec.Cmd {
	words = slices.Concat(l.by, words)
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Dir = dir
	return cmd
}

func (l *lab) close() { _ = os.RemoveAll(l.dir) }

// moduleRoot is the directory of go.mod.
func moduleRoot() (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOMOD: %w", err)
	}
	return filepath.Dir(strings.TrimSpace(string(out))), nil
}

// apply returns the file without the defence.
func (d *defence) apply(root string) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(root, d.file))
	if err != nil {
		return nil, err
	}
	if n := bytes.Count(text, []byte(d.with)); n != 1 {
		return nil, fmt.Errorf("%s: the text is in %s %d times, want once: %q", d.name, d.file, n, d.with)
	}
	return bytes.Replace(text, []byte(d.with), []byte(d.gone), 1), nil
}

// try runs the test with the defence, once for all that share it, and without.
func (l *lab) try(d *defence) verdict {
	if l.err != nil {
		return verdict{fate: broken, why: l.err.Error()}
	}
	text, err := d.apply(l.root)
	if err != nil {
		return verdict{fate: broken, why: err.Error()}
	}
	if why := l.check(d); why != "" {
		return verdict{fate: broken, why: d.test + ", with the defence: " + why}
	}
	changed := filepath.Join(l.dir, filepath.Base(d.file))
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(l.root, d.file): changed}})
	if err == nil {
		err = errors.Join(os.WriteFile(changed, text, 0o600), os.WriteFile(l.dir+"/overlay.json", overlay, 0o600))
	}
	if err != nil {
		return verdict{fate: broken, why: err.Error()}
	}
	binary := filepath.Join(l.dir, "mutant.test")
	if out, err := l.build(d, binary, "-overlay", l.dir+"/overlay.json"); err != nil {
		return verdict{broken, "it does not compile", out}
	}
	fate, why, out := l.run(d, binary)
	for began := time.Now(); d.race && fate == survives && time.Since(began) < raceTime; {
		fate, why, out = l.run(d, binary)
	}
	switch {
	case fate == survives && d.harmless != "":
		return verdict{harmless, d.harmless, out}
	case fate == caught && d.harmless != "":
		return verdict{broken, "listed as harmless, but it is not: " + why, out}
	}
	return verdict{fate, why, out}
}

// check returns why the test of a defence says nothing: it is red anyway.
func (l *lab) check(d *defence) string {
	key := d.in + " " + d.test
	why, known := l.sound[key]
	if known {
		return why
	}
	binary := filepath.Join(l.dir, strings.ReplaceAll(d.in, "/", "_")+".test")
	if _, err := os.Stat(binary); err != nil {
		if out, err := l.build(d, binary); err != nil {
			why = "it does not compile\n" + out
		}
	}
	if why == "" {
		if fate, by, out := l.run(d, binary); fate != survives {
			why = fmt.Sprintf("%s by %s\n%s", fate, by, out)
		}
	}
	l.sound[key] = why
	return why
}

func (l *lab) build(d *defence, binary string, flags ...string) (string, error) {
	words := slices.Concat([]string{"go", "test", "-c", "-o", binary}, flags, []string{"./" + d.in})
	out, err := l.command(context.Background(), l.root, words...).CombinedOutput()
	return string(out), err
}

var (
	red     = regexp.MustCompile(`(?m)^--- FAIL: (\S+)`)
	green   = regexp.MustCompile(`(?m)^--- PASS: `)
	running = regexp.MustCompile(`(?m)^=== (?:RUN|NAME|CONT) +(\S+)`)
)

// run runs the test and says what became of it: caught, and by which test;
// survives; hangs; or broken, if none ran.
func (l *lab) run(d *defence, binary string) (fate, by, out string) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*patience) // who runs it may let it wait
	defer cancel()
	cmd := l.command(ctx, filepath.Join(l.root, d.in), binary, "-test.run", d.test, "-test.v", "-test.failfast", "-test.timeout", patience.String())
	cmd.Env = append(os.Environ(), watchdogVariable+"="+watchdog)
	cmd.WaitDelay = time.Second // its children may hold the pipe
	b, err := cmd.CombinedOutput()
	out = string(b)
	failed, last := red.FindStringSubmatch(out), running.FindAllStringSubmatch(out, -1)
	switch {
	case strings.Contains(out, "panic: test timed out after") || ctx.Err() != nil:
		if len(last) > 0 {
			by = last[len(last)-1][1]
		}
		return hangs, by, out
	case err != nil && failed != nil:
		return caught, failed[1], out
	case err != nil && last != nil:
		return caught, last[len(last)-1][1], out // it ended the program
	case err != nil:
		return broken, err.Error(), out
	case !green.MatchString(out):
		return broken, "no test ran", out
	}
	return survives, d.test, out
}
