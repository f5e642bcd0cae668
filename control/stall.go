package control

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/shmbus/shmbus/ring"
)

// A participant that is stopped (SIGSTOP, a debugger) or frozen (a control group)
// inside a ring's lock holds up everybody who wants in. It is not dead: when it goes
// on it finishes its store. So nobody takes the lock from it; the host finds out who
// it is and since when, for listings and for those who wait. Only where OnStall says
// so is it killed, by its pidfd, and then repaired like any of the dead.

// What to do about a participant that stands still inside a ring's lock.
const (
	OnStallWait = "wait" // name it and wait until it goes on
	OnStallKill = "kill" // kill it when StallAfter is over, and repair
)

const (
	stallProbe   = 100 * time.Millisecond // how often the host looks who is inside
	stallProof   = 300 * time.Millisecond // it stands still for so long before it is named
	defaultStall = 5 * time.Second        // StallAfter, if it is not given
)

// stall is what the probe keeps of a topic.
type stall struct {
	inside ring.Inside
	since  time.Time // when it was first seen like this
	text   string    // "" until it is proven
	killed bool
}

// CheckOnStall says whether a policy is one. ErrMalformed.
func CheckOnStall(policy string) error {
	if policy == "" || policy == OnStallWait || policy == OnStallKill {
		return nil
	}
	return fmt.Errorf("%w: on-stall policy %q, want %s or %s", ErrMalformed, policy, OnStallWait, OnStallKill)
}

// probeStalls looks into every live ring, again and again.
func (h *host) probeStalls() {
	defer h.work.Done()
	for h.pause(stallProbe) {
		for _, t := range h.look() {
			h.probe(t, time.Now())
			h.looked(t)
		}
	}
}

// probe notes who is inside the topic's ring and stands still there.
func (h *host) probe(t *topic, now time.Time) {
	in, ok := t.ring.Inside()
	h.mu.Lock()
	s := &t.stall
	if !ok || in != s.inside || s.since.IsZero() {
		if s.text != "" {
			h.log.Info("goes on", "topic", t.name, "was", s.text)
		}
		*s = stall{inside: in, since: now}
		t.stalled = "" // who waits for it says so again
		if !ok {
			*s = stall{}
		}
		h.mu.Unlock()
		return
	}
	held, d := now.Sub(s.since), t.publishers[in.Slot]
	var peer *Peer
	if d != nil && d.generation == in.Gen && d.session != nil {
		peer = d.session.peer
	}
	h.mu.Unlock()
	if held < stallProof || peer == nil {
		return
	}
	state := peer.stoppedState()
	if state == "" {
		return // it runs, however slowly
	}
	h.mu.Lock()
	first := s.text == ""
	s.text = fmt.Sprintf("%s is inside the lock and %s", d, state)
	kill := h.config.OnStall == OnStallKill && held >= h.config.StallAfter && !s.killed
	h.mu.Unlock()
	if first {
		h.log.Warn("stalled", "topic", t.name, "by", s.text, "since", s.since)
	}
	if kill {
		h.killStalled(t, peer, held)
	}
}

// nameStalled says who holds up the host's entry into a ring, with the pid, which the
// ring does not know.
func (h *host) nameStalled(t *topic, err error) string {
	var e *ring.StalledError
	if !errors.As(err, &e) {
		return err.Error()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if t.stall.text != "" {
		return t.stall.text
	}
	if d := t.publishers[e.Slot]; d != nil {
		return "the lock is held by " + d.String()
	}
	return err.Error()
}

// killStalled kills the process that stands still.
func (h *host) killStalled(t *topic, peer *Peer, after time.Duration) {
	if int(peer.PID) == os.Getpid() {
		return
	}
	err := peer.kill()
	h.mu.Lock()
	t.stall.killed = err == nil
	h.mu.Unlock()
	level := slog.LevelWarn
	if err != nil {
		level = slog.LevelError
	}
	h.log.Log(h.ctx, level, "kill who stands still inside the lock", "topic", t.name, "pid", peer.PID, "after", after.Round(time.Millisecond), "error", err)
}

// stoppedState says how a process is kept from running, "" if it is not, or nobody
// knows.
func (p *Peer) stoppedState() string {
	if p.PID <= 0 || p.Exited() {
		return ""
	}
	return stoppedState("/", int(p.PID))
}

// stoppedState says whether a process is stopped or frozen, with /proc and /sys
// under root; "" if it is neither.
func stoppedState(root string, pid int) string {
	b, err := os.ReadFile(filepath.Join(root, "proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return ""
	}
	// pid (name) state …; the name may hold anything, parentheses included.
	if _, rest, ok := strings.Cut(string(b[strings.LastIndexByte(string(b), ')')+1:]), " "); ok && rest != "" {
		switch rest[0] {
		case 'T':
			return "stopped (SIGCONT continues it)"
		case 't':
			return "stopped by a debugger"
		}
	}
	if name := frozenCgroup(root, pid); name != "" {
		return "frozen with control group " + name
	}
	return ""
}

// frozenCgroup returns the frozen control group that a process is in, "" if there is
// none. In v2 cgroup.events says "frozen 1" also below the one that was frozen, in v1
// freezer.state says FROZEN.
func frozenCgroup(root string, pid int) string {
	b, err := os.ReadFile(filepath.Join(root, "proc", strconv.Itoa(pid), "cgroup"))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3) // id:controllers:path
		if len(f) != 3 {
			continue
		}
		v2 := f[0] == "0" && f[1] == ""
		if !v2 && !hasWord(f[1], "freezer") {
			continue
		}
		for _, m := range cgroupMounts(root, "freezer") {
			rel, ok := under(f[2], m.root)
			if m.v1 == v2 || !ok {
				continue
			}
			dir := filepath.Join(root, m.point, rel)
			if v2 {
				if n, ok := lookup(filepath.Join(dir, "cgroup.events"), "frozen"); ok && n == 1 {
					return path.Clean("/" + f[2])
				}
				continue
			}
			if s, err := os.ReadFile(filepath.Join(dir, "freezer.state")); err == nil && strings.HasPrefix(string(s), "FROZEN") {
				return path.Clean("/" + f[2])
			}
		}
	}
	return ""
}
