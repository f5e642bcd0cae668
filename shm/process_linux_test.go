package shm

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// Some tests need a second process: they run this test binary again, with one test selected and
// childVariable naming it.
const (
	childVariable = "SHMBUS_TEST_CHILD"
	childFile     = 3 // the first inherited file
)

// hangLimit ends what hangs. SHMBUS_WATCHDOG says it otherwise, for who expects a hang (internal/mutants).
var hangLimit = func() time.Duration {
	if d, err := time.ParseDuration(os.Getenv("SHMBUS_WATCHDOG")); err == nil {
		return d
	}
	return time.Minute
}()

// testProcess is a running child with its standard output line by line.
type testProcess struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines *bufio.Reader
}

// startChild runs the test with the given name in a process of its own, with extra environment and one file to inherit.
func startChild(t *testing.T, test string, file *os.File, environment ...string) *testProcess {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+test+"$", "-test.v")
	cmd.Env = append(append(os.Environ(), childVariable+"="+test), environment...)
	if file != nil {
		cmd.ExtraFiles = []*os.File{file}
	}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	watchdog := time.AfterFunc(hangLimit, func() { _ = cmd.Process.Kill() })
	t.Cleanup(func() { watchdog.Stop(); _ = cmd.Process.Kill() })
	return &testProcess{t: t, cmd: cmd, lines: bufio.NewReader(out)}
}

// expect reads the child's output up to a line that begins with prefix and returns the rest of that line.
func (p *testProcess) expect(prefix string) string {
	p.t.Helper()
	var seen strings.Builder
	for {
		line, err := p.lines.ReadString('\n')
		seen.WriteString(line)
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), prefix); ok {
			return strings.TrimSpace(rest)
		}
		if err != nil {
			p.t.Fatalf("child: no line %q (%v) in:\n%s", prefix, err, &seen)
		}
	}
}

// succeed waits for the child to pass its test.
func (p *testProcess) succeed() {
	p.t.Helper()
	rest, _ := io.ReadAll(p.lines)
	if err := p.cmd.Wait(); err != nil {
		p.t.Fatalf("child: %v\n%s", err, rest)
	}
}

// onlyAsChild skips a test that is no test but the program of a child.
func onlyAsChild(t *testing.T) {
	t.Helper()
	if os.Getenv(childVariable) != t.Name() {
		t.Skip("run by other tests only")
	}
}

// hangGuard ends the program should the test hang: a goroutine in a futex cannot be stopped otherwise.
func hangGuard(t *testing.T) {
	t.Helper()
	name := t.Name()
	watchdog := time.AfterFunc(hangLimit, func() { panic(name + " hangs") })
	t.Cleanup(func() { watchdog.Stop() })
}

// notEmulated skips a test of something that an emulator of another processor
// does not do; `make test-arm64` says that there is one.
func notEmulated(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("SHMBUS_EMULATED") != "" {
		t.Skip(why)
	}
}
