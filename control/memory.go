package control

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// AvailableMemory returns how many bytes this process can still take before the
// kernel would have to kill somebody, and what the limit is: "MemAvailable", or
// "cgroup /a/b memory.max". It is the least of MemAvailable and, for the cgroup
// of this process and each of its ancestors (v1 and v2),
//
//	limit − usage + inactive_file
//
// where inactive_file is page cache that the kernel can give up at once. A memfd
// has no limit of its own: without this comparison a topic that is too large is
// refused by nobody and ends in the OOM killer.
//
// Errors: errors.ErrUnsupported (not Linux, or /proc tells nothing).
func AvailableMemory() (bytes uint64, limit string, err error) {
	if runtime.GOOS != "linux" {
		return 0, "", fmt.Errorf("control: available memory: %w", errors.ErrUnsupported)
	}
	return availableMemory("/")
}

// CgroupOf returns the cgroup that pays for the memory of a process (0: this
// one) by its path, "" if it cannot be known.
func CgroupOf(pid int) string {
	v2, v1, err := cgroupPaths("/", pid)
	if err != nil {
		return ""
	}
	if v1 != "" {
		return v1
	}
	return v2
}

// cgroupKind is how one version of cgroups names its memory files.
type cgroupKind struct {
	limit, usage, reclaimable string
}

var (
	cgroupV2 = cgroupKind{limit: "memory.max", usage: "memory.current", reclaimable: "inactive_file"}
	cgroupV1 = cgroupKind{limit: "memory.limit_in_bytes", usage: "memory.usage_in_bytes", reclaimable: "total_inactive_file"}
)

// availableMemory is AvailableMemory with /proc and /sys under root.
func availableMemory(root string) (uint64, string, error) {
	least, limit := uint64(math.MaxUint64), ""
	if kib, ok := lookup(filepath.Join(root, "proc/meminfo"), "MemAvailable:"); ok {
		least, limit = kib<<10, "MemAvailable"
	}
	v2, v1, err := cgroupPaths(root, 0)
	if err == nil {
		for _, m := range cgroupMounts(root, "memory") {
			own, kind := v2, cgroupV2
			if m.v1 {
				own, kind = v1, cgroupV1
			}
			if own == "" {
				continue
			}
			kind.each(root, m, own, func(name string, free uint64) {
				if free < least {
					least, limit = free, "cgroup "+name+" "+kind.limit
				}
			})
		}
	}
	if limit == "" {
		return 0, "", fmt.Errorf("control: available memory: neither /proc/meminfo nor a cgroup tells: %w", errors.ErrUnsupported)
	}
	return least, limit, nil
}

// each calls f with every limited cgroup from own up to the root of the mount.
func (k cgroupKind) each(root string, m cgroupMount, own string, f func(name string, free uint64)) {
	rel, ok := under(own, m.root)
	if !ok {
		// The process is outside of what is mounted here (a container's view):
		// the mounted root is the nearest that can be seen.
		rel = "/"
	}
	for {
		dir := filepath.Join(root, m.point, rel)
		max, limited := number(filepath.Join(dir, k.limit))
		usage, known := number(filepath.Join(dir, k.usage))
		if limited && known {
			reclaimable, _ := lookup(filepath.Join(dir, "memory.stat"), k.reclaimable)
			used := usage - min(usage, reclaimable)
			f(path.Join(m.root, rel), max-min(max, used))
		}
		if rel == "/" {
			return
		}
		rel = path.Dir(rel)
	}
}

// under returns p relative to dir, with a leading slash.
func under(p, dir string) (string, bool) {
	p, dir = path.Clean("/"+p), path.Clean("/"+dir)
	if dir == "/" {
		return p, true
	}
	if p == dir {
		return "/", true
	}
	rest, ok := strings.CutPrefix(p, dir+"/")
	return "/" + rest, ok
}

// cgroupPaths reads /proc/PID/cgroup: the v2 path, and the v1 path of the
// memory controller, each "" where there is none.
func cgroupPaths(root string, pid int) (v2, v1 string, err error) {
	who := "self"
	if pid != 0 {
		who = strconv.Itoa(pid)
	}
	b, err := os.ReadFile(filepath.Join(root, "proc", who, "cgroup"))
	if err != nil {
		return "", "", fmt.Errorf("control: cgroup of process %s: %w", who, err)
	}
	for line := range strings.Lines(string(b)) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3) // id:controllers:path
		switch {
		case len(f) != 3:
		case f[0] == "0" && f[1] == "":
			v2 = f[2]
		case hasWord(f[1], "memory"):
			v1 = f[2]
		}
	}
	return v2, v1, nil
}

// cgroupMount is one mounted hierarchy.
type cgroupMount struct {
	root  string // the cgroup that is seen at point
	point string
	v1    bool
}

// cgroupMounts lists the v2 hierarchies and those of one v1 controller. It reads /proc/self/mountinfo, see proc_pid_mountinfo(5):
//
//	35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
func cgroupMounts(root, controller string) []cgroupMount {
	b, err := os.ReadFile(filepath.Join(root, "proc/self/mountinfo"))
	if err != nil {
		return nil
	}
	var all []cgroupMount
	for line := range strings.Lines(string(b)) {
		left, right, ok := strings.Cut(line, " - ")
		l, r := strings.Fields(left), strings.Fields(right)
		if !ok || len(l) < 5 || len(r) < 3 {
			continue
		}
		m := cgroupMount{root: unescape(l[3]), point: unescape(l[4]), v1: r[0] == "cgroup"}
		if r[0] == "cgroup2" || m.v1 && hasWord(r[2], controller) {
			all = append(all, m)
		}
	}
	return all
}

// unescape undoes mountinfo's octal escapes of space, tab, newline and backslash.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// hasWord reports whether a comma-separated list has a word.
func hasWord(list, word string) bool {
	for w := range strings.SplitSeq(list, ",") {
		if w == word {
			return true
		}
	}
	return false
}

// number reads a file that holds one number; "max" and what is larger than any
// memory (v1's way of saying it) count as not limited.
func number(name string) (uint64, bool) {
	b, err := os.ReadFile(name)
	if err != nil {
		return 0, false
	}
	v, err := strconv.ParseUint(string(bytes.TrimSpace(b)), 10, 64)
	return v, err == nil && v < 1<<62
}

// lookup finds the number behind a word that starts a line.
func lookup(name, word string) (uint64, bool) {
	f, err := os.Open(name)
	if err != nil {
		return 0, false
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		w := strings.Fields(lines.Text())
		if len(w) >= 2 && w[0] == word {
			v, err := strconv.ParseUint(w[1], 10, 64)
			return v, err == nil
		}
	}
	return 0, false
}
