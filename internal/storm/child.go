package storm

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/shmbus/shmbus/bus"
	"github.com/shmbus/shmbus/control"
)

// specVariable holds the Spec of a child.
const specVariable = "SHMBUS_STORM_SPEC"

// Child runs a child of the storm and ends the process, if that is what this
// process was started as; otherwise it returns. Call it first in main, or in
// TestMain.
func Child() {
	text := os.Getenv(specVariable)
	if text == "" {
		return
	}
	var spec Spec
	if err := json.Unmarshal([]byte(text), &spec); err != nil {
		fmt.Fprintf(os.Stderr, "storm: %s: %v\n", specVariable, err)
		os.Exit(2)
	}
	if err := enterClock(spec.Clock); err != nil {
		fmt.Fprintf(os.Stderr, "storm: a time namespace: %v\n", err)
		os.Exit(2)
	}
	c := &child{spec: spec, out: os.NewFile(3, "events"), finish: make(chan struct{})}
	if err := c.run(); err != nil {
		fmt.Fprintf(os.Stderr, "storm: %s: %v\n", spec, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// child is one process of the storm.
type child struct {
	spec   Spec
	finish chan struct{} // closed when publishers are to leave

	mu  sync.Mutex
	out *os.File
	bus *bus.Bus
}

func (c *child) run() error {
	commands := make(chan command)
	go c.listen(commands)
	for c.bus == nil {
		b, err := bus.Open(context.Background(), bus.Config{Dir: c.spec.Dir, Name: busName, Fenced: c.spec.Fenced, NeverHost: c.spec.NeverHost,
			Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))}) // shown if something is wrong
		if err != nil && !passing(err) {
			return c.violation(0, "Open: %v", err)
		}
		c.bus = b
	}
	if c.spec.Keeper {
		return (&keeper{child: c}).run(commands)
	}
	var attached, done sync.WaitGroup
	failed := make(chan error, len(c.spec.Roles))
	for i, r := range c.spec.Roles {
		attached.Add(1)
		rng := rand.New(rand.NewPCG(c.spec.Seed, uint64(i)))
		done.Go(func() { failed <- c.play(r, rng, sync.OnceFunc(attached.Done)) })
	}
	attached.Wait()
	c.report(Report{Kind: reportReady})
	done.Wait()
	for range c.spec.Roles {
		if err := <-failed; err != nil {
			return err
		}
	}
	for cmd := range commands {
		c.command(cmd)
	}
	return c.bus.Close()
}

// busName is the bus of an arena, in a directory of its own.
const busName = "storm"

// listen reads commands; the end of the input is the one to finish.
func (c *child) listen(commands chan<- command) {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var cmd command
		if err := json.Unmarshal(lines.Bytes(), &cmd); err != nil {
			_ = c.violation(0, "a command %q: %v", lines.Text(), err)
			continue
		}
		commands <- cmd
	}
	close(c.finish)
	close(commands)
}

// command does what every child can.
func (c *child) command(cmd command) {
	if cmd.Do != commandUsage {
		_ = c.violation(0, "a command %q", cmd.Do)
		return
	}
	r := Report{Kind: reportUsage}
	if info, err := c.bus.Host(context.Background()); err == nil {
		r.Host, r.Memory, r.Clients = info.PID, info.Memory, info.Clients
	}
	list, err := c.bus.Topics(context.Background())
	if err != nil && !passing(err) {
		_ = c.violation(0, "Topics: %v", err)
	}
	for _, t := range list {
		r.Topics = append(r.Topics, t.Name)
	}
	// Last: who has been answered is connected, with the goroutine that reads.
	runtime.GC()
	u, err := OwnUsage()
	if err != nil {
		_ = c.violation(0, "its own usage: %v", err)
	}
	r.Usage = &u
	c.report(r)
}

func (c *child) play(r Role, rng *rand.Rand, attached func()) error {
	defer attached()
	switch r.Kind {
	case rolePublisher:
		return c.publisher(r, rng, attached)
	case roleSubscriber:
		return c.subscriber(r, rng, attached)
	case roleChurner:
		attached()
		return c.churner(r, rng)
	}
	return fmt.Errorf("a role %q", r.Kind)
}

// write tells the controller something that is encoded already.
func (c *child) write(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := c.out.Write(b); err != nil {
		os.Exit(3) // the controller is gone
	}
}

func (c *child) report(r Report) { c.write(r.append(nil)) }

// violation tells what must not be, and returns it as an error.
func (c *child) violation(participant uint32, format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	c.report(Report{Kind: reportViolation, Participant: participant, Text: text})
	return errors.New(text)
}

// finishing reports whether publishers are to leave.
func (c *child) finishing() bool {
	select {
	case <-c.finish:
		return true
	default:
		return false
	}
}

// passing reports errors that others' deaths and stops explain, so that trying
// again is right: a host that is gone or stopped, a full table of slots.
func passing(err error) bool {
	for _, e := range []error{bus.ErrNoBus, bus.ErrNoHost, bus.ErrHostStalled, bus.ErrStalled,
		control.ErrNoSlot, control.ErrTooManyClients, context.DeadlineExceeded, io.EOF} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// some is a random duration up to most.
func some(rng *rand.Rand, most time.Duration) time.Duration {
	return time.Duration(rng.Int64N(int64(most) + 1))
}

// within is a context that ends soon, or never in one of four.
func within(rng *rand.Rand) (context.Context, context.CancelFunc) {
	if rng.IntN(4) == 0 {
		return context.WithCancel(context.Background())
	}
	return context.WithTimeout(context.Background(), time.Millisecond+some(rng, shortly))
}
