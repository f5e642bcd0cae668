package bustest

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/shmbus/shmbus/bus"
)

// Watchdog bounds everything in this package that waits.
const Watchdog = 60 * time.Second

// Dir returns a private directory for buses, short enough for a socket's path
// in it, and removes it after the test.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "shmbus")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// New returns a handle on a new bus in a directory of its own, and closes it
// after the test.
func New(t testing.TB) *Bus {
	t.Helper()
	return Open(t, Dir(t))
}

// A Bus is a bus.Bus that knows where it is.
type Bus struct {
	*bus.Bus
	Dir string
}

// Open returns another handle on the bus in dir, as another process would have
// it, and closes it after the test.
func Open(t testing.TB, dir string) *Bus {
	t.Helper()
	b, err := bus.Open(Context(t), bus.Config{Dir: dir, Name: busName})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("closing the bus: %v", err)
		}
	})
	return &Bus{Bus: b, Dir: dir}
}

const busName = "test"

// Context returns a context that ends with the test, or with the watchdog.
func Context(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), Watchdog)
	t.Cleanup(cancel)
	return ctx
}

// Until polls ok until it reports true and fails the test if it does not,
// saying what was waited for.
func Until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	end := time.Now().Add(Watchdog)
	for pause := time.Microsecond; !ok(); pause = min(2*pause, 10*time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still waiting for: %s", what)
		}
		time.Sleep(pause)
	}
}
