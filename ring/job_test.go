package ring

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"

	"github.com/shmbus/shmbus/shm"
)

// job is many messages' work for one participant.
type job struct {
	Seed   uint64
	Count  int // messages to produce; to consume: 0 means until drained
	Size   int // payloads have from 10 to this many bytes
	Batch  int // messages a batch; 0: none
	Claims int // claims open at once, ended in any order; 0: none
	Abort  int // of so many claims one is aborted; 0: none
	Now    int64
	Acks   bool // count what was published in the page of the tests' own words
	Deep   bool // sleep with no bound: a lost wake-up is an error, not a delay of 50 ms
	Poll   bool // consume by Poll
	Slow   int  // consume: yield so often after each message
	First  bool // converse: begin
}

// report is what a job did.
type report struct {
	Produced int
	Aborted  int
	Messages uint64
	Lost     uint64
	Digest   uint64 // of publisher, number and sequence of all messages, in order
	By       map[int]uint64
	Stats    Stats
}

const minPayload = 10

// fill writes the nth message of a publisher slot; check reads it again.
func fill(b []byte, slot int, n uint64) {
	binary.LittleEndian.PutUint16(b, uint16(slot))
	binary.LittleEndian.PutUint64(b[2:], n)
	for i := minPayload; i < len(b); i++ {
		b[i] = byte(n) + byte(i)
	}
}

func check(b []byte) (slot int, n uint64, err error) {
	if len(b) < minPayload {
		return 0, 0, fmt.Errorf("a message of %d bytes", len(b))
	}
	slot, n = int(binary.LittleEndian.Uint16(b)), binary.LittleEndian.Uint64(b[2:])
	for i := minPayload; i < len(b); i++ {
		if b[i] != byte(n)+byte(i) {
			return slot, n, fmt.Errorf("message %d of publisher %d is damaged at byte %d of %d", n, slot, i, len(b))
		}
	}
	return slot, n, nil
}

// producing is a produce job under way.
type producing struct {
	p      *Producer
	job    job
	random *rand.Rand
	buffer []byte
	next   uint64 // number of the next message
	acks   *shm.Word64
	report report
}

// produce publishes numbered messages by single calls, batches and claims, in
// turn as the job allows.
func produce(ctx context.Context, p *Producer, j job, aux []byte) (report, error) {
	w := &producing{p: p, job: j, random: rand.New(rand.NewPCG(j.Seed, uint64(p.slot))), buffer: make([]byte, max(j.Size, minPayload)), acks: new(shm.Word64)}
	if j.Acks {
		w.acks = shm.Overlay[shm.Word64](aux, 8*p.slot)
	}
	for int(w.next) < j.Count {
		var err error
		switch way := w.random.IntN(3); {
		case way == 1 && j.Batch > 0:
			err = w.batch(ctx)
		case way == 2 && j.Claims > 0:
			err = w.claims(ctx)
		default:
			err = w.single(ctx)
		}
		if err != nil {
			return w.report, fmt.Errorf("publisher %d, message %d: %w", p.slot, w.next, err)
		}
		w.acks.Store(w.next)
	}
	w.report.Produced = int(w.next)
	return w.report, nil
}

func (w *producing) payload() []byte {
	b := w.buffer[:minPayload+w.random.IntN(len(w.buffer)-minPayload+1)]
	fill(b, w.p.slot, w.next)
	w.next++
	return b
}

func (w *producing) single(ctx context.Context) error {
	b := w.payload()
	if !w.job.Deep {
		_, err := w.p.Publish(ctx, b, testKind, w.job.Now)
		return err
	}
	for {
		_, err := w.p.TryPublish(b, testKind, w.job.Now)
		switch {
		case errors.Is(err, ErrStalled): // another is inside and was preempted
		case err != ErrFull:
			return err
		default:
			if err := sleepForSpace(w.p, len(b)); err != nil {
				return err
			}
		}
	}
}

func (w *producing) batch(ctx context.Context) error {
	var list [][]byte
	for range min(1+w.random.IntN(w.job.Batch), w.job.Count-int(w.next)) {
		list = append(list, append([]byte(nil), w.payload()...))
	}
	n, err := w.p.PublishBatch(ctx, list, testKind, w.job.Now, true)
	if err == nil && n != len(list) {
		err = fmt.Errorf("a batch of %d published %d without an error", len(list), n)
	}
	return err
}

// claims opens several claims, as far as there is room, and ends them in any
// order; some by Abort.
func (w *producing) claims(ctx context.Context) error {
	var open []Claim
	aborted := map[uint64]bool{}
	for range min(1+w.random.IntN(w.job.Claims), w.job.Count-int(w.next)) {
		n := minPayload + w.random.IntN(len(w.buffer)-minPayload+1)
		var c Claim
		var err error
		if len(open) == 0 {
			c, err = w.p.Claim(ctx, n, testKind, w.job.Now)
		} else if c, err = w.p.TryClaim(n, testKind, w.job.Now); err == ErrFull || errors.Is(err, ErrStalled) {
			break // to wait with claims open could be to wait for ourselves
		}
		if err != nil {
			return err
		}
		open = append(open, c)
		if w.job.Abort > 0 && w.random.IntN(w.job.Abort) == 0 {
			aborted[c.sequence] = true
			w.report.Aborted++
			continue
		}
		fill(w.buffer[:n], w.p.slot, w.next)
		w.next++
		// As through Claim.Bytes, but in the way that a lossy reader of what
		// was here before may see under the race detector.
		w.p.r.data.CopyIn(c.position&w.p.r.mask+recordHeader, w.buffer[:n])
	}
	for _, i := range w.random.Perm(len(open)) {
		end := open[i].Commit
		if aborted[open[i].sequence] {
			end = open[i].Abort
		}
		if err := end(); err != nil {
			return err
		}
	}
	return nil
}

