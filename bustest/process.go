package bustest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shmbus/shmbus/bus"
)

// Environment of a child.
const (
	programVariable = "SHMBUS_BUSTEST_PROGRAM"
	dirVariable     = "SHMBUS_BUSTEST_DIR"
)

var programs = map[string]func(context.Context, *Child) error{}

// Register names a program that Spawn can run: call it in TestMain, before
// Main. If run fails, the child writes the error to standard error and exits
// with status 1.
func Register(name string, run func(ctx context.Context, c *Child) error) {
	if programs[name] != nil {
		panic("bustest: program " + name + " is registered twice")
	}
	programs[name] = run
}

// Main runs the tests, or in a child the program it was spawned for, and does
// not return.
func Main(m *testing.M) {
	name := os.Getenv(programVariable)
	if name == "" {
		os.Exit(m.Run())
	}
	run := programs[name]
	if run == nil {
		fmt.Fprintf(os.Stderr, "bustest: no program %q is registered\n", name)
		os.Exit(2)
	}
	// The test holds the other end of standard input: when it is gone, so are we.
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(3)
	}()
	if err := run(context.Background(), &Child{Args: os.Args[1:], dir: os.Getenv(dirVariable)}); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// A Child is what a spawned program sees of its test.
type Child struct {
	Args []string // given to Spawn
	dir  string
}

// Open joins the test's bus.
func (c *Child) Open(ctx context.Context) (*bus.Bus, error) {
	return bus.Open(ctx, c.Config())
}

// Config is the configuration of the test's bus, to change before bus.Open.
func (c *Child) Config() bus.Config { return bus.Config{Dir: c.dir, Name: busName} }

// Say tells the test a line; see [Process.Expect].
func (c *Child) Say(format string, args ...any) {
	fmt.Printf(format+"\n", args...)
}

// leftovers is how long, after a process has ended, what it started may keep
// its standard error open: what the process itself wrote is read at once.
const leftovers = time.Second

// A Process is a running child.
type Process struct {
	t     testing.TB
	name  string
	cmd   *exec.Cmd
	stdin io.Closer
	out   io.Closer     // our end of its standard output
	log   *logWriter    // its standard error
	lines chan string   // what it said; closed at the end of its output
	deaf  chan struct{} // closed when nobody listens any more
	once  sync.Once     // closes deaf
	gone  chan struct{} // closed when it has been waited for
	err   error         // of the wait, valid after gone
}

// Spawn starts a registered program as a process of its own, with b's
// directory as its bus. It is killed when the test ends. The test fails if no
// program of the name is registered, or if it runs in a child itself, since
// TestMain did not call [Main]: such children would spawn children for ever.
func Spawn(t testing.TB, b *Bus, program string, args ...string) *Process {
	t.Helper()
	return SpawnIn(t, b.Dir, program, args...)
}

// SpawnIn is Spawn for a directory in which this process has no handle.
func SpawnIn(t testing.TB, dir, program string, args ...string) *Process {
	t.Helper()
	if programs[program] == nil {
		t.Fatalf("bustest: no program %q is registered: call bustest.Register and bustest.Main in TestMain", program)
	}
	if name := os.Getenv(programVariable); name != "" {
		t.Fatalf("bustest: this process was spawned for %q and runs the tests instead: call bustest.Main in TestMain, before m.Run", name)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &Process{t: t, name: program, cmd: exec.Command(self, args...), lines: make(chan string, 64), deaf: make(chan struct{}), gone: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), programVariable+"="+program, dirVariable+"="+dir)
	p.log = &logWriter{t: t, prefix: program}
	p.cmd.Stderr, p.cmd.WaitDelay = p.log, leftovers
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.out = out
	go p.follow(out)
	t.Cleanup(p.Kill)
	return p
}

func (p *Process) follow(out io.Reader) {
	scanner := bufio.NewScanner(out)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		select {
		case p.lines <- scanner.Text():
		case <-p.deaf:
		}
	}
	close(p.lines)
	if p.err = p.cmd.Wait(); errors.Is(p.err, exec.ErrWaitDelay) {
		p.err = nil // it ended well; something that it started has its standard error
	}
	p.log.flush()
	close(p.gone)
}

// end waits until the process has been waited for.
func (p *Process) end(watchdog <-chan time.Time) bool {
	select {
	case <-p.gone:
		return true
	case <-watchdog:
		return false
	}
}

// PID returns the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Line returns the next line that the process said; it fails the test if the
// process ends instead.
func (p *Process) Line() string {
	p.t.Helper()
	watchdog := time.After(Watchdog)
	select {
	case line, ok := <-p.lines:
		switch {
		case ok:
		case p.end(watchdog):
			p.t.Fatalf("process %s said no more: %v", p.name, p.err)
		default:
			p.t.Fatalf("process %s says no more and does not end", p.name)
		}
		return line
	case <-watchdog:
		p.t.Fatalf("process %s says nothing", p.name)
		return ""
	}
}

// Expect fails the test if the next line is not this one.
func (p *Process) Expect(line string) {
	p.t.Helper()
	if got := p.Line(); got != line {
		p.t.Fatalf("process %s said %q, want %q", p.name, got, line)
	}
}

// Wait waits until the process has ended by itself and fails the test if its
// status is not 0. It returns the lines that were not read yet.
func (p *Process) Wait() []string {
	p.t.Helper()
	var rest []string
	watchdog := time.After(Watchdog)
	for {
		select {
		case line, ok := <-p.lines:
			if ok {
				rest = append(rest, line)
				continue
			}
			if !p.end(watchdog) {
				p.t.Fatalf("process %s says no more and does not end", p.name)
			}
			if p.err != nil {
				p.t.Fatalf("process %s: %v", p.name, p.err)
			}
			return rest
		case <-watchdog:
			p.t.Fatalf("process %s does not end", p.name)
		}
	}
}

// Kill kills the process with SIGKILL, which it cannot notice, and returns
// when it is gone, though what it started may live on. Lines that were not read
// are lost. Calling it again does nothing.
func (p *Process) Kill() {
	p.once.Do(func() { close(p.deaf) })
	p.signal(os.Kill)
	_ = p.out.Close() // others may have the other end; closed already if it is gone
	if !p.end(time.After(Watchdog)) {
		p.t.Errorf("process %s does not end though it was killed", p.name)
	}
}

// Stop stops the process (SIGSTOP) where it is, until Continue.
func (p *Process) Stop() { p.signal(stopSignal) }

// Continue ends Stop.
func (p *Process) Continue() { p.signal(continueSignal) }

func (p *Process) signal(s os.Signal) {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Errorf("process %s: %v", p.name, err)
	}
}

// A logWriter writes lines to the test's log.
type logWriter struct {
	t      testing.TB
	prefix string
	mu     sync.Mutex
	rest   string
}

func (w *logWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rest += string(b)
	for {
		line, rest, ok := strings.Cut(w.rest, "\n")
		if !ok {
			return len(b), nil
		}
		w.rest = rest
		w.t.Logf("%s: %s", w.prefix, line)
	}
}

// flush writes a last line that no newline ends.
func (w *logWriter) flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.rest != "" {
		w.t.Logf("%s: %s", w.prefix, w.rest)
		w.rest = ""
	}
}
