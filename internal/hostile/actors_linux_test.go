package hostile

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/shmbus/shmbus/bus"
	"github.com/shmbus/shmbus/bustest"
	"github.com/shmbus/shmbus/control"
)

// programs are what the processes of a scene run.
var programs = map[string]func(context.Context, *bustest.Child) error{
	"host": hostProgram, "publisher": publisherProgram, "publisher-2": publisherProgram, "subscriber": subscriberProgram,
	"reader": readerProgram, "guest": guestProgram, "limited": limitedProgram,
}

// hostProgram serves a bus as `shmbus serve` does; Args[0] is a group for
// guests, or empty, Args[1] the most memory.
func hostProgram(ctx context.Context, c *bustest.Child) error {
	b := c.Config()
	h := control.HostConfig{Keep: true, Group: arg(c, 0)}
	if most := arg(c, 1); most != "" {
		if _, err := fmt.Sscan(most, &h.MaxMemory); err != nil {
			return err
		}
	}
	return control.Serve(ctx, control.Config{Dir: b.Dir, Bus: b.Name, Host: h},
		func(string) { c.Say("ready") })
}

func arg(c *bustest.Child, n int) string {
	if n < len(c.Args) {
		return c.Args[n]
	}
	return ""
}

// publisherProgram publishes numbered messages to topic Args[0] for as long as
// it can. Args[1] may be what else it does: "exec" replaces the program once it
// runs, "leaderless" ends its first thread, "claim" leaves a claim open.
func publisherProgram(ctx context.Context, c *bustest.Child) error {
	b, err := c.Open(ctx)
	if err != nil {
		return err
	}
	p, err := b.Publisher(ctx, c.Args[0], bus.PublisherConfig{Capacity: 64 << 10})
	if err != nil {
		c.Say("failed %s %v", kindOf(err), err)
		<-ctx.Done()
	}
	defer runtime.KeepAlive(p)
	c.Say("ready")
	switch arg(c, 1) {
	case "exec":
		return syscall.Exec("/bin/cat", []string{"cat"}, nil)
	case "claim":
		if _, err := p.Claim(ctx, 100); err != nil {
			return err
		}
		c.Say("claimed")
		<-ctx.Done()
	case "leaderless":
		go func() { _ = publishAll(ctx, c, p) }()
		// Of this thread, the first. After a raw call the garbage collector
		// would wait for it for ever.
		_, _, errno := syscall.Syscall(syscall.SYS_EXIT, 0, 0, 0)
		return errno
	}
	return publishAll(ctx, c, p)
}

// publishAll publishes 64 messages every 4 ms, and says how far it is. Fewer and
// more often, the wake-ups alone would keep a small machine busy.
func publishAll(ctx context.Context, c *bustest.Child, p *bus.Publisher) error {
	tick := time.NewTicker(4 * time.Millisecond)
	defer tick.Stop()
	self := rand.Uint64() // in another namespace somebody may have the same process id
	for n := uint64(0); ; n++ {
		if err := p.Publish(ctx, payload(n, self)); err != nil {
			c.Say("failed %s %v", kindOf(err), err)
			<-ctx.Done()
		}
		if n%64 == 0 {
			<-tick.C
		}
		if n%256 == 0 {
			c.Say("at %d", n)
		}
	}
}

// payload is message n of a publisher: both numbers, and bytes that follow from
// them.
func payload(n, publisher uint64) []byte {
	b := make([]byte, sizeOf(n))
	binary.LittleEndian.PutUint64(b, n)
	binary.LittleEndian.PutUint64(b[8:], publisher)
	for i := 16; i < len(b); i++ {
		b[i] = byte(n) + byte(i) + byte(publisher)
	}
	return b
}

// sizeOf is how long message n is: not as long as those around it.
func sizeOf(n uint64) uint64 { return 16 + n*37%400 }

// numberOf checks a payload and returns its number and whose it is.
func numberOf(b []byte) (n, publisher uint64, err error) {
	if len(b) < 16 {
		return 0, 0, fmt.Errorf("a message of %d bytes", len(b))
	}
	n, publisher = binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])
	if want := payload(n, publisher); string(want) != string(b) {
		return 0, 0, fmt.Errorf("message %d of publisher %d is not what was published", n, publisher)
	}
	return n, publisher, nil
}

// subscriberProgram reads topic Args[0], reliably unless Args[1] is "lossy",
// checks every message, and says how far it is.
func subscriberProgram(ctx context.Context, c *bustest.Child) error {
	b, err := c.Open(ctx)
	if err != nil {
		return err
	}
	mode := bus.Reliable
	if arg(c, 1) == "lossy" {
		mode = bus.Lossy
	}
	c.Say("ready")
	s, err := b.Subscriber(ctx, c.Args[0], bus.SubscriberConfig{Mode: mode})
	if err != nil {
		return err
	}
	next := map[uint64]uint64{} // by publisher
	last := uint64(0)           // message
	for {
		m, err := s.Next(ctx)
		if err != nil {
			c.Say("failed %s %v", kindOf(err), err)
			<-ctx.Done()
		}
		n, publisher, err := numberOf(m.Payload)
		want, known := next[publisher]
		if err == nil && known && (n < want || n > want && mode == bus.Reliable) {
			err = fmt.Errorf("got message %d of publisher %d, want %d", n, publisher, want)
		}
		if err != nil {
			kind := "wrong"
			if mode == bus.Reliable && len(next) > 0 && uint64(len(m.Payload)) == sizeOf(last+1) {
				kind, err = overwritten(ctx, s, err)
			}
			c.Say("failed %s %v", kind, err)
			<-ctx.Done()
		}
		next[publisher], last = n+1, n
		if n%256 == 0 {
			c.Say("at %d", n)
		}
	}
}

