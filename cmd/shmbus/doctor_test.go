package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/shmbus/shmbus/control"
	"github.com/shmbus/shmbus/ring"
)

// healthy is a machine with nothing to complain about.
func healthy() machineFacts {
	return machineFacts{
		system: "linux", arch: "amd64", release: "6.18.1-x",
		memfdSeals: true, futureWrite: true, noexecSeal: true, futexWaitv: true, pidfd: true, peerPIDFD: true, barrier: true,
		tsc: true, clocksource: "tsc", cpus: 2, nofile: 1024, as: math.MaxUint64, memlock: 8 << 20, overcommit: "0",
		available: 1 << 30, limit: "MemAvailable", root: "/r", rule: "rule",
		filesystems: []filesystem{{"/r", 1 << 30, 2 << 30, 1000, true}, {"/run", 1 << 30, 2 << 30, 0, false}},
		buses:       []busDir{{"/r/a", 7, nil}},
	}
}

// serving is a bus with nothing to complain about.
func serving() busFacts {
	return busFacts{name: "default", version: "v1", host: control.HostInfo{PID: 7, Program: "shmbus", Version: "v1", Memory: 1, MaxMemory: 1000},
		topics: []topicFacts{{
			info: control.TopicInfo{Name: "t", Publishers: 1, Subscribers: 2},
			stat: ring.Stat{Capacity: 4096, Used: 100, Sequence: 50, GatingSlot: 0},
			subscribers: []ring.SubscriberInfo{
				{Slot: 0, Name: "display", Mode: ring.Reliable, Gating: true, Sequence: 40},
				{Slot: 1, Mode: ring.Lossy, Sequence: 45},
			},
		}}}
}

// TestDoctorMachine spoils one fact after the other: just that check complains, at its
// level, with advice; and every check is spoilt by one of them.
func TestDoctorMachine(t *testing.T) {
	spoiled := map[string]bool{"RLIMIT_MEMLOCK": true, "buses": true, "MFD_NOEXEC_SEAL": true} // never complain
	for _, f := range checkMachine(healthy()) {
		if f.Level != levelOK || f.Advice != "" || f.Found == "" || f.Wanted == "" {
			t.Errorf("a healthy machine: %+v", f)
		}
	}
	for _, x := range []struct {
		check string
		level level
		spoil func(*machineFacts)
	}{
		{"kernel", levelFail, func(f *machineFacts) { f.release = "5.9.0" }},
		{"kernel", levelFail, func(f *machineFacts) { f.release = "" }},
		{"memfd seals", levelFail, func(f *machineFacts) { f.memfdSeals = false }},
		{"future-write seal", levelWarn, func(f *machineFacts) { f.futureWrite = false }},
		{"futex_waitv", levelWarn, func(f *machineFacts) { f.futexWaitv = false }},
		{"pidfd_open", levelFail, func(f *machineFacts) { f.pidfd = false }},
		{"SO_PEERPIDFD", levelWarn, func(f *machineFacts) { f.peerPIDFD = false }},
		{"membarrier", levelWarn, func(f *machineFacts) { f.barrier = false }},
		{"clock", levelWarn, func(f *machineFacts) { f.tsc, f.clocksource = false, "hpet" }},
		{"processors", levelWarn, func(f *machineFacts) { f.cpus = 1 }},
		{"RLIMIT_NOFILE", levelWarn, func(f *machineFacts) { f.nofile = 256 }},
		{"RLIMIT_NOFILE", levelFail, func(f *machineFacts) { f.nofile = 20 }},
		{"RLIMIT_AS", levelWarn, func(f *machineFacts) { f.as = 1 << 30 }},
		{"overcommit", levelWarn, func(f *machineFacts) { f.overcommit = "2" }},
		{"memory", levelWarn, func(f *machineFacts) { f.available, f.limit = 1<<20, "cgroup /x memory.max" }},
		{"memory", levelWarn, func(f *machineFacts) { f.memoryErr = errors.New("no /proc") }},
		{"space on /r", levelFail, func(f *machineFacts) { f.filesystems[0].free = 4096 }},
		{"space on /r", levelFail, func(f *machineFacts) { f.filesystems[0].inodes = 3 }},
		{"space on /run", levelFail, func(f *machineFacts) { f.filesystems[1].free = 0 }},
		{"directory", levelFail, func(f *machineFacts) { f.rootErr = errors.New("relative") }},
		{"directory /r/b", levelFail, func(f *machineFacts) {
			f.buses = append(f.buses, busDir{"/r/b", 0, fmt.Errorf("%w: 0777", control.ErrDirMode)})
		}},
		{"system", levelFail, func(f *machineFacts) { f.system = "darwin" }},
	} {
		f := healthy()
		x.spoil(&f)
		found := 0
		for _, g := range checkMachine(f) {
			switch {
			case g.Check == x.check && g.Level == x.level && g.Advice != "":
				found++
			case g.Level != levelOK:
				t.Errorf("%s: %+v too", x.check, g)
			}
		}
		if found != 1 {
			t.Errorf("%s was not found once at level %s: %+v", x.check, x.level, checkMachine(f))
		}
		spoiled[x.check] = true
	}
	for _, f := range checkMachine(healthy()) {
		if !spoiled[f.Check] {
			t.Errorf("no test spoils %s", f.Check)
		}
	}
	f := healthy()
	f.buses = append(f.buses, busDir{"/r/old", 0, nil})
	for _, g := range checkMachine(f) {
		if g.Check == "buses" && (g.Level != levelOK || !strings.Contains(g.Found, "1 hosted, 1 left behind (/r/old)") || g.Advice == "") {
			t.Errorf("a directory left behind: %+v", g)
		}
	}
}

