package control

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// watchdog bounds what must not hang. No test depends on how long it is.
// SHMBUS_WATCHDOG says it otherwise, for who expects a hang (internal/mutants).
var watchdog = func() time.Duration {
	if d, err := time.ParseDuration(os.Getenv("SHMBUS_WATCHDOG")); err == nil {
		return d
	}
	return 20 * time.Second
}()

// nobody is another uid than the tests'.
const nobody = 65534

const childVariable = "SHMBUS_CONTROL_TEST_CHILD"

// childMain are the programs that a re-executed test binary can be. What one
// prints is read by its parent; it ends at the end of its standard input at the
// latest.
var childMain = map[string]func(args []string) error{}

// init runs a child program instead of the tests, after all variables (and so
// childMain's entries, made in variable declarations) are there.
func init() {
	name := os.Getenv(childVariable)
	if name == "" {
		return
	}
	if err := childMain[name](os.Args[1:]); err != nil {
		fmt.Printf("error %v\n", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func childProgram(name string, main func(args []string) error) struct{} {
	childMain[name] = main
	return struct{}{}
}

// untilParentEnds blocks until standard input ends.
func untilParentEnds() { io.Copy(io.Discard, os.Stdin) }

type child struct {
	t     *testing.T
	cmd   *exec.Cmd
	stdin io.Writer
	lines chan string
}

// startChild runs a child program as the given uid (and gid).
func startChild(t *testing.T, uid, gid int, name string, args ...string) *child {
	t.Helper()
	// Not by its path: another uid may not search the directories there.
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), childVariable+"="+name)
	cmd.Stderr = os.Stderr
	if uid != os.Getuid() {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &child{t: t, cmd: cmd, stdin: stdin, lines: make(chan string, 16)}
	go func() {
		defer close(c.lines)
		for s := bufio.NewScanner(stdout); s.Scan(); {
			c.lines <- s.Text()
		}
	}()
	t.Cleanup(func() {
		stdin.Close()
		cmd.Process.Kill()
		cmd.Wait()
	})
	return c
}

// line is the next line that the child prints.
func (c *child) line() string {
	c.t.Helper()
	select {
	case l := <-c.lines:
		return l
	case <-time.After(watchdog):
		c.t.Fatal("watchdog: the child prints nothing")
		return ""
	}
}

// kill ends the child with SIGKILL and leaves it a zombie.
func (c *child) kill() {
	c.t.Helper()
	if err := c.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		c.t.Fatal(err)
	}
}

// killAndReap ends the child with SIGKILL; it is gone when this returns.
func (c *child) killAndReap() {
	c.t.Helper()
	c.kill()
	c.cmd.Wait()
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can be another uid")
	}
}

// shortDir is a fresh directory with a short path, 0700.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "shmbus-control-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func testBusDir(t *testing.T) *BusDir {
	t.Helper()
	return reopen(t, shortDir(t)+"/root", DirOptions{Create: true})
}

func reopen(t *testing.T, root string, o DirOptions) *BusDir {
	t.Helper()
	d, err := OpenBusDir(root, "bus", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// within runs f and fails when it does not return.
func within(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(watchdog):
		t.Fatalf("watchdog: %s does not end", what)
	}
}

func openDescriptors(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}
