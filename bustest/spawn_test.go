package bustest

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// A trial is a test within a test: what it logs and how it fails is kept.
type trial struct {
	testing.TB
	mu     sync.Mutex
	logged []string
	failed string
	undo   []func()
}

// try runs test, with its cleanups, to its end. Child processes that it should
// not have started are of this binary, whose TestMain calls Main, so that they
// end.
func try(t *testing.T, test func(t testing.TB)) *trial {
	tr := &trial{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			for _, f := range tr.undo {
				f()
			}
		}()
		test(tr)
	}()
	<-done
	return tr
}

func (tr *trial) Helper()          {}
func (tr *trial) Cleanup(f func()) { tr.undo = append([]func(){f}, tr.undo...) }

func (tr *trial) Logf(format string, args ...any) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.logged = append(tr.logged, fmt.Sprintf(format, args...))
}

func (tr *trial) Fatalf(format string, args ...any) {
	tr.failed = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func TestSpawnNeedsAProgram(t *testing.T) {
	tr := try(t, func(t testing.TB) { SpawnIn(t, "", "nosuch") })
	if !strings.Contains(tr.failed, "call bustest.Register and bustest.Main in TestMain") {
		t.Errorf("a program that nobody registered: %q", tr.failed)
	}
}

func TestChildrenSpawnNothing(t *testing.T) {
	t.Setenv(programVariable, "quiet")
	tr := try(t, func(t testing.TB) { SpawnIn(t, "", "quiet") })
	if !strings.Contains(tr.failed, "call bustest.Main in TestMain") {
		t.Errorf("tests that run in a child: %q", tr.failed)
	}
}