// overwritten asks again after a message that is not what was published. Memory
// may be overwritten while a view of it is compared: then the next call says so,
// and that is the outcome. It is asked only of a message as long as the one that
// was due: no zeroes taken for a record are, and its length is all that does not
// come from memory after its header was checked.
func overwritten(ctx context.Context, s *bus.Subscriber, wrong error) (kind string, err error) {
	ctx, cancel := context.WithTimeout(ctx, bustest.Watchdog/2)
	defer cancel()
	if _, err := s.Next(ctx); errors.Is(err, bus.ErrDetached) || errors.Is(err, bus.ErrCorrupt) {
		return kindOf(err), err
	}
	return "wrong", wrong
}

// kindOf names the errors that a spoilt topic may lead to.
func kindOf(err error) string {
	for name, e := range map[string]error{
		"corrupt": bus.ErrCorrupt, "detached": bus.ErrDetached, "orphaned": bus.ErrOrphaned, "stalled": bus.ErrStalled,
		"no-memory": bus.ErrNoMemory, "no-descriptors": control.ErrNoDescriptors, "permission": bus.ErrPermission,
	} {
		if errors.Is(err, e) {
			return name
		}
	}
	return "other"
}

// An actor is a process of a scene. What it says last of how far it is, and why
// it failed, is there to be read at any time.
type actor struct {
	name  string
	cmd   *exec.Cmd
	stdin io.Closer

	began chan struct{} // closed when it is ready, has failed, or has ended
	once  sync.Once     // closes began

	mu     sync.Mutex
	ready  bool
	at     int // lines "at" so far
	failed string
	lines  []string
	errors strings.Builder
	ended  error // set when it has ended
}

// startLimit is when a process that is not ready hangs. Until then it registers
// for membarriers, and the kernel waits for every processor: where there is much
// more to run than processors, longer than for anything else here.
const startLimit = 5 * time.Minute

// start runs a program on the bus in dir. prefix, if any, is a command that
// runs a command.
func start(t *testing.T, dir string, prefix []string, attributes *syscall.SysProcAttr, program string, args ...string) *actor {
	t.Helper()
	line := append(append(prefix, "/proc/self/exe"), args...)
	if len(prefix) > 0 {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		line[len(prefix)] = self
	}
	a := &actor{name: program + " " + strings.Join(args, " "), cmd: exec.Command(line[0], line[1:]...), began: make(chan struct{})}
	a.cmd.Env = append(os.Environ(), "SHMBUS_BUSTEST_PROGRAM="+program, "SHMBUS_BUSTEST_DIR="+dir)
	a.cmd.SysProcAttr = attributes
	a.cmd.Stderr = (*stderrOf)(a)
	out, err := a.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if a.stdin, err = a.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := a.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for s := bufio.NewScanner(out); s.Scan(); {
			a.hear(s.Text())
		}
		err := a.cmd.Wait()
		a.mu.Lock()
		defer a.mu.Unlock()
		a.ended = fmt.Errorf("it ended: %v", err)
		a.once.Do(func() { close(a.began) })
	}()
	t.Cleanup(func() {
		a.stdin.Close()
		_ = a.cmd.Process.Kill() // it may have ended
		<-done
	})
	select {
	case <-a.began:
	case <-time.After(startLimit):
		t.Fatalf("still waiting for: %s to be ready", a.name)
	}
	a.until(t, "be ready", func() bool { return a.ready || a.failed != "" })
	return a
}

// spawn is start of a plain process.
func spawn(t *testing.T, dir, program string, args ...string) *actor {
	t.Helper()
	return start(t, dir, nil, nil, program, args...)
}

func (a *actor) hear(line string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch word, rest, _ := strings.Cut(line, " "); word {
	case "ready":
		a.ready = true
	case "at":
		a.at++
	case "failed":
		a.failed = rest
	}
	if !strings.HasPrefix(line, "at ") {
		a.lines = append(a.lines, line)
	}
	if a.ready || a.failed != "" {
		a.once.Do(func() { close(a.began) })
	}
}

// stderrOf keeps what an actor writes to standard error.
type stderrOf actor

func (a *stderrOf) Write(b []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.errors.Write(b)
}

// until waits for ok, which is called with a's mutex held, and fails the test if the
// actor ends before.
func (a *actor) until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	bustest.Until(t, a.name+" to "+what, func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		if ok() {
			return true
		}
		if a.ended != nil {
			t.Fatalf("%s: %v\n%s", a.name, a.ended, a.errors.String())
		}
		return false
	})
}

// goOn waits until the actor is a good deal further, and fails the test if it
// said that it cannot.
func (a *actor) goOn(t *testing.T) {
	t.Helper()
	if how := a.outcome(t); how != "" {
		t.Fatalf("%s: %s", a.name, how)
	}
}

// outcome waits until the actor is a good deal further ("") or has failed, and
// returns why.
func (a *actor) outcome(t *testing.T) (how string) {
	t.Helper()
	a.mu.Lock()
	from := a.at
	a.mu.Unlock()
	a.until(t, "go on or fail", func() bool {
		how = a.failed
		return how != "" || a.at > from+3
	})
	return how
}

func (a *actor) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := a.cmd.Process.Signal(s); err != nil {
		t.Errorf("%s: %v", a.name, err)
	}
}

func (a *actor) pid() int { return a.cmd.Process.Pid }
