package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// demoChild is one process of the demo as its parent sees it. The child writes
// a demoReport as a line of JSON now and then, the last one with Final set.
type demoChild struct {
	role   string
	args   []string
	mu     sync.Mutex
	report demoReport // latest; guarded by mu
}

func (c *demoChild) latest() demoReport {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.report
}

// runDemoChildren runs one publisher and the subscribers to their end.
func runDemoChildren(ctx context.Context, root string, t *tree) (*demoResult, error) {
	global := []string{"--dir", root, "--bus", demoBus, "--no-host"}
	publisher := &demoChild{role: "publisher",
		args: append([]string{"demo-publisher", t.dir, "--capacity", strconv.FormatUint(t.capacity, 10)}, global...)}
	children := []*demoChild{publisher}
	for i := range demoSubscribers {
		args := append([]string{"demo-subscriber", t.dir}, global...)
		if i == demoSubscribers-1 {
			args = append(args, "--lossy")
		}
		children = append(children, &demoChild{role: "subscriber " + strconv.Itoa(i+1), args: args})
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stopProgress := showProgress(t, children)
	var wg sync.WaitGroup
	for _, c := range children {
		wg.Go(func() {
			if err := c.run(ctx, program); err != nil {
				cancel(fmt.Errorf("%s: %w", c.role, err)) // ends the others; the first cause stays
			}
		})
	}
	wg.Wait()
	stopProgress()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	result := &demoResult{Directory: t.dir, Files: t.files, Bytes: t.bytes, Capacity: t.capacity, Publisher: publisher.latest()}
	for _, c := range children[1:] {
		result.Subscribers = append(result.Subscribers, c.latest())
	}
	return result, nil
}

// run runs the process until it ends. The child ends when its standard input
// does, so that no child outlives its parent.
func (c *demoChild) run(ctx context.Context, program string) error {
	cmd := exec.CommandContext(ctx, program, c.args...)
	cmd.Args[0] = "shmbus"
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = leaveLimit
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	readErr := c.read(out)
	if err := cmd.Wait(); err != nil {
		if text := strings.TrimSpace(stderr.String()); text != "" {
			return fmt.Errorf("%w: %s", err, text)
		}
		return err
	}
	return readErr
}

func (c *demoChild) read(r io.Reader) error {
	d := json.NewDecoder(r)
	for {
		var report demoReport
		if err := d.Decode(&report); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		c.mu.Lock()
		c.report = report
		c.mu.Unlock()
	}
	if !c.latest().Final {
		return errors.New("ended without a result")
	}
	return nil
}

// showProgress keeps one line on a terminal up to date; elsewhere it writes a
// line every few seconds. The function it returns ends it and waits.
func showProgress(t *tree, children []*demoChild) (stop func()) {
	info, err := os.Stderr.Stat()
	terminal := err == nil && info.Mode()&os.ModeCharDevice != 0
	every, begin, end := 3*time.Second, "", "\n"
	if terminal {
		every, begin, end = 150*time.Millisecond, "\r\x1b[K", ""
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				fmt.Fprint(os.Stderr, begin, progressLine(t, children), end)
			case <-done:
				if terminal {
					fmt.Fprint(os.Stderr, begin)
				}
				return
			}
		}
	})
	return func() { close(done); wg.Wait() }
}

func progressLine(t *tree, children []*demoChild) string {
	var b strings.Builder
	p := children[0].latest()
	fmt.Fprintf(&b, "published %d of %d files, %s; checked", p.Messages, t.files, bytesText(p.Bytes))
	for i, c := range children[1:] {
		if i > 0 {
			b.WriteByte(',')
		}
		r := c.latest()
		fmt.Fprintf(&b, " %d", r.Messages)
		if r.Mode == "lossy" {
			fmt.Fprintf(&b, " (lossy, %d lost)", r.Lost)
		}
	}
	return b.String()
}
