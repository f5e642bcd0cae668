//go:build failpoint && linux

package ring

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

const foldVariable = "SHMBUS_TEST_FOLD"

// foldOptions are those of the ring that TestFoldKilled shares with its
// children.
var foldOptions = Options{Capacity: 64 << 10, Publishers: 2, Subscribers: 3, Fenced: true, ID: 0xf01d}

// TestFoldChild is a host that takes the ring it inherits and frees every slot
// in it; a failpoint kills it on the way.
func TestFoldChild(t *testing.T) {
	if os.Getenv(foldVariable) == "" {
		t.Skip("only as a child of TestFoldKilled")
	}
	r := openFold(t, []*os.File{os.NewFile(3, "log"), os.NewFile(4, "cursors")})
	h := r.Host(0)
	if _, err := h.TakeOver(); err != nil {
		t.Fatal(err)
	}
	for _, c := range r.Subscribers() {
		h.RemoveSubscriber(c.Slot, c.Gen, c.Guest)
	}
	for _, p := range r.Publishers() {
		if err := h.RemovePublisher(p.Slot, p.Gen); err != nil {
			t.Fatal(err)
		}
	}
}

func openFold(t *testing.T, files []*os.File) *Ring {
	t.Helper()
	log, err := mapFile(t, files[0], true)
	if err != nil {
		t.Fatal(err)
	}
	cursors, err := mapFile(t, files[1], true)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Open(log, cursors, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestFoldKilled kills a host with SIGKILL at both places of each fold. Those
// who look meanwhile, and those who look when the next host is through, find
// what was delivered, once.
func TestFoldKilled(t *testing.T) {
	g, err := foldOptions.Geometry()
	if err != nil {
		t.Fatal(err)
	}
	const messages = 11
	for _, place := range []string{"ring.fold", "ring.folded"} {
		for n := 1; n <= foldOptions.Publishers+foldOptions.Subscribers; n++ {
			files := []*os.File{newRegionFile(t, g.LogSize()), newRegionFile(t, g.CursorSize())}
			log, err := mapFile(t, files[0], true)
			if err != nil {
				t.Fatal(err)
			}
			cursors, err := mapFile(t, files[1], true)
			if err != nil {
				t.Fatal(err)
			}
			r := layOut(t, log, cursors, nil, foldOptions)
			var consumers []*Consumer
			for slot := range foldOptions.Subscribers {
				consumers = append(consumers, r.localConsumer(slot, SubscriberSpec{Mode: Mode(slot % 2)}))
			}
			for slot := range foldOptions.Publishers {
				p := r.local(slot)
				for range messages {
					mustPublish(t, p, 1)
				}
			}
			published := uint64(messages * foldOptions.Publishers)
			for _, c := range consumers {
				drain(t, c, published)
			}
			check := func(when string, present int) {
				t.Helper()
				var s Statistics
				r.ring.Statistics(&s)
				delivered := published * uint64(foldOptions.Subscribers)
				if s.Totals.Publishers.Published != published || s.Totals.Subscribers.Delivered != delivered || s.Totals.Subscribers.Latency.Count() != delivered {
					t.Errorf("%s@%d, %s: %d published, %d delivered, %d recorded, want %d and %d", place, n, when,
						s.Totals.Publishers.Published, s.Totals.Subscribers.Delivered, s.Totals.Subscribers.Latency.Count(), published, delivered)
				}
				if got := len(s.Publishers) + len(s.Subscribers); got != present {
					t.Errorf("%s@%d, %s: %d participants are present, want %d", place, n, when, got, present)
				}
			}
			all := foldOptions.Publishers + foldOptions.Subscribers
			check("before", all)
			if status := fold(t, files, fmt.Sprintf("%s=kill@%d", place, n)); !status.Signaled() || status.Signal() != syscall.SIGKILL {
				t.Fatalf("%s@%d: the child was not killed: %v", place, n, status)
			}
			left := all - n + 1
			if place == "ring.folded" {
				left--
			}
			check("behind the death", left)
			if status := fold(t, files, ""); status.ExitStatus() != 0 {
				t.Fatalf("%s@%d: the next host: exit %d", place, n, status.ExitStatus())
			}
			check("behind the next host", 0)
		}
	}
}

// fold runs TestFoldChild and returns how it ended.
func fold(t *testing.T, files []*os.File, failpoints string) syscall.WaitStatus {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFoldChild$")
	cmd.Env = append(os.Environ(), foldVariable+"=1", "SHMBUS_FAILPOINTS="+failpoints)
	cmd.ExtraFiles = files
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if status.Exited() && status.ExitStatus() != 0 {
		t.Logf("%s", out)
	}
	return status
}
