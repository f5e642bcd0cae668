package ring

import (
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"testing"
)

// A desk does what a participant process does, on request: in the test's own
// process by a call, in another one over its standard input and output.

// request asks a desk to do one thing.
type request struct {
	ID       uint64
	Op       string
	Slot     int
	Gen      uint32
	N        int
	Wait     bool
	Payload  []byte
	Payloads [][]byte
	Attach   Attachment
	Options  ConsumerOptions
	Job      job
}

// reply is what came of it.
type reply struct {
	ID      uint64
	Failed  *failure
	Seq     uint64
	N       int
	Flag    bool
	Records []Record // payloads copied
	Last    []bool
	Stats   Stats
	Report  report
}

// failure carries an error over a pipe: its text, and which sentinels it is.
type failure struct {
	Text string
	Kind []int
}

var sentinels = []error{
	ErrFull, ErrTooLarge, ErrOrphaned, ErrEmpty, ErrDetached, ErrClosed, ErrCorrupt, ErrStalled, ErrNoSlot, ErrNoBarrier,
	context.Canceled, context.DeadlineExceeded,
}

func (f *failure) Error() string { return f.Text }

// Is makes errors.Is work as it would on the original.
func (f *failure) Is(target error) bool {
	i := slices.Index(sentinels, target)
	return i >= 0 && slices.Contains(f.Kind, i)
}

func failureOf(err error) *failure {
	if err == nil {
		return nil
	}
	f := &failure{Text: err.Error()}
	for i, s := range sentinels {
		if errors.Is(err, s) {
			f.Kind = append(f.Kind, i)
		}
	}
	return f
}

func (r reply) err() error {
	if r.Failed == nil {
		return nil
	}
	return r.Failed
}

// desk is the participants of one process, each used by one request at a time.
type desk struct {
	maps roles

	mu            sync.Mutex
	pub, sub, gst *Ring
	producers     map[int]*Producer
	consumers     map[int]*Consumer
	claims        map[uint64]*Claim
	claimsSoFar   uint64
	cancels       map[uint64]context.CancelFunc
}

func newDesk(m roles) *desk { return &desk{maps: m, cancels: map[uint64]context.CancelFunc{}} }

// handle does what is asked; cancel requests end others by their ID.
func (d *desk) handle(ctx context.Context, q request) reply {
	a := reply{ID: q.ID}
	op := operations[q.Op]
	if op == nil {
		a.Failed = failureOf(fmt.Errorf("desk: no operation %q", q.Op))
		return a
	}
	a.Failed = failureOf(op(d, ctx, &q, &a))
	return a
}

func (d *desk) open(_ context.Context, q *request, _ *reply) error {
	o, err := Peek(d.maps.logRO[:headerPage])
	if err != nil {
		return err
	}
	g, err := o.Geometry()
	if err != nil {
		return err
	}
	l, c := g.LogSize(), g.CursorSize()
	m := &d.maps
	d.mu.Lock()
	defer d.mu.Unlock()
	var read, written []byte
	if q.Wait {
		read, written = m.guestsRO[:c], m.guestsRW[:c]
	}
	var errs [3]error
	d.pub, errs[0] = Open(m.logRW[:l], m.cursorsRO[:c], read)
	d.sub, errs[1] = Open(m.logRO[:l], m.cursorsRW[:c], read)
	d.gst, errs[2] = Open(m.logRO[:l], m.cursorsRO[:c], written)
	d.producers, d.consumers, d.claims = map[int]*Producer{}, map[int]*Consumer{}, map[uint64]*Claim{}
	return errors.Join(errs[:]...)
}

func (d *desk) producer(slot int) *Producer {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.producers[slot]
}

func (d *desk) consumer(slot int) *Consumer {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.consumers[slot]
}

func (d *desk) addProducer(_ context.Context, q *request, _ *reply) error {
	p, err := d.pub.Producer(q.Slot, q.Gen)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.producers[q.Slot] = p
	return err
}

