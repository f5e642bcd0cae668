package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// watchdog is how long anything in these tests may take before it is taken for
// hanging. Nothing is measured against it.
const watchdog = time.Minute

// TestMain makes this binary act as the command when it is run by the name
// shmbus, for scripts and for tests that start processes.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"shmbus": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("SHMBUS_DIR", filepath.Join(e.WorkDir, "bus"))
			e.Setenv("SHMBUS_BUS", "")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": scriptExits,
			"until": scriptUntil,
			"count": scriptCount,
		},
	})
}

// scriptExits is `exits CODE PROGRAM [ARG...]`: run it and compare the exit code.
func scriptExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM [ARG...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	switch {
	case err == nil && want == 0:
	case err == nil:
		ts.Fatalf("exit code 0, want %d", want)
	case !errors.As(err, &exit):
		ts.Fatalf("%v", err)
	case exit.ExitCode() != want:
		ts.Fatalf("exit code %d, want %d", exit.ExitCode(), want)
	}
}

// scriptUntil is `until PATTERN PROGRAM [ARG...]`: run it again and again until
// its standard output matches.
func scriptUntil(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until PATTERN PROGRAM [ARG...]")
	}
	pattern, err := regexp.Compile(args[0])
	ts.Check(err)
	poll(func() bool {
		cmd := exec.Command(args[1], args[2:]...)
		cmd.Env = append(os.Environ(), "SHMBUS_DIR="+ts.Getenv("SHMBUS_DIR"), "SHMBUS_BUS="+ts.Getenv("SHMBUS_BUS"))
		out, err := cmd.Output()
		return err == nil && pattern.Match(out)
	}, func() { ts.Fatalf("%s never wrote %s", strings.Join(args[1:], " "), pattern) })
}

// scriptCount is `count FILE N`: the file has N lines.
func scriptCount(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: count FILE N")
	}
	if n := strconv.Itoa(strings.Count(ts.ReadFile(args[0]), "\n")); n != args[1] {
		ts.Fatalf("%s has %s lines, want %s", args[0], n, args[1])
	}
}

// poll asks until done says so, and calls hung once the watchdog is over.
func poll(done func() bool, hung func()) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(watchdog)
	for !done() {
		if time.Now().After(deadline) {
			hung()
			return
		}
		<-tick.C
	}
}

// place is a private root directory for buses, with a short path.
type place struct{ dir string }

func newPlace(t *testing.T) place {
	t.Helper()
	dir, err := os.MkdirTemp("", "shmbus-t-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return place{dir}
}

// process is a running shmbus.
type process struct {
	*exec.Cmd
	stderr *lockedBuffer
	what   string
}

// lockedBuffer can be read while the process still writes.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// command prepares a shmbus process on the place's default bus. It is killed
// when the watchdog fires or the test ends.
func (p place) command(t *testing.T, args ...string) *process {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*watchdog)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Args[0] = "shmbus"
	cmd.Env = append(os.Environ(), "SHMBUS_DIR="+p.dir, "SHMBUS_BUS=")
	cmd.WaitDelay = watchdog
	stderr := &lockedBuffer{}
	cmd.Stderr = stderr
	return &process{cmd, stderr, "shmbus " + strings.Join(args, " ")}
}

// start starts the process and kills it at the end of the test if it still runs.
func (p *process) start(t *testing.T) *process {
	t.Helper()
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Process.Kill() })
	return p
}

// exits waits for the end and checks the exit code.
func (p *process) exits(t *testing.T, code int) {
	t.Helper()
	err := p.Wait()
	if got := p.ProcessState.ExitCode(); got != code {
		t.Errorf("%s: exit code %d (%v), want %d; stderr:\n%s", p.what, got, err, code, p.stderr)
	}
}

// kill kills the process with SIGKILL and reaps it.
func (p *process) kill(t *testing.T) {
	t.Helper()
	if err := p.Process.Kill(); err != nil {
		t.Fatalf("%s: %v", p.what, err)
	}
	p.Wait()
	if s, ok := p.ProcessState.Sys().(syscall.WaitStatus); !ok || !s.Signaled() {
		t.Errorf("%s ended before it was killed: %v; stderr:\n%s", p.what, p.ProcessState, p.stderr)
	}
}

// in returns the pipe to the process's standard input.
func (p *process) in(t *testing.T) io.WriteCloser {
	t.Helper()
	w, err := p.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// out returns the pipe from the process's standard output.
func (p *process) out(t *testing.T) io.ReadCloser {
	t.Helper()
	r, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// full reports whether the tests run at full size.
func full() bool { return os.Getenv("SHMBUS_FULL") == "1" }

// scaled is n at full size, small otherwise.
func scaled(small, n int) int {
	if full() {
		return n
	}
	return small
}