// sleepForSpace is waitForSpace but sleeps without a bound.
func sleepForSpace(p *Producer, n int) error {
	extent := extentOf(uint64(n))
	position := p.tail
	if offset := position & p.r.mask; offset+extent > p.r.capacity {
		position += p.r.capacity - offset
	}
	end := position + extent + recordHeader
	bell := &p.r.cursors.spaceDoorbell
	value := bell.Load()
	p.r.log.spaceSleeps.Add(1)
	p.r.barrier()
	if p.mayFit(end) {
		return nil
	}
	if err := shm.FutexWait(bell, value, hangLimit/4); err != nil {
		return fmt.Errorf("a publisher waiting for space was not woken: %w, %+v", err, p.r.Stat())
	}
	return nil
}

// sleepForRecord is Consumer.park but sleeps without a bound.
func sleepForRecord(c *Consumer) error {
	c.Release()
	bell := &c.r.log.doorbell
	value := bell.Load()
	c.header.sleeps.Add(1)
	c.r.barrier()
	if c.due() {
		return nil
	}
	if err := shm.FutexWait(bell, value, hangLimit/4); err != nil {
		return fmt.Errorf("a consumer was not woken: %w, %+v", err, c.r.Stat())
	}
	return nil
}

// consuming is a consume job under way.
type consuming struct {
	c      *Consumer
	job    job
	seen   map[int]uint64
	after  uint64 // sequence behind the last message
	report report
}

// consume reads and checks messages until there were as many as the job wants,
// or the ring is drained. Whatever is lost must be said, to the message.
func consume(ctx context.Context, c *Consumer, j job) (report, error) {
	w := &consuming{c: c, job: j, seen: map[int]uint64{}, after: c.sequence}
	w.report.Digest = fnv.New64a().Sum64()
	for j.Count == 0 || w.report.Messages < uint64(j.Count) {
		err := w.read()
		if err == ErrEmpty {
			if j.Count == 0 && c.Drained() {
				break
			}
			if j.Deep {
				err = sleepForRecord(c)
			} else {
				err = c.Wait(ctx, nil)
			}
		}
		if err != nil {
			return w.report, fmt.Errorf("subscriber %d after %d messages: %w", c.slot, w.report.Messages, err)
		}
	}
	c.Release()
	w.report.By, w.report.Stats = w.seen, c.Stats()
	return w.report, nil
}

// read reads one message, or a batch of them.
func (w *consuming) read() error {
	if !w.job.Poll {
		m, err := w.c.Next()
		if err != nil {
			return err
		}
		return w.take(m)
	}
	calls, ended := 0, false
	n, err := w.c.Poll(func(m Record, last bool) error {
		if ended {
			return errors.New("a message behind the last of its batch")
		}
		calls, ended = calls+1, last
		return w.take(m)
	}, 7)
	switch {
	case err != nil:
		return err
	case n != calls:
		return fmt.Errorf("Poll returned %d after %d calls", n, calls)
	case n == 0:
		return ErrEmpty
	case !ended && w.c.options.Mode == Reliable:
		return fmt.Errorf("a batch of %d without a last message", n)
	}
	return nil
}

func (w *consuming) take(m Record) error {
	slot, n, err := check(m.Payload)
	if err != nil {
		return err
	}
	w.report.Messages++
	w.report.Lost += m.Lost
	switch last, known := w.seen[slot]; {
	case m.Kind != testKind || int(m.Publisher) != slot || m.Time != w.job.Now:
		return fmt.Errorf("message %d of publisher %d has kind %#x, publisher %d, time %d", n, slot, m.Kind, m.Publisher, m.Time)
	case known && n <= last || w.c.options.Mode == Reliable && known && n != last+1:
		return fmt.Errorf("message %d of publisher %d behind %d", n, slot, last)
	case m.Sequence < w.after+m.Lost:
		return fmt.Errorf("sequence %d with %d lost behind %d", m.Sequence, m.Lost, w.after)
	case w.c.options.Mode == Reliable && m.Lost != 0:
		return fmt.Errorf("%d lost reliably before %d", m.Lost, m.Sequence)
	}
	w.after = m.Sequence + 1
	w.seen[slot] = n
	for _, v := range []uint64{uint64(slot), n, m.Sequence} {
		w.report.Digest = (w.report.Digest ^ v) * 1099511628211
	}
	for range w.job.Slow {
		shm.Pause(64)
	}
	return nil
}

// converse sends a ball to and fro over one ring: a side publishes its number
// when it has read the other's.
func converse(ctx context.Context, p *Producer, c *Consumer, j job) error {
	b := make([]byte, minPayload)
	for n := range uint64(j.Count) {
		fill(b, p.slot, n)
		if j.First {
			if _, err := p.Publish(ctx, b, testKind, 0); err != nil {
				return err
			}
		}
		if err := hear(c, p.slot, n); err != nil {
			return fmt.Errorf("round %d: %w", n, err)
		}
		if !j.First {
			if _, err := p.Publish(ctx, b, testKind, 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// hear waits for the nth message of another than us.
func hear(c *Consumer, us int, n uint64) error {
	for {
		m, err := c.Next()
		if err == ErrEmpty {
			err = sleepForRecord(c)
		} else if err == nil && int(m.Publisher) != us {
			if _, got, err := check(m.Payload); err != nil || got != n {
				return fmt.Errorf("heard %d: %w", got, errors.Join(errors.New("not what was said"), err))
			}
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// soon is a context for what must end, and would end by itself.
func soon(parent context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(parent, hangLimit/2)
}

// expired is a context that ends almost at once.
func expired(parent context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(parent, 30*time.Millisecond)
}
