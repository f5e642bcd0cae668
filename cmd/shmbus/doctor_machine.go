package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"strings"

	"github.com/shmbus/shmbus/control"
)

// machineFacts are what doctor knows of the machine, read by readMachine.
type machineFacts struct {
	system, arch string
	release      string // of the kernel

	memfdSeals, futureWrite, noexecSeal   bool
	futexWaitv, pidfd, peerPIDFD, barrier bool

	tsc         bool   // usable and used for stamps
	clocksource string // of the kernel, "" if unknown
	cpus        int

	nofile, as, memlock uint64 // soft limits; math.MaxUint64: none
	overcommit          string // vm.overcommit_memory, "" if unknown
	available           uint64
	limit               string // what says so
	memoryErr           error

	root, rule  string
	rootErr     error
	filesystems []filesystem
	buses       []busDir
}

type filesystem struct {
	path        string
	free, total uint64 // bytes
	inodes      uint64 // free ones
	counted     bool   // it counts inodes
}

// busDir is one directory below the root of buses.
type busDir struct {
	name string
	host int // pid, 0 if nobody hosts it
	err  error
}

// checkMachine judges the machine.
func checkMachine(f machineFacts) []finding {
	if f.system != "linux" {
		return []finding{{"system", levelFail, f.system + "/" + f.arch, "linux/amd64 or linux/arm64", "run it on Linux"}}
	}
	all := []finding{
		examine("kernel", atLeast(f.release, 5, 10), levelFail, f.release, "5.10 or later", "boot a newer kernel"),
		feature("memfd seals", f.memfdSeals, levelFail, "", "shared memory cannot be made safe here: allow memfd_create and F_ADD_SEALS"),
		feature("future-write seal", f.futureWrite, levelWarn, "Linux 5.1", "exclusive topics cannot be made"),
		feature("MFD_NOEXEC_SEAL", f.noexecSeal, levelOK, "Linux 6.3", ""),
		feature("futex_waitv", f.futexWaitv, levelWarn, "Linux 5.16", "waits look more often, which costs some processor time: boot a newer kernel, or allow it in seccomp"),
		feature("pidfd_open", f.pidfd, levelFail, "", "deaths cannot be proven: allow pidfd_open"),
		feature("SO_PEERPIDFD", f.peerPIDFD, levelWarn, "Linux 6.5", "participants in another PID namespace are refused: keep all in one"),
		feature("membarrier", f.barrier, levelWarn, "", "every message pays for a full fence; run the host with `shmbus serve --fenced`, or allow membarrier in seccomp"),
		examine("clock", f.tsc || f.arch != "amd64", levelWarn, "clock source "+orUnknown(f.clocksource), "tsc",
			"stamps take longer; see why the kernel has given the TSC up (dmesg)"),
		examine("processors", f.cpus > 1, levelWarn, fmt.Sprint(f.cpus), "2 or more", "spinning never pays here: subscribers are better off with Park"),
	}
	return append(append(all, checkLimits(f)...), checkPlaces(f)...)
}

// feature is a finding about one thing the kernel can do or not.
func feature(name string, there bool, missing level, since, advice string) finding {
	found := "yes"
	if !there {
		found = "no"
	}
	wanted := "yes"
	if since != "" {
		wanted += " (" + since + ")"
	}
	return examine(name, there, missing, found, wanted, advice)
}

func checkLimits(f machineFacts) []finding {
	const enough = 1024
	nofile := levelWarn
	if f.nofile < 64 {
		nofile = levelFail
	}
	all := []finding{
		examine("RLIMIT_NOFILE", f.nofile >= enough, nofile, limitText(f.nofile), fmt.Sprintf("%d or more", enough),
			"each topic takes 2 descriptors or more, a host also 2 a client: ulimit -n, or LimitNOFILE="),
		examine("RLIMIT_AS", f.as >= 8<<30, levelWarn, limitBytes(f.as), "none", "a topic is mapped whole, with all its slots: ulimit -v unlimited"),
		{"RLIMIT_MEMLOCK", levelOK, limitBytes(f.memlock), "any: nothing is locked", ""},
		examine("overcommit", f.overcommit != "2", levelWarn, "vm.overcommit_memory "+orUnknown(f.overcommit), "0 or 1",
			"topics may be refused while memory is free: sysctl vm.overcommit_memory=0"),
	}
	if f.memoryErr != nil {
		return append(all, finding{"memory", levelWarn, f.memoryErr.Error(), "MemAvailable or a control group", "mount /proc: the host compares before it makes a topic"})
	}
	return append(all, examine("memory", f.available >= 64<<20, levelWarn, fmt.Sprintf("%s available (%s)", bytesText(f.available), f.limit),
		"64MiB or more", "new topics are refused soon: free memory, or raise the limit"))
}

