package storm

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"strconv"
	"strings"
)

// Usage is what a process holds.
type Usage struct {
	Descriptors map[string]int `json:"descriptors"` // by kind: socket, memfd, pidfd…
	Memfds      int            `json:"memfds"`      // mapped
	MemfdBytes  uint64         `json:"memfd_bytes"` // of the memfds it holds open
	Threads     int            `json:"threads"`
	Goroutines  int            `json:"goroutines,omitempty"` // known to the process alone
	Resident    uint64         `json:"resident"`             // bytes
}

// OwnUsage is what this process holds.
func OwnUsage() (Usage, error) {
	u, err := UsageOf(os.Getpid())
	u.Goroutines = runtime.NumGoroutine()
	return u, err
}

// UsageOf asks the kernel what a process holds.
func UsageOf(pid int) (Usage, error) {
	u := Usage{Descriptors: map[string]int{}}
	dir := fmt.Sprintf("/proc/%d", pid)
	fds, err := os.ReadDir(dir + "/fd")
	if err != nil {
		return u, err
	}
	for _, fd := range fds {
		name := filepath.Join(dir, "fd", fd.Name())
		target, err := os.Readlink(name)
		if err != nil {
			continue // the one ReadDir had open
		}
		if target == dir+"/fd" {
			continue
		}
		u.Descriptors[kindOf(target)]++
		if strings.HasPrefix(target, "/memfd:") {
			if info, err := os.Stat(name); err == nil {
				u.MemfdBytes += uint64(info.Size())
			}
		}
	}
	maps, err := os.ReadFile(dir + "/maps")
	if err != nil {
		return u, err
	}
	u.Memfds = strings.Count(string(maps), "/memfd:")
	status, err := os.ReadFile(dir + "/status")
	if err != nil {
		return u, err
	}
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		value, _, _ = strings.Cut(strings.TrimSpace(value), " ")
		n, err := strconv.ParseUint(value, 10, 64)
		switch {
		case err != nil:
		case name == "Threads":
			u.Threads = int(n)
		case name == "VmRSS":
			u.Resident = n << 10
		}
	}
	return u, nil
}

// kindOf names what a descriptor is, without what differs from one to the next.
func kindOf(target string) string {
	if kind, _, ok := strings.Cut(target, ":["); ok {
		return kind // socket:[123], pipe:[123]
	}
	if strings.HasPrefix(target, "/memfd:") {
		return "memfd"
	}
	if strings.HasPrefix(target, "/") {
		return filepath.Base(target)
	}
	return strings.TrimPrefix(target, "anon_inode:")
}

// differs says what differs between two usages that must be the same; threads
// and memory are for those who ask.
func (u Usage) differs(base Usage) []string {
	var ds []string
	for kind, n := range u.Descriptors {
		if b := base.Descriptors[kind]; b != n {
			ds = append(ds, fmt.Sprintf("%d %s descriptors, before %d", n, kind, b))
		}
	}
	for kind, b := range base.Descriptors {
		if _, ok := u.Descriptors[kind]; !ok {
			ds = append(ds, fmt.Sprintf("0 %s descriptors, before %d", kind, b))
		}
	}
	sort.Strings(ds)
	if u.Memfds != base.Memfds {
		ds = append(ds, fmt.Sprintf("%d mapped memfds, before %d", u.Memfds, base.Memfds))
	}
	if u.MemfdBytes != base.MemfdBytes {
		ds = append(ds, fmt.Sprintf("%d bytes of memfds, before %d", u.MemfdBytes, base.MemfdBytes))
	}
	if u.Goroutines != base.Goroutines {
		ds = append(ds, fmt.Sprintf("%d goroutines, before %d", u.Goroutines, base.Goroutines))
	}
	return ds
}

func (u Usage) String() string {
	return fmt.Sprintf("%d descriptors, %d mapped memfds (%d bytes), %d threads, %d goroutines, %.1f MiB resident",
		u.descriptors(), u.Memfds, u.MemfdBytes, u.Threads, u.Goroutines, float64(u.Resident)/(1<<20))
}

// descriptors is how many there are.
func (u Usage) descriptors() int {
	n := 0
	for _, k := range u.Descriptors {
		n += k
	}
	return n
}

// filesOf lists a directory.
func filesOf(dir string) ([]string, error) {
	list, err := os.ReadDir(dir)
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names, err
}
