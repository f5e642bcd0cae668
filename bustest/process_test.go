package bustest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/shmbus/shmbus/bus"
)

func TestMain(m *testing.M) {
	Register("echo", func(ctx context.Context, c *Child) error {
		b, err := c.Open(ctx)
		if err != nil {
			return err
		}
		defer b.Close()
		s, err := b.Subscriber(ctx, c.Args[0], bus.SubscriberConfig{UntilDrained: true})
		if err != nil {
			return err
		}
		for m, err := range s.Messages(ctx) {
			if err != nil {
				return err
			}
			c.Say("%s", m.Payload)
		}
		return nil
	})
	Register("quiet", func(context.Context, *Child) error { return nil })
	Register("mutter", func(context.Context, *Child) error {
		_, err := fmt.Fprint(os.Stderr, "first\nlast, without an end")
		return err
	})
	Register("parent", parentProgram)
	Main(m)
}

// parentProgram starts a process that has all it has, and lives as long as the
// test holds the other end of its standard input.
func parentProgram(_ context.Context, c *Child) error {
	child := exec.Command("cat")
	child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := child.Start(); err != nil {
		return err
	}
	c.Say("ready")
	return child.Wait()
}

func TestProcess(t *testing.T) {
	b := New(t)
	p, err := b.Publisher(Context(t), "words", bus.PublisherConfig{})
	if err != nil {
		t.Fatal(err)
	}
	first, second := Spawn(t, b, "echo", "words"), Spawn(t, b, "echo", "words")
	if err := p.WaitSubscribers(Context(t), 2); err != nil {
		t.Fatal(err)
	}
	publish := func(word string) {
		if err := p.Publish(Context(t), []byte(word)); err != nil {
			t.Fatal(err)
		}
	}
	publish("one")
	first.Expect("one")
	second.Expect("one")
	second.Stop()
	Until(t, "the process to stop", func() bool { return state(t, second) == "T" })
	publish("two")
	second.Continue()
	second.Expect("two")
	second.Kill()
	second.Kill()
	if _, err := os.Stat(fmt.Sprintf("/proc/%d", second.PID())); err == nil {
		t.Error("a killed process is still there")
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if rest := first.Wait(); fmt.Sprint(rest) != "[two]" {
		t.Errorf("the rest of its lines: %v", rest)
	}
}

// state returns the letter that the kernel gives for what a process does.
func state(t *testing.T, p *Process) string {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID()))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return rest[:1]
}

// TestKillLeavesGrandchildren: what a killed process has started keeps its
// standard output and error open.
func TestKillLeavesGrandchildren(t *testing.T) {
	p := SpawnIn(t, "", "parent")
	p.Expect("ready")
	killed := make(chan struct{})
	go func() { p.Kill(); close(killed) }()
	select {
	case <-killed:
	case <-time.After(Watchdog / 2):
		t.Error("Kill waits for what the process started")
		_ = p.stdin.Close() // ends it
	}
}

func TestLastLineOfStandardError(t *testing.T) {
	tr := try(t, func(t testing.TB) { SpawnIn(t, "", "mutter").Wait() })
	if got := strings.Join(tr.logged, "; "); got != "mutter: first; mutter: last, without an end" {
		t.Errorf("logged %q", got)
	}
}
