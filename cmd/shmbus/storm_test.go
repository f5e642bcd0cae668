package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	stormPublishers  = 4
	stormSubscribers = 3
)

// storm is four publisher processes of numbered lines each into three reliable
// subscriber processes. Publishers stop at a gate before the last fifth of their
// lines, so that something can be done while all are attached and busy.
type storm struct {
	place    place
	capacity string
	lines    int // of each publisher
	pubs     []*feeder
	subs     []*collector
	gate     chan struct{}
	first    chan struct{}
}

func newStorm(t *testing.T, p place, capacity string, lines int) *storm {
	s := &storm{place: p, capacity: capacity, lines: lines, gate: make(chan struct{}), first: make(chan struct{})}
	return s
}

// feeder is a publisher process and the goroutine that writes its input.
type feeder struct {
	*process
	id  int
	in  io.WriteCloser
	end chan error
}

// collector is a subscriber process and the goroutine that checks its output.
type collector struct {
	*process
	out  io.Reader
	seen atomic.Int64
	next [stormPublishers]int // next number of each publisher; read after end
	sum  hash.Hash            // over all lines in order; read after end
	end  chan error
	all  sync.Once
	met  chan struct{} // closed when a line of every publisher was seen
}

func (s *storm) startSubscribers(t *testing.T) {
	for range stormSubscribers {
		s.startSubscriber(t)
	}
}

func (s *storm) startSubscriber(t *testing.T) *collector {
	c := &collector{
		process: s.place.command(t, "sub", "storm", "--drain"),
		sum:     sha256.New(), end: make(chan error, 1), met: make(chan struct{}),
	}
	c.out = c.process.out(t)
	c.start(t)
	s.subs = append(s.subs, c)
	go func() { c.end <- c.collect() }()
	return c
}

// collect reads lines "publisher number" and checks each publisher's order.
func (c *collector) collect() error {
	r := bufio.NewReaderSize(c.out, 64<<10)
	for {
		line, err := r.ReadSlice('\n')
		if errors.Is(err, io.EOF) {
			if len(line) > 0 {
				return io.ErrUnexpectedEOF
			}
			return nil
		}
		if err != nil {
			return err
		}
		id, number, err := parseLine(line)
		if err != nil {
			return err
		}
		if number != c.next[id] {
			return fmt.Errorf("publisher %d: line %d where %d is next", id, number, c.next[id])
		}
		c.next[id]++
		c.sum.Write(line)
		c.seen.Add(1)
		if c.metAll() {
			c.all.Do(func() { close(c.met) })
		}
	}
}

func (c *collector) metAll() bool {
	for _, n := range c.next {
		if n == 0 {
			return false
		}
	}
	return true
}

func parseLine(line []byte) (id, number int, err error) {
	a, b, ok := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(" "))
	id, err1 := strconv.Atoi(string(a))
	number, err2 := strconv.Atoi(string(b))
	if !ok || err1 != nil || err2 != nil || id < 0 || id >= stormPublishers {
		return 0, 0, fmt.Errorf("a line nobody wrote: %.80q", line)
	}
	return id, number, nil
}

func (s *storm) startPublishers(t *testing.T) {
	for range stormPublishers {
		s.startPublisher(t)
	}
}

func (s *storm) startPublisher(t *testing.T) *feeder {
	f := &feeder{
		process: s.place.command(t, "pub", "storm", "--capacity", s.capacity, "--wait-subscribers", strconv.Itoa(stormSubscribers)),
		id:      len(s.pubs), end: make(chan error, 1),
	}
	f.in = f.process.in(t)
	f.start(t)
	s.pubs = append(s.pubs, f)
	go func() { f.end <- s.feed(f) }()
	return f
}

// feed writes one line, then, once all publishers are known to be attached, most
// of the rest, and what is left when the gate opens.
func (s *storm) feed(f *feeder) error {
	defer f.in.Close()
	w := bufio.NewWriterSize(f.in, 32<<10)
	write := func(from, to int) error {
		for i := from; i < to; i++ {
			if _, err := fmt.Fprintf(w, "%d %d\n", f.id, i); err != nil {
				return err
			}
		}
		return w.Flush()
	}
	if err := write(0, 1); err != nil {
		return err
	}
	<-s.first
	if err := write(1, s.lines*4/5); err != nil {
		return err
	}
	<-s.gate
	return write(s.lines*4/5, s.lines)
}

// begin waits until every publisher is attached, then lets them go.
func (s *storm) begin(t *testing.T) {
	select {
	case <-s.subs[0].met:
	case <-time.After(watchdog):
		for _, p := range s.pubs {
			t.Logf("publisher %d; stderr:\n%s", p.id, p.stderr)
		}
		t.Fatal("not every publisher is attached")
	}
	close(s.first)
}

// goOn opens the gate.
func (s *storm) goOn() { close(s.gate) }

// reach waits until c has seen n lines.
func (s *storm) reach(t *testing.T, c *collector, n int64) {
	t.Helper()
	poll(func() bool { return c.seen.Load() >= n }, func() {
		t.Fatalf("%s stands still at %d lines; stderr:\n%s", c.what, c.seen.Load(), c.stderr)
	})
}

// finish waits for all but the victim and checks what they saw.
func (s *storm) finish(t *testing.T, victim *process) {
	t.Helper()
	for _, f := range s.pubs {
		err := <-f.end
		if f.process == victim {
			continue
		}
		if err != nil && !errors.Is(err, os.ErrClosed) {
			t.Errorf("input of publisher %d: %v", f.id, err)
		}
		f.exits(t, exitOK)
	}
	var want *collector
	for i, c := range s.subs {
		err := <-c.end
		if c.process == victim {
			if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, os.ErrClosed) {
				t.Errorf("the killed subscriber had seen: %v", err)
			}
			continue
		}
		if err != nil {
			t.Errorf("subscriber %d: %v", i, err)
		}
		c.exits(t, exitOK)
		for id, n := range c.next {
			if n != s.lines && s.pubs[id].process != victim {
				t.Errorf("subscriber %d: %d lines of publisher %d, want %d", i, n, id, s.lines)
			}
		}
		if d, l := delivered(t, c.process); int64(d) != c.seen.Load() || l != 0 {
			t.Errorf("subscriber %d: reports %d delivered and %d lost, wrote %d lines", i, d, l, c.seen.Load())
		}
		if want == nil {
			want = c
		} else if !bytes.Equal(want.sum.Sum(nil), c.sum.Sum(nil)) {
			t.Errorf("subscriber %d: %v lines in another order than the first one's %v", i, c.next, want.next)
		}
	}
}
