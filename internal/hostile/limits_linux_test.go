package hostile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/shmbus/shmbus/bus"
	"github.com/shmbus/shmbus/bustest"
)

// limitedProgram opens a topic, then runs out of what Args[0] names, asks for
// more, says what it was told, and uses the topic it has: whatever was granted
// is there for good.
func limitedProgram(ctx context.Context, c *bustest.Child) error {
	b, err := c.Open(ctx)
	if err != nil {
		c.Say("failed %s %v", kindOf(err), err)
		<-ctx.Done()
	}
	p, err := b.Publisher(ctx, "before", bus.PublisherConfig{Capacity: 64 << 10})
	if err != nil {
		c.Say("failed %s %v", kindOf(err), err)
		<-ctx.Done()
	}
	s, err := b.Subscriber(ctx, "before", bus.SubscriberConfig{})
	if err != nil {
		return err
	}
	c.Say("ready")
	const large = 64 << 20
	switch c.Args[0] {
	case "nothing":
	case "address space":
		used, err := addressSpace()
		if err != nil {
			return err
		}
		if err := limit(unix.RLIMIT_AS, used+large/2); err != nil {
			return err
		}
	case "descriptors":
		free, err := os.Open(os.DevNull) // the lowest free number
		if err != nil {
			return err
		}
		defer free.Close()
		if err := limit(unix.RLIMIT_NOFILE, uint64(free.Fd())+1); err != nil {
			return err
		}
	}
	for _, role := range []string{"publisher", "subscriber"} {
		if role == "publisher" {
			_, err = b.Publisher(ctx, "large", bus.PublisherConfig{Capacity: large})
		} else {
			_, err = b.Subscriber(ctx, "large", bus.SubscriberConfig{NoWait: true})
		}
		if err == nil {
			c.Say("%s ok", role)
		} else {
			c.Say("%s %s %v", role, kindOf(err), err)
		}
	}
	for n := uint64(0); ; n++ {
		if err := p.Publish(ctx, payload(n, 1)); err != nil {
			return err
		}
		m, err := s.Next(ctx)
		if err != nil {
			return err
		}
		if _, _, err := numberOf(m.Payload); err != nil {
			return err
		}
		if n%256 == 0 {
			c.Say("at %d", n)
		}
	}
}

// limit sets a limit of this process while it runs.
func limit(resource int, n uint64) error {
	return unix.Prlimit(0, resource, &unix.Rlimit{Cur: n, Max: n}, nil)
}

// addressSpace is how many bytes of addresses this process uses.
func addressSpace() (uint64, error) {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	pages, err := strconv.ParseUint(strings.Fields(string(b))[0], 10, 64)
	return pages * uint64(os.Getpagesize()), err
}

// told waits for the line that begins with word.
func (a *actor) told(t *testing.T, word string) (line string) {
	t.Helper()
	a.until(t, "say "+word, func() bool {
		for _, l := range a.lines {
			if strings.HasPrefix(l, word+" ") {
				line = strings.TrimPrefix(l, word+" ")
				return true
			}
		}
		return false
	})
	return line
}

// TestAddressSpace: a participant that may map no more is told when it joins,
// and what it has goes on.
func TestAddressSpace(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	a := spawn(t, s.dir, "limited", "address space")
	for _, role := range []string{"publisher", "subscriber"} {
		if said := a.told(t, role); !strings.HasPrefix(said, "no-memory ") || !strings.Contains(said, "cannot allocate memory") {
			t.Errorf("the %s was told %q", role, said)
		}
	}
	a.goOn(t)
	s.finish()
}

// TestDescriptorLimit: likewise where it may open no more files.
func TestDescriptorLimit(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	a := spawn(t, s.dir, "limited", "descriptors")
	for _, role := range []string{"publisher", "subscriber"} {
		if said := a.told(t, role); !strings.HasPrefix(said, "no-descriptors ") || !strings.Contains(said, "descriptors") {
			t.Errorf("the %s was told %q", role, said)
		}
	}
	a.goOn(t)
	s.finish()
}

