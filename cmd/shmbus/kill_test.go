package main

import (
	"encoding/json"
	"math/rand/v2"
	"testing"
	"time"
)

// TestKillAnyOne kills one process with SIGKILL in the middle of a storm. The
// others go on, what they have is whole, somebody serves, and joining works.
func TestKillAnyOne(t *testing.T) {
	rounds := scaled(2, 50)
	lines := scaled(10_000, 1_000_000)
	for _, kind := range []string{"publisher", "subscriber", "host"} {
		t.Run(kind, func(t *testing.T) {
			for round := range rounds {
				killRound(t, kind, round, lines)
				if t.Failed() {
					t.Fatalf("round %d", round)
				}
			}
		})
	}
}

func killRound(t *testing.T, kind string, round, lines int) {
	capacity := []string{"64KiB", "1MiB"}[round%2]
	s := newStorm(t, newPlace(t), capacity, lines)
	host := s.startWithHost(t, round%3)
	var victim *process
	switch kind {
	case "publisher":
		victim = s.otherPublisher(host)
	case "subscriber":
		victim = s.otherSubscriber(host)
	case "host":
		victim = host
	}
	s.begin(t)
	witness := s.subs[0]
	if witness.process == victim {
		witness = s.subs[1]
	}
	// Before the gate four fifths of all lines come through, if nobody is killed.
	s.reach(t, witness, rand.Int64N(int64(lines)*stormPublishers/2))
	victim.kill(t)
	killed := time.Now()
	served := s.waitForHost(t, victim.Process.Pid, killed)
	joiner := s.join(t)
	s.finish(t, victim)
	joiner.exits(t, exitOK)
	// Behind the gate are the last fifths of at least three publishers.
	if d, l := delivered(t, joiner); d < lines*3/5 || l != 0 {
		t.Errorf("the joiner: delivered %d, lost %d, want at least %d and none", d, l, lines*3/5)
	}
	if host != nil && host != victim && !s.attached(host) {
		host.Process.Kill()
		host.Wait()
	}
	t.Logf("%s killed in round %d (host kind %d, ring %s): served after %v", kind, round, round%3, capacity, served)
}

// startWithHost starts everything so that a subscriber (0), a publisher (1) or a
// process of its own (2) is the host.
func (s *storm) startWithHost(t *testing.T, kind int) *process {
	t.Helper()
	var host *process
	switch kind {
	case 0:
		host = s.startSubscriber(t).process
	case 1:
		host = s.startPublisher(t).process
	default:
		host = s.place.command(t, "serve").start(t)
	}
	s.place.until(t, `"pid"`, "stat", "-o", "json")
	for len(s.subs) < stormSubscribers {
		s.startSubscriber(t)
	}
	for len(s.pubs) < stormPublishers {
		s.startPublisher(t)
	}
	return host
}

func (s *storm) otherPublisher(host *process) *process {
	for _, f := range s.pubs[1:] {
		if f.process != host {
			return f.process
		}
	}
	return nil
}

func (s *storm) otherSubscriber(host *process) *process {
	for _, c := range s.subs[1:] {
		if c.process != host {
			return c.process
		}
	}
	return nil
}

// attached reports whether p is one of the storm's participants.
func (s *storm) attached(p *process) bool {
	for _, f := range s.pubs {
		if f.process == p {
			return true
		}
	}
	for _, c := range s.subs {
		if c.process == p {
			return true
		}
	}
	return false
}

// waitForHost waits until somebody other than the killed process serves.
func (s *storm) waitForHost(t *testing.T, killed int, since time.Time) time.Duration {
	t.Helper()
	poll(func() bool {
		var st statJSON
		out, err := s.place.command(t, "stat", "-o", "json").Output()
		return err == nil && json.Unmarshal(out, &st) == nil && st.Host.PID != killed
	}, func() { t.Fatal("nobody serves") })
	return time.Since(since).Round(time.Millisecond)
}

// join attaches one more subscriber, then opens the gate.
func (s *storm) join(t *testing.T) *process {
	t.Helper()
	joiner := s.place.command(t, "sub", "storm", "--drain", "--name", "joiner").start(t)
	s.place.until(t, `"name": "joiner"`, "stat", "storm", "-o", "json")
	s.goOn()
	return joiner
}