// TestDoctorBus does the same for a bus.
func TestDoctorBus(t *testing.T) {
	for _, f := range checkBus(serving()) {
		if f.Level != levelOK || f.Advice != "" {
			t.Errorf("a healthy bus: %+v", f)
		}
	}
	topic := func(do func(*topicFacts)) func(*busFacts) { return func(f *busFacts) { do(&f.topics[0]) } }
	for _, x := range []struct {
		check string
		level level
		text  string
		spoil func(*busFacts)
	}{
		{"host", levelFail, "pid 9", func(f *busFacts) { f.err = fmt.Errorf("%w: pid 9 says nothing", control.ErrHostStalled) }},
		{"host", levelFail, "version 2", func(f *busFacts) { f.err = &control.VersionError{Ours: 1, Theirs: 2} }},
		{"host", levelFail, "another user", func(f *busFacts) { f.err = control.ErrDirOwner }},
		{"host version", levelWarn, "v0", func(f *busFacts) { f.host.Version = "v0" }},
		{"bus memory", levelWarn, "950B of 1000B", func(f *busFacts) { f.host.Memory = 950 }},
		{"topic t", levelFail, "in quarantine: offset 0x380", topic(func(t *topicFacts) { t.info.Corrupt = "offset 0x380" })},
		{"topic t", levelFail, "0x300", topic(func(t *topicFacts) { t.corrupt = &ring.CorruptError{Region: "log", Offset: 0x300} })},
		{"topic t", levelFail, "of pid 12, since 2026-01-02T", topic(func(t *topicFacts) {
			t.info.Stalled, t.info.StalledSince = "publisher slot 0 of pid 12", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		})},
		{"topic t", levelWarn, "quarantined: publisher slot 3", topic(func(t *topicFacts) { t.info.Quarantined = []string{"publisher slot 3"} })},
		{"topic t", levelWarn, `"display" (slot 0) holds publishers up: 10 messages behind, the ring is 97 % full`, topic(func(t *topicFacts) { t.stat.Used = 4000 })},
		{"topic t", levelWarn, "was detached", topic(func(t *topicFacts) { t.subscribers[0].Gating = false })},
		{"topic t", levelWarn, "slot 1 has lost 5 messages of 12", topic(func(t *topicFacts) { t.subscribers[1].LostPolling, t.subscribers[1].Delivered = 5, 7 })},
	} {
		f := serving()
		x.spoil(&f)
		found := 0
		for _, g := range checkBus(f) {
			switch {
			case g.Check == x.check && g.Level == x.level && g.Advice != "" && strings.Contains(g.Found, x.text):
				found++
			case g.Level != levelOK:
				t.Errorf("%s %q: %+v too", x.check, x.text, g)
			}
		}
		if found != 1 {
			t.Errorf("%s %q was not found once at level %s: %+v", x.check, x.text, x.level, checkBus(f))
		}
	}
	if f := checkBus(busFacts{name: "x", err: control.ErrNoBus}); len(f) != 1 || f[0].Level != levelOK {
		t.Errorf("no bus: %+v", f)
	}
}

// diagnosis runs doctor and returns its findings by level.
func diagnosis(t *testing.T, p place, exit int) map[level][]finding {
	t.Helper()
	d := p.command(t, "doctor", "-o", "json")
	out := d.out(t)
	d.start(t)
	b, err := io.ReadAll(out)
	if err != nil {
		t.Fatal(err)
	}
	d.exits(t, exit)
	var all []finding
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatalf("%v in %s", err, b)
	}
	by := map[level][]finding{}
	for _, f := range all {
		by[f.Level] = append(by[f.Level], f)
	}
	return by
}

// TestDoctorOnABus: a subscriber that does not read is a warning, a stopped host is
// wrong and named.
func TestDoctorOnABus(t *testing.T) {
	p := newPlace(t)
	serve := p.command(t, "serve").start(t)
	p.until(t, `"keep": true`, "stat", "-o", "json")
	sub := p.command(t, "sub", "t", "--name", "deaf")
	sub.out(t)
	sub.start(t)
	pub := p.command(t, "pub", "t", "--capacity", "4KiB", "--wait-subscribers", "1")
	pub.Stdin = strings.NewReader(numbered("a line of some length ", 200_000))
	pub.start(t)
	poll(func() bool {
		for _, f := range diagnosis(t, p, exitOK)[levelWarn] {
			if f.Check == "topic t" && strings.Contains(f.Found, `"deaf"`) && strings.Contains(f.Found, "holds publishers up") {
				return true
			}
		}
		return false
	}, func() { t.Fatal("the subscriber in the way was never named") })
	if err := serve.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	failed := diagnosis(t, p, exitFailed)[levelFail]
	if len(failed) != 1 || failed[0].Check != "host" || !strings.Contains(failed[0].Found, fmt.Sprint("pid ", serve.Process.Pid)) {
		t.Errorf("a stopped host: %+v", failed)
	}
	serve.Process.Signal(syscall.SIGCONT)
}