// TestFullDirectory: a bus works where no block of the file system is left,
// since it writes none; where not even a file can be made, it says so.
func TestFullDirectory(t *testing.T) {
	t.Parallel()
	prefix := unshare(t, "--mount")
	in := func(dir, options, fill string) []string {
		script := fmt.Sprintf(`mount -t tmpfs -o mode=700,%s none "$SHMBUS_BUSTEST_DIR" && cd "$SHMBUS_BUSTEST_DIR" && { %s; } 2> /dev/null; cd / && exec "$@"`, options, fill)
		return append(prefix, "sh", "-c", script, "sh")
	}
	dir := bustest.Dir(t)
	a := start(t, dir, in(dir, "size=64k", "cat /dev/zero > filling"), nil, "limited", "nothing")
	if said := a.told(t, "publisher"); said != "ok" {
		t.Errorf("on a full file system: %s", said)
	}
	a.goOn(t)
	b := start(t, dir, in(dir, "nr_inodes=3", "touch 1 2 3 4 5; true"), nil, "limited", "nothing")
	if how := b.outcome(t); !strings.Contains(how, "no space left on device") || !strings.Contains(how, dir) {
		t.Errorf("without a file left: %s", how)
	}
}

// memoryGroup makes a memory cgroup of so many bytes, for the host of a scene.
func memoryGroup(t *testing.T, bytes int) string {
	t.Helper()
	needRoot(t)
	name := fmt.Sprintf("shmbus-test-%d", os.Getpid())
	for _, c := range []struct{ dir, limit string }{
		{"/sys/fs/cgroup/memory/" + name, "memory.limit_in_bytes"},
		{"/sys/fs/cgroup/" + name, "memory.max"},
	} {
		if _, err := os.Stat(filepath.Dir(c.dir) + "/cgroup.procs"); err != nil {
			continue
		}
		if err := os.Mkdir(c.dir, 0o755); err != nil {
			continue
		}
		t.Cleanup(func() {
			bustest.Until(t, "the cgroup to be empty", func() bool { err := unix.Rmdir(c.dir); return err == nil || errors.Is(err, unix.ENOENT) })
		})
		if err := os.WriteFile(c.dir+"/"+c.limit, []byte(strconv.Itoa(bytes)), 0o644); err == nil {
			return c.dir
		}
	}
	t.Skip("no memory cgroup can be made here")
	return ""
}

// TestSmallCgroup: a topic that does not fit into the memory cgroup of the host
// is refused, with the limit named, and nobody is killed for it.
func TestSmallCgroup(t *testing.T) {
	t.Parallel()
	group := memoryGroup(t, 96<<20)
	s := &scene{t: t, dir: bustest.Dir(t)}
	s.host = start(t, s.dir, []string{"sh", "-c", `echo $$ > "` + group + `/cgroup.procs" && exec "$@"`, "sh"}, nil, "host", "", fmt.Sprint(uint64(1)<<40))
	s.bystanders = s.cast("bystander")
	b := bustest.Open(t, s.dir)
	_, err := b.Publisher(bustest.Context(t), "large", bus.PublisherConfig{Capacity: 256 << 20})
	if !errors.Is(err, bus.ErrNoMemory) || !strings.Contains(err.Error(), filepath.Base(group)) {
		t.Errorf("a topic of 256 MiB: %v; want the limit of %s", err, group)
	}
	// As much as is left, topic by topic, until it is refused.
	for n := range 100 {
		if _, err = b.Publisher(bustest.Context(t), fmt.Sprint("topic-", n), bus.PublisherConfig{Capacity: 8 << 20}); err != nil {
			break
		}
	}
	if !errors.Is(err, bus.ErrNoMemory) {
		t.Errorf("many topics of 8 MiB: %v", err)
	}
	s.unharmed()
}
