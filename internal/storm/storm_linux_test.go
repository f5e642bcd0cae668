package storm

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestMain(m *testing.M) {
	Child()
	os.Exit(m.Run())
}

// seedVariable replays a storm of a test.
const seedVariable = "SHMBUS_STORM_SEED"

func seed(t *testing.T) uint64 {
	t.Helper()
	s := rand.Uint64()
	if text := os.Getenv(seedVariable); text != "" {
		var err error
		if s, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("replay: %s=%d go test ./internal/storm -run '^%s$'", seedVariable, s, t.Name())
	return s
}

// logWriter writes lines to the log of a test.
type logWriter struct{ t *testing.T }

func (w logWriter) Write(b []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

func judge(t *testing.T, v Verdict, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if !v.OK() {
		t.Fatal(v)
	}
	t.Log(v)
}

// TestStorm kills processes of buses at random and compares what all saw.
func TestStorm(t *testing.T) {
	t.Parallel()
	kills := 2000
	if testing.Short() || raceEnabled {
		kills = 150
	}
	v, err := Run(Config{Seed: seed(t), Kills: kills, Stops: kills / 2, Arenas: 3, Log: logWriter{t}})
	judge(t, v, err)
	if v.Kills != kills || v.Published == 0 || v.Acknowledged == 0 || v.HostKills == 0 || v.Turns == 0 {
		t.Errorf("the storm was none: %v", v)
	}
}

// TestStormNoticesLies: a storm in which one process lies about one message
// fails, and says what is wrong.
func TestStormNoticesLies(t *testing.T) {
	for lie, want := range map[string]string{
		breakDrop:      "are missing before sequence",
		breakDuplicate: "twice or out of order",
		breakReorder:   "are missing before sequence",
		breakAck:       "acknowledged messages are lost",
	} {
		t.Run(lie, func(t *testing.T) {
			t.Parallel()
			v, err := Run(Config{Seed: seed(t), Kills: 10, Arenas: 1, Break: lie, Log: logWriter{t}})
			if err != nil {
				t.Fatal(err)
			}
			if v.Lies != 1 {
				t.Errorf("%d lies were told, want 1: %v", v.Lies, v)
			}
			if v.OK() || !strings.Contains(v.String(), want) {
				t.Errorf("want %q in the verdict: %v", want, v)
			}
		})
	}
}

// TestStopsInside stops publishers at places inside the lock, every time that
// they come there: nobody takes what they hold, and others are told who it is.
func TestStopsInside(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "storm")
	if out, err := exec.Command("go", "build", "-tags", "failpoint", "-o", program, "./cmd/storm").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	v, err := Run(Config{Seed: seed(t), Stops: 1200, Round: 300, Program: program, FailpointProgram: program, Log: logWriter{t}})
	judge(t, v, err)
	if v.Inside == 0 || v.Named == 0 {
		t.Errorf("no stop inside the lock, or none that was named: %v", v)
	}
}

// TestHostsAreFollowed kills nobody but the host. How long a newcomer waits then
// is for a quiet machine to say.
func TestHostsAreFollowed(t *testing.T) {
	t.Parallel()
	v, err := Run(Config{Seed: seed(t), Kills: 30, Round: 10, Arenas: 1, Hosts: true, Log: logWriter{t}})
	judge(t, v, err)
	if v.HostKills != 30 || len(v.Joins) != 30 {
		t.Errorf("%d hosts killed, %d newcomers; want 30 each", v.HostKills, len(v.Joins))
	}
}

// TestNothingIsLeftBehind connects and kills on a bus whose host stays: it holds
// in the end what it held before.
func TestNothingIsLeftBehind(t *testing.T) {
	t.Parallel()
	v, err := Run(Config{Seed: seed(t), Kills: 500, Round: 100, Steady: true, Log: logWriter{t}})
	judge(t, v, err)
	if v.Kills != 500 || v.HostKills != 0 {
		t.Errorf("%d kills, %d of hosts; want 500 and none", v.Kills, v.HostKills)
	}
}