func (d *desk) addConsumer(_ context.Context, q *request, _ *reply) error {
	r, key := d.sub, q.Slot
	if q.Options.Guest {
		r, key = d.gst, guestKey+q.Slot
	}
	c, err := r.Consumer(q.Slot, q.Gen, q.Attach, q.Options)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.consumers[key] = c
	return err
}

// guestKey tells the guests' slots from the subscribers'.
const guestKey = 1000

func (d *desk) claim(ctx context.Context, q *request, a *reply) (err error) {
	p := d.producer(q.Slot)
	var c Claim
	if q.Wait {
		c, err = p.Claim(ctx, q.N, testKind, q.Job.Now)
	} else {
		c, err = p.TryClaim(q.N, testKind, q.Job.Now)
	}
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.claimsSoFar++
	d.claims[d.claimsSoFar] = &c
	a.N, a.Seq = int(d.claimsSoFar), c.Sequence()
	return nil
}

func (d *desk) endClaim(_ context.Context, q *request, _ *reply) error {
	d.mu.Lock()
	c := d.claims[uint64(q.N)]
	d.mu.Unlock()
	if !q.Wait {
		return c.Abort()
	}
	if c.p != nil {
		copy(c.Bytes(), q.Payload)
	}
	return c.Commit()
}

const testKind = 0xfeedbeef

// operations are what a desk can do.
var operations = map[string]func(*desk, context.Context, *request, *reply) error{
	"open":     (*desk).open,
	"producer": (*desk).addProducer,
	"consumer": (*desk).addConsumer,
	"claim":    (*desk).claim,
	"endclaim": (*desk).endClaim,
	"publish": func(d *desk, ctx context.Context, q *request, a *reply) (err error) {
		if q.Wait {
			a.Seq, err = d.producer(q.Slot).Publish(ctx, q.Payload, testKind, q.Job.Now)
		} else {
			a.Seq, err = d.producer(q.Slot).TryPublish(q.Payload, testKind, q.Job.Now)
		}
		return err
	},
	"batch": func(d *desk, ctx context.Context, q *request, a *reply) (err error) {
		a.N, err = d.producer(q.Slot).PublishBatch(ctx, q.Payloads, testKind, q.Job.Now, q.Wait)
		return err
	},
	"interrupt": func(d *desk, _ context.Context, q *request, _ *reply) error {
		if q.Wait {
			d.producer(q.Slot).Interrupt()
		} else {
			d.consumer(q.Slot).Interrupt()
		}
		return nil
	},
	"next": func(d *desk, _ context.Context, q *request, a *reply) error {
		m, err := d.consumer(q.Slot).Next()
		if err == nil {
			m.Payload = slices.Clone(m.Payload)
			a.Records = []Record{m}
		}
		return err
	},
	"poll": func(d *desk, _ context.Context, q *request, a *reply) (err error) {
		a.N, err = d.consumer(q.Slot).Poll(func(m Record, last bool) error {
			m.Payload = slices.Clone(m.Payload)
			a.Records, a.Last = append(a.Records, m), append(a.Last, last)
			return nil
		}, q.N)
		return err
	},
	"wait": func(d *desk, ctx context.Context, q *request, _ *reply) error {
		return d.consumer(q.Slot).Wait(ctx, nil)
	},
	"release": func(d *desk, _ context.Context, q *request, a *reply) error {
		d.consumer(q.Slot).Release()
		a.Stats = d.consumer(q.Slot).Stats()
		a.Flag = d.consumer(q.Slot).Drained()
		return nil
	},
	"produce": func(d *desk, ctx context.Context, q *request, a *reply) (err error) {
		a.Report, err = produce(ctx, d.producer(q.Slot), q.Job, d.maps.aux)
		return err
	},
	"consume": func(d *desk, ctx context.Context, q *request, a *reply) (err error) {
		a.Report, err = consume(ctx, d.consumer(q.Slot), q.Job)
		return err
	},
	"converse": func(d *desk, ctx context.Context, q *request, _ *reply) error {
		return converse(ctx, d.producer(q.Slot), d.consumer(q.N), q.Job)
	},
}

