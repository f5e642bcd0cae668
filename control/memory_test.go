package control

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

func fakeTree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

const (
	meminfo = "MemTotal:       16000 kB\nMemFree:  10 kB\nMemAvailable:    8000 kB\nBuffers: 1 kB\n"
	mountV2 = "24 23 0:22 / /proc rw - proc proc rw\n31 23 0:28 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
	mountV1 = "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
)

func TestAvailableMemory(t *testing.T) {
	const v2 = "sys/fs/cgroup/"
	const v1 = "sys/fs/cgroup/memory/"
	for name, c := range map[string]struct {
		files map[string]string
		bytes uint64
		limit string
	}{
		"no cgroups": {map[string]string{}, 8000 << 10, "MemAvailable"},
		"v2, no limit": {map[string]string{
			"proc/self/cgroup": "0::/a/b\n", "proc/self/mountinfo": mountV2,
			v2 + "a/b/memory.max": "max\n", v2 + "a/b/memory.current": "5\n",
		}, 8000 << 10, "MemAvailable"},
		"v2, own limit, page cache given back": {map[string]string{
			"proc/self/cgroup": "0::/a/b\n", "proc/self/mountinfo": mountV2,
			v2 + "a/b/memory.max": "100000\n", v2 + "a/b/memory.current": "60000\n",
			v2 + "a/b/memory.stat": "anon 9\nfile 8\ninactive_file 20000\nactive_file 7\n",
		}, 60000, "cgroup /a/b memory.max"},
		"v2, an ancestor is tighter": {map[string]string{
			"proc/self/cgroup": "0::/a/b\n", "proc/self/mountinfo": mountV2,
			v2 + "a/b/memory.max": "100000\n", v2 + "a/b/memory.current": "0\n",
			v2 + "a/memory.max": "70000\n", v2 + "a/memory.current": "69000\n", v2 + "a/memory.stat": "inactive_file 500\n",
		}, 1500, "cgroup /a memory.max"},
		"v2, over its limit": {map[string]string{
			"proc/self/cgroup": "0::/a\n", "proc/self/mountinfo": mountV2,
			v2 + "a/memory.max": "1000\n", v2 + "a/memory.current": "2000\n",
		}, 0, "cgroup /a memory.max"},
		"v2, seen from inside a container": {map[string]string{
			"proc/self/cgroup":    "0::/docker/abc/x\n",
			"proc/self/mountinfo": "31 23 0:28 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n",
			v2 + "memory.max":     "4096\n", v2 + "memory.current": "96\n",
			v2 + "x/memory.max": "max\n",
		}, 4000, "cgroup /docker/abc memory.max"},
		"v2, outside of the mounted root": {map[string]string{
			"proc/self/cgroup":    "0::/../other\n",
			"proc/self/mountinfo": "31 23 0:28 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n",
			v2 + "memory.max":     "4096\n", v2 + "memory.current": "96\n",
		}, 4000, "cgroup /docker/abc memory.max"},
		"v1 has a word for no limit": {map[string]string{
			"proc/self/cgroup": "5:cpu,cpuacct:/x\n4:memory:/m/n\n0::/\n", "proc/self/mountinfo": mountV1,
			v1 + "m/n/memory.limit_in_bytes": "9223372036854771712\n", v1 + "m/n/memory.usage_in_bytes": "1\n",
		}, 8000 << 10, "MemAvailable"},
		"v1, an ancestor limits": {map[string]string{
			"proc/self/cgroup": "5:cpu,cpuacct:/x\n4:memory:/m/n\n0::/\n", "proc/self/mountinfo": mountV1,
			v1 + "m/n/memory.limit_in_bytes": "9223372036854771712\n", v1 + "m/n/memory.usage_in_bytes": "1\n",
			v1 + "m/memory.limit_in_bytes": "50000\n", v1 + "m/memory.usage_in_bytes": "40000\n",
			v1 + "m/memory.stat": "inactive_file 1\ntotal_inactive_file 5000\n",
		}, 15000, "cgroup /m memory.limit_in_bytes"},
		"both versions": {map[string]string{
			"proc/self/cgroup": "4:memory:/m\n0::/u\n", "proc/self/mountinfo": mountV1 + mountV2,
			v1 + "m/memory.limit_in_bytes": "50000\n", v1 + "m/memory.usage_in_bytes": "0\n",
			v2 + "u/memory.max": "30000\n", v2 + "u/memory.current": "0\n",
		}, 30000, "cgroup /u memory.max"},
		"a mount point with a space": {map[string]string{
			"proc/self/cgroup": "0::/\n", "proc/self/mountinfo": `31 23 0:28 / /c\040g rw - cgroup2 cgroup2 rw` + "\n",
			"c g/memory.max": "10\n", "c g/memory.current": "3\n",
		}, 7, "cgroup / memory.max"},
		"garbage everywhere": {map[string]string{
			"proc/self/cgroup": "x\n::\n0::/a\n\xff", "proc/self/mountinfo": "a - b\n- -\n" + mountV2,
			v2 + "a/memory.max": "lots\n", v2 + "a/memory.current": "-3\n", v2 + "a/memory.stat": "inactive_file\n",
		}, 8000 << 10, "MemAvailable"},
	} {
		t.Run(name, func(t *testing.T) {
			c.files["proc/meminfo"] = meminfo
			bytes, limit, err := availableMemory(fakeTree(t, c.files))
			if bytes != c.bytes || limit != c.limit || err != nil {
				t.Errorf("got %d by %q, %v; want %d by %q", bytes, limit, err, c.bytes, c.limit)
			}
		})
	}
	if _, _, err := availableMemory(t.TempDir()); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("without /proc: %v, want ErrUnsupported", err)
	}
}

func TestAvailableMemoryOfThisMachine(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("not Linux")
	}
	bytes, limit, err := AvailableMemory()
	if err != nil || bytes == 0 || limit == "" {
		t.Errorf("got %d by %q, %v", bytes, limit, err)
	}
	if own, same := CgroupOf(0), CgroupOf(os.Getpid()); own == "" || own != same {
		t.Errorf("cgroup of self %q, by pid %q", own, same)
	}
}