func checkPlaces(f machineFacts) []finding {
	var all []finding
	if f.rootErr != nil {
		return []finding{{"directory", levelFail, f.rootErr.Error(), "a directory for buses", "name one with --dir or SHMBUS_DIR"}}
	}
	for _, s := range f.filesystems {
		full := s.free < 1<<20 || s.counted && s.inodes < 16
		found := bytesText(s.free) + " free of " + bytesText(s.total)
		if s.counted {
			found += fmt.Sprintf(", %d inodes", s.inodes)
		}
		all = append(all, examine("space on "+s.path, !full, levelFail, found, "1MiB and 16 inodes", "free some: no bus can be made there"))
	}
	hosted, left := 0, []string{}
	for _, b := range f.buses {
		switch {
		case b.err != nil:
			all = append(all, finding{"directory " + b.name, levelFail, strings.Join(strings.Fields(b.err.Error()), " "), "a directory of yours, 0700", "correct it as the error says, or remove it"})
		case b.host != 0:
			hosted++
		default:
			left = append(left, b.name)
		}
	}
	advice := ""
	if len(left) > 0 {
		advice = "harmless: the next one to open it uses it; remove it if you like, when nobody does"
	}
	found := fmt.Sprintf("%s: %d hosted, %d left behind", f.root, hosted, len(left))
	if len(left) > 0 {
		found += " (" + strings.Join(left[:min(len(left), 5)], ", ") + ")"
	}
	return append(all, finding{"buses", levelOK, found, f.rule, advice})
}

// readMachine gathers the facts. root is what the user chose, "" for the system's.
func readMachine(root string) machineFacts {
	f := machineFacts{system: runtime.GOOS, arch: runtime.GOARCH, cpus: runtime.NumCPU()}
	readKernel(&f)
	f.available, f.limit, f.memoryErr = control.AvailableMemory()
	f.clocksource = firstLine("/sys/devices/system/clocksource/clocksource0/current_clocksource")
	f.overcommit = firstLine("/proc/sys/vm/overcommit_memory")
	f.root, f.rule, f.rootErr = control.ResolveRoot(root)
	if f.rootErr != nil {
		return f
	}
	seen := map[string]bool{}
	for _, path := range []string{nearest(f.root), "/tmp", "/run"} {
		if !seen[path] {
			seen[path] = true
			if s, err := readFilesystem(path); err == nil {
				f.filesystems = append(f.filesystems, s)
			}
		}
	}
	entries, err := os.ReadDir(f.root)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		f.rootErr = err
	}
	for _, e := range entries {
		if control.ValidName("bus", e.Name()) != nil {
			continue // not one of ours
		}
		b := busDir{name: f.root + "/" + e.Name()}
		var d *control.BusDir
		if d, b.err = control.OpenBusDir(f.root, e.Name(), control.DirOptions{Rule: f.rule}); b.err == nil {
			b.host = d.HostPID()
			d.Close()
		}
		f.buses = append(f.buses, b)
	}
	return f
}

// nearest is the directory, or the nearest above it that is there.
func nearest(path string) string {
	for path != "/" && path != "." {
		if _, err := os.Stat(path); err == nil {
			break
		}
		path = path[:max(strings.LastIndexByte(path, '/'), 1)]
	}
	return path
}

func firstLine(name string) string {
	b, err := os.ReadFile(name)
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(b), "\n")
	return strings.TrimSpace(line)
}

// atLeast compares a kernel's release, like 6.18.5-foo.
func atLeast(release string, major, minor int) bool {
	var a, b int
	if _, err := fmt.Sscanf(release, "%d.%d", &a, &b); err != nil {
		return false
	}
	return a > major || a == major && b >= minor
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

func limitText(n uint64) string {
	if n == math.MaxUint64 {
		return "none"
	}
	return fmt.Sprint(n)
}

func limitBytes(n uint64) string {
	if n == math.MaxUint64 {
		return "none"
	}
	return bytesText(n)
}
