package histories

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/shmbus/shmbus/bus"
	"github.com/shmbus/shmbus/bustest"
)

const clientVariable = "SHMBUS_HISTORIES_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(clientVariable); dir != "" {
		if err := serveClient(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// serveClient is a process that does what it is told, a line each, until its
// standard input ends:
//
//	publisher TOPIC | subscriber TOPIC    join
//	pub VALUE | next                      answered by "ok"; by value and number, or -1
//	leave
func serveClient(dir string) error {
	ctx := context.Background()
	b, err := bus.Open(ctx, bus.Config{Dir: dir, Name: "test", NeverHost: true})
	if err != nil {
		return err
	}
	var p *bus.Publisher
	var s *bus.Subscriber
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		word, rest, _ := strings.Cut(in.Text(), " ")
		answer := "ok"
		switch word {
		case "publisher":
			p, err = b.Publisher(ctx, rest, bus.PublisherConfig{Capacity: 4096})
		case "subscriber":
			s, err = b.Subscriber(ctx, rest, bus.SubscriberConfig{})
		case "pub":
			err = p.Publish(ctx, []byte(rest))
		case "next":
			answer = strconv.Itoa(empty)
			_, err = s.Poll(func(m bus.Message, _ bool) error { answer = fmt.Sprintf("%s %d", m.Payload, m.Sequence); return nil }, 1)
		case "leave":
			if p != nil {
				err = errors.Join(err, p.Close())
			}
			if s != nil {
				err = errors.Join(err, s.Close())
			}
			p, s = nil, nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", in.Text(), err)
		}
		fmt.Println(answer)
	}
	return b.Close()
}

// A client is such a process, seen from the test.
type client struct {
	t    *testing.T
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
	dead bool
}

func newClient(t *testing.T, dir string) *client {
	t.Helper()
	c := &client{t: t, cmd: exec.Command("/proc/self/exe")}
	c.cmd.Env = append(os.Environ(), clientVariable+"="+dir)
	c.cmd.Stderr = os.Stderr
	in, err := c.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.in, c.out = in, bufio.NewReader(out)
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.kill)
	return c
}

func (c *client) kill() {
	if !c.dead {
		c.dead = true
		_ = c.cmd.Process.Kill()
		_ = c.cmd.Wait()
	}
}

// do tells the client something and returns its answer; "" if it did not live
// to give one.
func (c *client) do(line string) string {
	if _, err := io.WriteString(c.in, line+"\n"); err != nil {
		return ""
	}
	answer, err := c.out.ReadString('\n')
	if err != nil {
		return ""
	}
	return strings.TrimSpace(answer)
}

// must is do of a client that lives.
func (c *client) must(line string) {
	c.t.Helper()
	if c.do(line) != "ok" {
		c.t.Fatalf("a client did not %s", line)
	}
}

// recorder keeps the calls of a history.
type recorder struct {
	began time.Time
	mu    sync.Mutex
	calls []porcupine.Operation
	// numbers of the values that somebody got
	numbers map[int]int
}

func (r *recorder) now() int64 { return int64(time.Since(r.began)) }

func (r *recorder) add(o porcupine.Operation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, o)
}

