package steps

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/shmbus/shmbus/shm"
)

// TestHangIsNamed: a victim that does not come to a stop is killed and named,
// with its other threads held, which the kernel waits for, and without.
func TestHangIsNamed(t *testing.T) {
	if raceEnabled || emulated() || !shm.HaveMembarrier() {
		t.Skip("as TestEnumeratedDeath")
	}
	for _, held := range []bool{false, true} {
		onThread(t, func(w *worker) {
			sc := scenarioNamed("park-for-ever")
			s, err := w.stage(sc, &trace{}) // to be recorded: the other threads are held
			defer func() { w.finish(&outcome{}) }()
			if err != nil {
				t.Errorf("held %t: the scene: %v", held, err)
				return
			}
			if !held {
				if err := s.victim.release(); err != nil {
					t.Errorf("release: %v", err)
					return
				}
			}
			s.victim.limit = 10 * time.Millisecond
			switch err := s.victim.toMarker(); {
			case !errors.Is(err, errHung) || !strings.Contains(err.Error(), "without coming to a stop"):
				t.Errorf("held %t: a victim that sleeps for ever: %v, want %v", held, err, errHung)
			case !s.victim.gone:
				t.Errorf("held %t: the victim is called hung, and lives", held)
			}
		})
	}
}
