package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/shmbus/shmbus/bus"
)

// newDemoPublisher is the hidden command that the demo runs as its publisher.
func newDemoPublisher(a *app) *cobra.Command {
	var capacity size
	cmd := &cobra.Command{
		Use:    "demo-publisher DIR",
		Args:   cobra.ExactArgs(1),
		Hidden: true,
		RunE: a.runE(func(cmd *cobra.Command, args []string) (err error) {
			ctx := untilStdinEnds(cmd.Context())
			b, err := bus.Open(ctx, a.busConfig())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, b.Close()) }()
			p, err := b.Publisher(ctx, demoTopic, bus.PublisherConfig{Name: "files", Capacity: uint64(capacity)})
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, p.Close()) }()
			d := &demoPublisher{p: p, dir: args[0]}
			return d.run(ctx)
		}),
	}
	cmd.Flags().Var(&capacity, "capacity", "size of the ring")
	return cmd
}

// untilStdinEnds returns a context that ends when standard input does: the
// parent holds the other end and is gone then.
func untilStdinEnds(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		_, err := io.Copy(io.Discard, os.Stdin)
		cancel(errors.Join(errors.New("the demo is over"), err))
	}()
	return ctx
}

type demoPublisher struct {
	reporter
	p   *bus.Publisher
	dir string
}

func (d *demoPublisher) run(ctx context.Context) error {
	if err := d.p.WaitSubscribers(ctx, demoSubscribers); err != nil {
		return err
	}
	d.report.Role = "publisher"
	err := walkFiles(d.dir, func(rel string, entry fs.DirEntry) error {
		if err := d.progress(); err != nil {
			return err
		}
		return d.file(ctx, rel)
	})
	if err != nil {
		return err
	}
	return d.finish()
}

// file publishes one file. It is read straight into the ring; only a file whose
// size changes while it is read goes through memory of this process.
func (d *demoPublisher) file(ctx context.Context, rel string) error {
	f, err := os.Open(filepath.Join(d.dir, rel))
	if err != nil {
		d.report.Skipped++
		return nil
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		d.report.Skipped++
		return nil
	}
	header := demoPathSize + len(rel)
	if int64(header)+info.Size() > int64(d.p.MaxMessage()) {
		return fmt.Errorf("%s grew beyond the largest message", rel)
	}
	c, err := d.p.Claim(ctx, header+int(info.Size()))
	if err != nil {
		return err
	}
	b := c.Bytes()
	putDemoPath(b, rel)
	if whole, err := readWhole(f, b[header:]); err != nil || !whole {
		if err := c.Abort(); err != nil {
			return err
		}
		return d.changedFile(ctx, rel)
	}
	sum := sha256.Sum256(b[header:])
	if err := c.Commit(); err != nil {
		return err
	}
	d.count(rel, len(b), sum)
	return nil
}

// readWhole fills b from f and reports whether that was all of the file.
func readWhole(f *os.File, b []byte) (bool, error) {
	if _, err := io.ReadFull(f, b); err != nil {
		return false, err
	}
	var more [1]byte
	if _, err := f.Read(more[:]); !errors.Is(err, io.EOF) {
		return false, err
	}
	return true, nil
}

// changedFile publishes a file whose size is not what it was said to be.
func (d *demoPublisher) changedFile(ctx context.Context, rel string) error {
	content, err := os.ReadFile(filepath.Join(d.dir, rel))
	if err != nil {
		d.report.Skipped++
		return nil
	}
	header := demoPathSize + len(rel)
	b := append(make([]byte, header, header+len(content)), content...)
	putDemoPath(b, rel)
	if err := d.p.Publish(ctx, b); err != nil {
		return fmt.Errorf("%s: %w", rel, err)
	}
	d.count(rel, len(b), sha256.Sum256(content))
	return nil
}

func putDemoPath(b []byte, rel string) {
	binary.LittleEndian.PutUint32(b, uint32(len(rel)))
	copy(b[demoPathSize:], rel)
}