// got notes an answer to next.
func (r *recorder) got(answer string) (value int, err error) {
	var number int
	if answer == strconv.Itoa(empty) {
		return empty, nil
	}
	if _, err := fmt.Sscan(answer, &value, &number); err != nil {
		return 0, fmt.Errorf("answer %q: %w", answer, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if before, ok := r.numbers[value]; ok && before != number {
		return 0, fmt.Errorf("message %d is number %d and %d", value, before, number)
	}
	r.numbers[value] = number
	return value, nil
}

// finish puts the numbers into the calls.
func (r *recorder) finish() {
	for i, o := range r.calls {
		in := o.Input.(input)
		if n, ok := r.numbers[in.value]; ok && in.publish {
			in.number = n
		}
		r.calls[i].Input = in
	}
}

const (
	publishers = 3
	callsEach  = 8
)

// cast are the processes of a history, which serve for many.
type cast struct {
	t       *testing.T
	dir     string
	clients [publishers + subscribers]*client
}

// record makes one history, in which the first publisher may be killed.
func (c *cast) record(n int, random *rand.Rand) *recorder {
	name := fmt.Sprint("topic-", n)
	for i := range c.clients {
		if c.clients[i] == nil || c.clients[i].dead {
			c.clients[i] = newClient(c.t, c.dir)
		}
	}
	for i := range publishers {
		c.clients[i].must("publisher " + name)
	}
	for i := range subscribers {
		c.clients[publishers+i].must("subscriber " + name)
	}
	r := &recorder{began: time.Now(), numbers: map[int]int{}}
	var all sync.WaitGroup
	victim, fatal := -1, random.IntN(callsEach)
	if n%4 == 0 {
		victim = random.IntN(publishers)
	}
	wait := random.IntN(20_000)
	for i := range publishers {
		all.Go(func() {
			for k := range callsEach {
				in := input{publish: true, value: i*1000 + k, number: unknown}
				if i == victim && k == fatal {
					go func(cmd *exec.Cmd) {
						for range wait { // until it is somewhere in the call
							runtime.KeepAlive(cmd)
						}
						_ = cmd.Process.Kill()
					}(c.clients[i].cmd)
				}
				call := r.now()
				if c.clients[i].do(fmt.Sprint("pub ", in.value)) == "" {
					// It may have happened, at any time, or not.
					r.add(porcupine.Operation{ClientId: i, Input: in, Call: call, Output: 0, Return: math.MaxInt64})
					return
				}
				r.add(porcupine.Operation{ClientId: i, Input: in, Call: call, Output: 0, Return: r.now()})
			}
		})
	}
	for i := range subscribers {
		all.Go(func() {
			for range publishers*callsEach - 4 {
				call := r.now()
				got, err := r.got(c.clients[publishers+i].do("next"))
				if err != nil {
					c.t.Errorf("subscriber %d: %v", i, err)
					return
				}
				r.add(porcupine.Operation{ClientId: publishers + i, Input: input{subscriber: i}, Call: call, Output: got, Return: r.now()})
			}
		})
	}
	all.Wait()
	r.finish()
	for i, cl := range c.clients {
		if i == victim {
			cl.kill() // it may have been quicker than its killer
			continue
		}
		cl.must("leave")
	}
	return r
}

// TestHistories: 500 histories, 5000 with SHMBUS_FULL=1, a death in every
// fourth.
func TestHistories(t *testing.T) {
	histories := 500
	if os.Getenv("SHMBUS_FULL") != "" {
		histories = 5000
	}
	b := bustest.New(t)
	c := &cast{t: t, dir: b.Dir}
	random := rand.New(rand.NewPCG(7, 8))
	cut, given := 0, 0
	for n := range histories {
		r := c.record(n, random)
		for _, o := range r.calls {
			if o.Return == math.MaxInt64 {
				cut++
			}
			if o.Output.(int) > 0 && !o.Input.(input).publish {
				given++
			}
		}
		if verdict := porcupine.CheckOperationsTimeout(topic, r.calls, time.Minute); verdict != porcupine.Ok {
			for _, o := range r.calls {
				t.Logf("%d: %s, from %d to %d", o.ClientId, topic.DescribeOperation(o.Input, o.Output), o.Call, o.Return)
			}
			t.Fatalf("history %d: %s", n, verdict)
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%d histories, %d messages given, %d calls cut short by a death", histories, given, cut)
	if cut == 0 || given == 0 {
		t.Error("nobody died in a call, or nothing was given")
	}
}

// TestDoctoredHistories: what must not be is not accepted.
func TestDoctoredHistories(t *testing.T) {
	pub := func(value int, call, end int64) porcupine.Operation {
		return porcupine.Operation{Input: input{publish: true, value: value, number: unknown}, Output: 0, Call: call, Return: end}
	}
	next := func(subscriber, got int, call, end int64) porcupine.Operation {
		return porcupine.Operation{ClientId: 1 + subscriber, Input: input{subscriber: subscriber}, Output: got, Call: call, Return: end}
	}
	never := int64(math.MaxInt64)
	for name, c := range map[string]struct {
		right bool
		calls []porcupine.Operation
	}{
		"in order":                 {true, []porcupine.Operation{pub(1, 0, 1), pub(2, 2, 3), next(0, 1, 4, 5), next(0, 2, 6, 7)}},
		"a death that happened":    {true, []porcupine.Operation{pub(1, 0, never), next(0, 1, 4, 5)}},
		"a death that did not":     {true, []porcupine.Operation{pub(1, 0, never), next(0, empty, 4, 5)}},
		"acknowledged and lost":    {false, []porcupine.Operation{pub(1, 0, 1), next(0, empty, 4, 5)}},
		"given twice":              {false, []porcupine.Operation{pub(1, 0, 1), next(0, 1, 4, 5), next(0, 1, 6, 7)}},
		"out of order":             {false, []porcupine.Operation{pub(1, 0, 1), pub(2, 2, 3), next(0, 2, 4, 5)}},
		"two orders":               {false, []porcupine.Operation{pub(1, 0, 9), pub(2, 0, 9), next(0, 1, 10, 11), next(1, 2, 10, 11)}},
		"never published":          {false, []porcupine.Operation{pub(1, 0, 1), next(0, 3, 4, 5)}},
		"before it was published":  {false, []porcupine.Operation{next(0, 1, 0, 1), pub(1, 2, 3)}},
		"seen, then not any more":  {false, []porcupine.Operation{pub(1, 0, never), next(0, 1, 4, 5), next(1, empty, 6, 7)}},
		"another number than got":  {false, []porcupine.Operation{{Input: input{publish: true, value: 1, number: 1}, Output: 0, Return: 1}}},
		"a death that jumped back": {false, []porcupine.Operation{next(0, empty, 0, 1), pub(1, 2, never), pub(2, 3, 4), next(0, 2, 5, 6), next(1, 1, 7, 8)}},
	} {
		if ok := porcupine.CheckOperations(topic, c.calls); ok != c.right {
			t.Errorf("%s: accepted %t", name, ok)
		}
	}
}
