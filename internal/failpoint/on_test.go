//go:build failpoint

package failpoint

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

const childVariable = "SHMBUS_TEST_CHILD"

func TestParse(t *testing.T) {
	got, err := parse(" a=on, b=kill ,,c=kill@3,d=stop,e=panic@12,")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]point{
		"a": {action: "on"}, "b": {action: "kill"}, "c": {action: "kill", only: 3},
		"d": {action: "stop"}, "e": {action: "panic", only: 12},
	}
	if len(got) != len(want) {
		t.Fatalf("got %d settings, want %d", len(got), len(want))
	}
	for name := range want {
		g := got[name]
		if g == nil {
			t.Errorf("%s is missing", name)
		} else if g.action != want[name].action || g.only != want[name].only {
			t.Errorf("%s: got %s@%d, want %s@%d", name, g.action, g.only, want[name].action, want[name].only)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, settings := range []string{"a", "=on", "a=", "a=off", "a=on@2", "a=kill@0", "a=kill@x", "a=kill@-1", "a=on,a=kill"} {
		if _, err := parse(settings); err == nil {
			t.Errorf("parse(%q): got no error", settings)
		}
	}
}

func TestPanicOnNthHit(t *testing.T) {
	old := points
	defer func() { points = old }()
	points = mustParse("x=panic@3,y=on")
	Hit("x")
	Hit("x")
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the third hit did not panic")
			}
		}()
		Hit("x")
	}()
	Hit("x")
	Hit("y")
	if !Enabled("y") || Enabled("x") || Enabled("z") {
		t.Errorf("Enabled: got x=%v y=%v z=%v, want only y", Enabled("x"), Enabled("y"), Enabled("z"))
	}
}

// TestChild is the program that the tests below run as a process of its own.
func TestChild(t *testing.T) {
	if os.Getenv(childVariable) == "" {
		t.Skip("run by other tests only")
	}
	for i := 1; i <= 3; i++ {
		Hit("here")
		fmt.Printf("passed %d\n", i)
	}
}

func child(t *testing.T, settings string, out *strings.Builder) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestChild$")
	cmd.Env = append(os.Environ(), childVariable+"=1", Variable+"="+settings)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	watchdog := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	t.Cleanup(func() { watchdog.Stop() })
	return cmd
}

func TestKillOnSecondHit(t *testing.T) {
	var out strings.Builder
	cmd := child(t, "here=kill@2", &out)
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) {
		t.Fatalf("got %v, want a killed process; output: %s", err, &out)
	}
	if s := exit.Sys().(syscall.WaitStatus); !s.Signaled() || s.Signal() != syscall.SIGKILL {
		t.Errorf("got status %v, want death by SIGKILL", exit)
	}
	if got := out.String(); !strings.Contains(got, "passed 1\n") || strings.Contains(got, "passed 2") {
		t.Errorf("got output %q, want it to end after the first hit", got)
	}
}

func TestStopAndContinue(t *testing.T) {
	var out strings.Builder
	cmd := child(t, "here=stop@2", &out)
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(cmd.Process.Pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
		t.Fatalf("got status %#x, error %v; want a stopped process", status, err)
	}
	if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("after SIGCONT: %v", err)
	}
	if !strings.Contains(out.String(), "passed 3\n") {
		t.Errorf("got output %q, want the child to have gone on to the end", out.String())
	}
}

func TestUnreadableSettingStopsTheProgram(t *testing.T) {
	var out strings.Builder
	if err := child(t, "here=explode", &out).Wait(); err == nil {
		t.Fatalf("got success; output: %s", &out)
	}
	if !strings.Contains(out.String(), `"explode"`) {
		t.Errorf("got output %q, want it to quote the setting", out.String())
	}
}
