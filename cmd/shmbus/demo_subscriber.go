package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/spf13/cobra"

	"github.com/shmbus/shmbus/bus"
)

// newDemoSubscriber is the hidden command that the demo runs as a subscriber.
func newDemoSubscriber(a *app) *cobra.Command {
	var lossy bool
	cmd := &cobra.Command{
		Use:    "demo-subscriber DIR",
		Args:   cobra.ExactArgs(1),
		Hidden: true,
		RunE: a.runE(func(cmd *cobra.Command, args []string) (err error) {
			ctx := untilStdinEnds(cmd.Context())
			b, err := bus.Open(ctx, a.busConfig())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, b.Close()) }()
			c := bus.SubscriberConfig{UntilDrained: true}
			d := newDemoCheck(args[0], "reliable")
			if lossy {
				c.Mode = bus.Lossy
				d.report.Mode = "lossy"
			}
			s, err := b.Subscriber(ctx, demoTopic, c)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, s.Close()) }()
			return d.run(ctx, s)
		}),
	}
	cmd.Flags().BoolVar(&lossy, "lossy", false, "subscribe lossy")
	return cmd
}

// demoCheck compares what arrives with the disk.
type demoCheck struct {
	reporter
	dir     string
	latency *hdrhistogram.Histogram
	file    []byte // reused
}

func newDemoCheck(dir, mode string) *demoCheck {
	const lowest, highest, digits = 1, int64(10 * time.Minute), 3
	d := &demoCheck{dir: dir, latency: hdrhistogram.New(lowest, highest, digits)}
	d.report.Role, d.report.Mode = "subscriber", mode
	return d
}

func (d *demoCheck) run(ctx context.Context, s *bus.Subscriber) error {
	for {
		n, err := s.Poll(d.message, pollLimit)
		if err == nil && n == 0 {
			err = s.Wait(ctx)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
	}
	d.report.Latency = newLatency(d.latency)
	return d.finish()
}

// message checks one message: both copies of the file are hashed, and the
// hashes compared.
func (d *demoCheck) message(m bus.Message, _ bool) error {
	latency := m.Age()
	if err := d.latency.RecordValue(min(max(1, int64(latency)), d.latency.HighestTrackableValue())); err != nil {
		return err
	}
	d.report.Lost += m.Lost
	path, content, err := splitDemoMessage(m.Payload)
	if err != nil {
		d.differs(fmt.Sprintf("message %d", m.Sequence), err.Error())
		d.report.Messages++
		return nil
	}
	sum := sha256.Sum256(content)
	d.count(path, len(m.Payload), sum)
	if err := d.readFile(path); err != nil {
		d.report.differs(path, err.Error())
	} else if disk := sha256.Sum256(d.file); disk != sum {
		d.report.differs(path, fmt.Sprintf("SHA-256 %x, on disk %x", sum, disk))
	}
	return d.progress()
}

func (d *demoCheck) differs(what, why string) { d.report.differs(what, why) }

func splitDemoMessage(b []byte) (path string, content []byte, err error) {
	if len(b) < demoPathSize {
		return "", nil, fmt.Errorf("%d bytes hold no path", len(b))
	}
	n := uint64(binary.LittleEndian.Uint32(b))
	if n > uint64(len(b)-demoPathSize) {
		return "", nil, fmt.Errorf("a path of %d bytes in a message of %d", n, len(b))
	}
	b = b[demoPathSize:]
	return string(b[:n]), b[n:], nil
}

// readFile reads a file of the tree into d.file.
func (d *demoCheck) readFile(path string) error {
	f, err := os.Open(filepath.Join(d.dir, path))
	if err != nil {
		return err
	}
	defer f.Close()
	d.file = d.file[:0]
	for {
		if len(d.file) == cap(d.file) {
			d.file = append(d.file, make([]byte, max(64<<10, len(d.file)))...)[:len(d.file)]
		}
		n, err := f.Read(d.file[len(d.file):cap(d.file)])
		d.file = d.file[:len(d.file)+n]
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
