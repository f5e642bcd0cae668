//go:build linux

package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/shmbus/shmbus/shm"
)

// watchdog is how long a turn may take beyond what it should.
const watchdog = 60 * time.Second

// patience is how long a turn may take that may measure for so long. Messages
// that are due at fixed times take what their rate says.
func patience(c Cell, a amount, each time.Duration) time.Duration {
	p := watchdog + 20*each
	if c.Pattern == Paced {
		p += 2 * time.Duration(float64(a.warm+a.count)/float64(c.Rate)*float64(time.Second))
	}
	return p
}

// turn does one round of one cell, in processes of its own.
func (h *harness) turn(ctx context.Context, c Cell, a amount) (result, error) {
	dir, err := os.MkdirTemp(h.dir, "")
	if err != nil {
		return result{}, err
	}
	defer os.RemoveAll(dir)
	s := newStage(c, dir)
	defer s.undo()
	defer func() { h.turns-- }()
	d, samples, err := h.set(s, a)
	if err != nil {
		return result{}, fmt.Errorf("%v: %w", c, err)
	}
	hung := fmt.Errorf("%w: %v", ErrHung, c)
	ctx, cancel := context.WithTimeoutCause(ctx, patience(c, a, h.each()), hung)
	defer cancel()
	if err := h.act(ctx, s, a); err != nil {
		if context.Cause(ctx) == hung {
			return result{}, hung
		}
		return result{}, err
	}
	return h.collect(c, a, d, samples)
}

// set makes what the actors share: desk and samples, then the mechanism's own.
func (h *harness) set(s *stage, a amount) (*desk, shm.Span, error) {
	actors := s.cell.actors()
	b, err := s.region("desk", int64(placeSize*(1+actors)))
	if err != nil {
		return nil, shm.Span{}, err
	}
	d := &desk{bytes: b, actors: actors}
	size := int64(sampleSize)
	if s.cell.Pattern != Stream {
		size *= int64(a.count)
	}
	if b, err = s.region("samples", size); err != nil {
		return nil, shm.Span{}, err
	}
	if isPeer(s.cell.Mechanism) {
		err = h.stagePeer(s)
	} else {
		err = drivers[s.cell.Mechanism].stage(s)
	}
	return d, shm.NewSpan(b), err
}

// act runs all actors to their end. The first that fails ends the others.
func (h *harness) act(ctx context.Context, s *stage, a amount) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	processes := s.cell.actors()
	if traitsOf(s.cell.Mechanism).alone {
		processes = 1
	}
	var wg sync.WaitGroup
	for i := range processes {
		cmd, stderr, err := h.command(ctx, s, a, i)
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			cancel(fmt.Errorf("%w: %v, actor %d: %w", ErrActor, s.cell, i, err))
			break
		}
		wg.Go(func() {
			if err := cmd.Wait(); err != nil {
				text := strings.Join(strings.Fields(stderr.String()), " ")
				cancel(actorError(s.cell, i, err, text))
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// actorError is what an actor's end says. That it read something wrong is told
// by its last words, the only thing that comes out of another process.
func actorError(c Cell, i int, err error, text string) error {
	kind := ErrActor
	if strings.Contains(text, ErrWrong.Error()) {
		kind = ErrWrong
	}
	return fmt.Errorf("%w: %v, actor %d: %w: %s", kind, c, i, err, text)
}

// command prepares the process of one actor.
func (h *harness) command(ctx context.Context, s *stage, a amount, actor int) (*exec.Cmd, *bytes.Buffer, error) {
	processors := h.assign(s.cell, actor)
	var cmd *exec.Cmd
	if isPeer(s.cell.Mechanism) {
		cmd = h.peerCommand(ctx, s, a, actor)
	} else {
		program := h.Program
		if len(program) == 0 {
			self, err := os.Executable()
			if err != nil {
				return nil, nil, err
			}
			program = []string{self, "bench-actor"}
		}
		text, err := json.Marshal(spec{
			Cell: s.cell, Warm: a.warm, Settle: a.settle, Count: a.count, Actor: actor, Actors: s.cell.actors(), Processors: processors, Lonely: h.lonely(),
			Clock: h.clock, Dir: s.dir, Address: s.address, Rings: s.rings,
		})
		if err != nil {
			return nil, nil, err
		}
		cmd = exec.CommandContext(ctx, program[0], program[1:]...)
		cmd.Stdin = bytes.NewReader(text)
		if s.cell.Without != "" {
			cmd.Env = append(os.Environ(), tricksVariable+"="+s.cell.Without)
		}
	}
	var stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = io.Discard, &stderr
	cmd.ExtraFiles = s.files[actor]
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = watchdog
	return cmd, &stderr, nil
}

// assign returns the processors of an actor: publishers have them in turn
// from the first on, the subscriber has the last.
func (h *harness) assign(c Cell, actor int) []int {
	n := len(h.processors)
	switch {
	case c.Mechanism == "go-channel":
		return h.processors[:min(2, n)]
	case actor == c.Publishers:
		return h.processors[n-1:]
	}
	return h.processors[actor%n:][:1]
}

// collect reads what the actors left on the desk, and verifies the sums.
func (h *harness) collect(c Cell, a amount, d *desk, samples shm.Span) (result, error) {
	last := d.actors - 1
	reader := last // who reads what was published
	timer := 0     // who has the samples
	if c.Pattern == Paced {
		timer = last
	}
	start, end := ^uint64(0), uint64(0)
	var r result
	for i := range d.actors {
		p := d.place(i)
		if p.state.Load() != stateDone { // sync(state): pairs with the actor's reach
			return r, fmt.Errorf("%w: %v, actor %d went without a result", ErrActor, c, i)
		}
		if i < c.Publishers && (c.Mode != Alone || i == 0) {
			start = min(start, p.start.Load())
		}
		end = max(end, p.end.Load())
		r.cpu += float64(p.cpu.Load())
		r.switches += float64(p.switches.Load())
	}
	readers := []int{reader}
	if c.Pattern == RTT && last > 0 {
		readers = append(readers, 0)
	}
	for _, i := range readers {
		want := expectedSum(c, a) * uint64(c.Subscribers)
		if got := d.place(i).sum.Load(); got != want {
			return r, fmt.Errorf("%w: %v: actor %d summed up %#x, want %#x", ErrWrong, c, i, got, want)
		}
	}
	messages, took := float64(a.count*c.Publishers), end-start
	timed := messages
	switch p := d.place(reader); {
	case c.Mode == Alone:
		messages, timed = float64(a.count), float64(a.count)
	case c.Mode == Burst:
		took = d.place(0).spent.Load()
	case c.Publishers > 1: // as long as all of them are at it
		timed, took = float64(p.contest.Load()), p.until.Load()-start
		r.share = float64(p.share.Load()) / 1e6
	}
	r.perSecond = timed / (float64(max(h.clock.nanos(took), 1)) / 1e9)
	r.cpu /= messages
	r.switches /= messages
	for i := range d.place(timer).samples.Load() {
		r.samples = append(r.samples, h.clock.nanos(shm.Ref[shm.Word64](samples, i*sampleSize).Load())) // sync(state): written before stateDone; pairs with reach
	}
	r.summarize()
	return r, nil
}
