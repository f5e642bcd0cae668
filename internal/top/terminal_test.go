package top

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// until asks again and again until ok.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	watchdog, tick := time.After(time.Minute), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-watchdog:
			t.Fatalf("%s: it never comes", what)
		}
	}
}

// TestTerminal runs `shmbus top` (SHMBUS_TOP=PROGRAM, with SHMBUS_DIR of a bus
// that has topics) in a real terminal, tmux, at two sizes, presses keys and
// looks at the screens: as many lines as there are, none too wide, each view
// what was asked for. -v shows them.
func TestTerminal(t *testing.T) {
	program := os.Getenv("SHMBUS_TOP")
	if program == "" {
		t.Skip("internal/top/terminal starts a bus and runs this")
	}
	for _, size := range [][2]string{{"80", "24"}, {"200", "50"}} {
		t.Run(size[0]+"x"+size[1], func(t *testing.T) {
			session := "shmbus-top-" + size[0]
			tmux := func(args ...string) string {
				t.Helper()
				out, err := exec.Command("tmux", append([]string{"-L", session}, args...)...).CombinedOutput()
				if err != nil {
					t.Fatalf("tmux %v: %v\n%s", args, err, out)
				}
				return string(out)
			}
			tmux("-f", "/dev/null", "new-session", "-d", "-s", session, "-x", size[0], "-y", size[1], program+" top --interval 200ms")
			t.Cleanup(func() { _ = exec.Command("tmux", "-L", session, "kill-server").Run() })
			began := time.Now()
			shows := func(name string, want ...string) {
				t.Helper()
				screen := ""
				until(t, name, func() bool {
					screen = tmux("capture-pane", "-p", "-t", session)
					for _, w := range want {
						if !strings.Contains(screen, w) {
							return false
						}
					}
					return true
				})
				t.Logf("%s, after %v:\n%s", name, time.Since(began).Round(time.Millisecond), screen)
			}
			press := func(keys ...string) { tmux(append([]string{"send-keys", "-t", session}, keys...)...) }
			shows("overview", "bus default", "TOPIC", "q quit", "load", "k msg/s", "µs")
			press("/", "load", "Enter")
			shows("filter", "filter: load")
			press("Enter")
			shows("details", "PUBLISHER", "SUBSCRIBER", "esc back", "slow")
			press("Escape")
			shows("back", "TOPIC", "filter: load")
			press("?")
			shows("help", "pause the screen")
			press("?", "s", "p")
			shows("paused", "PAUSED", "by bytes")
			press("q")
			until(t, "the end of top", func() bool {
				return exec.Command("tmux", "-L", session, "has-session").Run() != nil
			})
		})
	}
}