// member is a process at a site.
type member struct {
	desk *desk // in this process; nil if it is another one

	cmd     *exec.Cmd
	mu      sync.Mutex
	out     *gob.Encoder
	last    uint64
	pending map[uint64]chan reply
	gone    chan struct{} // closed when the other process has ended its output
}

// call asks a member and waits for what comes of it.
func (m *member) call(ctx context.Context, q request) reply {
	if m.desk != nil {
		return m.desk.handle(ctx, q)
	}
	answer := make(chan reply, 1)
	m.mu.Lock()
	m.last++
	q.ID = m.last
	m.pending[q.ID] = answer
	err := m.out.Encode(q)
	m.mu.Unlock()
	if err != nil {
		return reply{Failed: failureOf(err)}
	}
	over := ctx.Done()
	for {
		select {
		case a := <-answer:
			return a
		case <-over:
			over = nil
			m.mu.Lock()
			_ = m.out.Encode(request{Op: "cancel", ID: q.ID})
			m.mu.Unlock()
		case <-m.gone:
			return reply{Failed: failureOf(fmt.Errorf("member: %w", io.ErrUnexpectedEOF))}
		}
	}
}

// memberVariable makes this test binary a member of a site.
const memberVariable = "SHMBUS_RING_MEMBER"

// startMember starts a second process at a site.
func startMember(t testing.TB, files []*os.File) *member {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), memberVariable+"=1")
	cmd.ExtraFiles = files
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); errors.Is(err, syscall.ENOEXEC) {
		t.Skipf("this system cannot execute the test binary by itself: %v", err)
	} else if err != nil {
		t.Fatal(err)
	}
	m := &member{cmd: cmd, out: gob.NewEncoder(in), pending: map[uint64]chan reply{}, gone: make(chan struct{})}
	go m.listen(gob.NewDecoder(out))
	t.Cleanup(func() { _ = in.Close(); m.kill() })
	return m
}

func (m *member) listen(in *gob.Decoder) {
	for {
		var a reply
		if in.Decode(&a) != nil {
			close(m.gone)
			return
		}
		m.mu.Lock()
		answer := m.pending[a.ID]
		delete(m.pending, a.ID)
		m.mu.Unlock()
		answer <- a
	}
}

// kill ends the process with SIGKILL and waits until it is no more.
func (m *member) kill() {
	_ = m.cmd.Process.Kill()
	<-m.gone
	_ = m.cmd.Wait()
}

func TestMain(m *testing.M) {
	if os.Getenv(memberVariable) != "" {
		if err := serveMember(); err != nil {
			fmt.Fprintln(os.Stderr, "member:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// serveMember is the second process: it ends with its input.
func serveMember() error {
	var files []*os.File
	for i := range 4 {
		files = append(files, os.NewFile(uintptr(3+i), "region"))
	}
	maps, err := mapRoles(nil, files)
	if err != nil {
		return err
	}
	d := newDesk(maps)
	in, out := gob.NewDecoder(os.Stdin), gob.NewEncoder(os.Stdout)
	var writing sync.Mutex
	for {
		var q request
		if err := in.Decode(&q); err != nil {
			return nil // the test is over
		}
		if q.Op == "cancel" {
			d.mu.Lock()
			if cancel := d.cancels[q.ID]; cancel != nil {
				cancel()
			}
			d.mu.Unlock()
			continue
		}
		ctx, cancel := context.WithCancel(context.Background())
		d.mu.Lock()
		d.cancels[q.ID] = cancel
		d.mu.Unlock()
		go func() {
			a := d.handle(ctx, q)
			d.mu.Lock()
			delete(d.cancels, q.ID)
			d.mu.Unlock()
			cancel()
			writing.Lock()
			defer writing.Unlock()
			_ = out.Encode(a)
		}()
	}
}
