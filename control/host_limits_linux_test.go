package control

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A host that runs out of descriptors: topics until it says so, then one less.
var _ = childProgram("crowded", func(args []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), watchdog)
	defer cancel()
	c, err := Dial(ctx, Config{Dir: args[0], Host: HostConfig{MaxMemory: 1 << 30}})
	if err != nil {
		return err
	}
	if _, err := c.Publisher(ctx, PublisherRequest{Topic: "first", Capacity: 4096}); err != nil {
		return err
	}
	each, err := regionDescriptors()
	if err != nil {
		return err
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 64, Max: 64}); err != nil {
		return err
	}
	var grants []*Grant
	for i := range 64 {
		g, err := c.Publisher(ctx, PublisherRequest{Topic: fmt.Sprint("t", i), Capacity: 4096})
		if err == nil {
			grants = append(grants, g)
			continue
		}
		if !errors.Is(err, ErrNoDescriptors) {
			return err
		}
		break
	}
	// Some room, so that all comes to rest; then eat it, so that accepting finds
	// none.
	for range 2 {
		if err := grants[0].Release(); err != nil {
			return err
		}
		grants = grants[1:]
	}
	if err := atRest(ctx, each*(1+len(grants))); err != nil {
		return err
	}
	if _, err := c.Host(ctx); err != nil {
		return err
	}
	eaten := eatDescriptors(ctx, c.host)
	fmt.Println("crowded", len(grants) > 0)
	var word string
	if _, err := fmt.Scanln(&word); err != nil {
		return err
	}
	CloseFiles(eaten)
	for _, g := range grants {
		if err := g.Release(); err != nil {
			return err
		}
	}
	g, err := c.Publisher(ctx, PublisherRequest{Topic: "again"})
	if err != nil {
		return err
	}
	fmt.Println("again", g.CreatedTopic)
	untilParentEnds()
	return nil
})

// regionDescriptors counts those of this process that are of topics.
func regionDescriptors() (n int, err error) {
	const dir = "/proc/self/fd/"
	all, err := os.ReadDir(dir)
	for _, fd := range all {
		if to, err := os.Readlink(dir + fd.Name()); err == nil && strings.HasPrefix(to, "/memfd:shmbus") {
			n++
		}
	}
	return n, err
}

// atRest waits until only so many are left. A topic that has gone may still be looked
// at, and the slot that there was no room for may still be on its way back.
func atRest(ctx context.Context, want int) error {
	for tick := time.NewTicker(time.Millisecond); ; <-tick.C {
		n, err := regionDescriptors()
		if n == want || err != nil {
			return err
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%d descriptors of topics, want %d", n, want)
		}
	}
}

// eatDescriptors takes all that are left, but for the one that the host keeps back.
func eatDescriptors(ctx context.Context, h *host) (eaten []*os.File) {
	for {
		f, err := os.Open(os.DevNull)
		if err == nil {
			eaten = append(eaten, f)
			continue
		}
		h.mu.Lock()
		spare := h.spare
		h.mu.Unlock()
		if spare != nil {
			return eaten
		}
		// Eaten in the moment in which accepting needed it. The host tries to get
		// it back now and then.
		eaten[len(eaten)-1].Close()
		eaten = eaten[:len(eaten)-1]
		for tick := time.NewTicker(time.Millisecond); spare == nil && ctx.Err() == nil; <-tick.C {
			h.mu.Lock()
			spare = h.spare
			h.mu.Unlock()
		}
	}
}

func TestHostOutOfDescriptorsSaysSo(t *testing.T) {
	root := busRoot(t)
	host := startChild(t, os.Getuid(), os.Getgid(), "crowded", root)
	expectLines(t, host, "crowded true")
	_, err := Dial(soon(t), Config{Dir: root, NeverHost: true})
	if !errors.Is(err, ErrNoDescriptors) || !strings.Contains(err.Error(), fmt.Sprint(host.cmd.Process.Pid)) {
		t.Errorf("join: got %v, want ErrNoDescriptors with the host's pid", err)
	}
	fmt.Fprintln(host.stdin, "go")
	expectLines(t, host, "again true")
	c := dial(t, Config{Dir: root, NeverHost: true})
	publisher(t, c, PublisherRequest{Topic: "first"})
}
