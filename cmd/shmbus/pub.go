package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/shmbus/shmbus/bus"
	"github.com/shmbus/shmbus/ring"
)

// batchLimit bounds how many messages enter the ring in one go.
const batchLimit = 1024

type pubOptions struct {
	lines           bool
	chunk           size
	prefixed        bool
	capacity        size
	whenFull        choice
	rate            rate
	count           uint64
	name            string
	waitSubscribers int
	exclusive       bool
}

func newPub(a *app) *cobra.Command {
	o := &pubOptions{whenFull: choice{word: "block", words: []string{"block", "fail", "drop"}}}
	cmd := &cobra.Command{
		Use:   "pub TOPIC",
		Short: "publish standard input as messages",
		Long: `Publish standard input as messages: a line each, or cut to chunks of a size, or
each with its length before it (u32, little-endian). What has been read is
published before more is waited for. The first publisher makes the topic.`,
		Example: `  seq 1000000 | shmbus pub numbers --wait-subscribers 1
  tar c src | shmbus pub bulk --chunk 64KiB --capacity 4MiB --wait-subscribers 2`,
		Args:              topicArg,
		ValidArgsFunction: a.completeTopics,
		RunE: a.runE(func(cmd *cobra.Command, args []string) error {
			if err := o.check(cmd, a); err != nil {
				return err
			}
			return runPub(cmd.Context(), a, cmd, args[0], o)
		}),
	}
	f := cmd.Flags()
	f.BoolVar(&o.lines, "lines", false, "a message per line, without its end (default)")
	f.Var(&o.chunk, "chunk", "a message per so many bytes; the last may be shorter")
	f.BoolVar(&o.prefixed, "length-prefixed", false, "each message follows its length, u32 little-endian")
	f.Var(&o.capacity, "capacity", "size of the ring, a power of two from 4KiB to 4GiB (default the topic's, or 4MiB)")
	f.Var(&o.whenFull, "when-full", "block: wait; fail: end with an error; drop: drop the new message and count it")
	f.Var(&o.rate, "rate", "at most so many messages per second, like 1000/s")
	f.Uint64Var(&o.count, "count", 0, "end after `N` messages")
	f.StringVar(&o.name, "name", "", "given `NAME`, unique among the topic's publishers")
	f.IntVar(&o.waitSubscribers, "wait-subscribers", 0, "publish nothing before `N` subscribers are attached")
	f.BoolVar(&o.exclusive, "exclusive", false, "be the topic's one publisher for life: nobody else can ever write to its memory")
	cmd.MarkFlagsMutuallyExclusive("lines", "chunk", "length-prefixed")
	must(cmd.RegisterFlagCompletionFunc("when-full", completeWords(o.whenFull.words...)))
	return cmd
}

func (o *pubOptions) check(cmd *cobra.Command, a *app) error {
	if a.output == formatJSON {
		return usagef("-o json: pub writes no results; leave it away")
	}
	if cmd.Flags().Changed("chunk") && o.chunk == 0 {
		return usagef("--chunk 0: want at least 1 byte")
	}
	if cmd.Flags().Changed("count") && o.count == 0 {
		return usagef("--count 0: want at least 1 message")
	}
	if o.waitSubscribers < 0 || o.waitSubscribers > ring.MaxSubscribers {
		return usagef("--wait-subscribers %d: want 0 to %d, all that a topic can have", o.waitSubscribers, ring.MaxSubscribers)
	}
	return o.capacity.checkCapacity(cmd.Flags().Changed("capacity"))
}

func (o *pubOptions) config() bus.PublisherConfig {
	c := bus.PublisherConfig{Name: o.name, Capacity: uint64(o.capacity), Exclusive: o.exclusive}
	switch o.whenFull.word {
	case "fail":
		c.WhenFull = bus.Fail
	case "drop":
		c.WhenFull = bus.DropNewest
	}
	return c
}

func runPub(ctx context.Context, a *app, cmd *cobra.Command, topic string, o *pubOptions) (err error) {
	b, err := bus.Open(ctx, a.busConfig())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	p, err := b.Publisher(ctx, topic, o.config())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	if o.chunk > size(p.MaxMessage()) {
		return fmt.Errorf("--chunk %v: the largest message of topic %s is %d bytes; choose a smaller chunk, or a larger --capacity for a new topic",
			&o.chunk, topic, p.MaxMessage())
	}
	if err := p.WaitSubscribers(ctx, o.waitSubscribers); err != nil {
		return err
	}
	r := &pubRun{p: p, o: o, split: o.splitter(p.MaxMessage())}
	err = r.run(ctx)
	if o.whenFull.word == "drop" {
		if s := p.Stats(); s.Dropped > 0 {
			warn(cmd, "published %d, dropped %d", s.Published, s.Dropped)
		}
	}
	if err == nil {
		warnUnread(ctx, cmd, b, p)
	}
	return err
}

// warnUnread says when messages end with this process: nobody has read them,
// nobody else is attached and no `shmbus serve` keeps the topic.
func warnUnread(ctx context.Context, cmd *cobra.Command, b *bus.Bus, p *bus.Publisher) {
	unread := p.Unread()
	if unread == 0 {
		return
	}
	if h, err := b.Host(ctx); err != nil || h.Keep {
		return
	}
	topics, err := b.Topics(ctx)
	if err != nil {
		return
	}
	for _, t := range topics {
		if t.Name == p.Topic() && t.Publishers+t.Subscribers > 1 {
			return
		}
	}
	warn(cmd, "%d messages are gone unread: nobody else is attached to topic %s; use --wait-subscribers, or keep topics with `shmbus serve`",
		unread, p.Topic())
}

// pubRun publishes one input.
type pubRun struct {
	p         *bus.Publisher
	o         *pubOptions
	split     splitter
	batch     [][]byte
	published uint64 // in the ring
	taken     uint64 // published or, with --when-full drop, dropped
}

// run reads, splits and publishes until the input ends. Every message that is
// wholly read is published before the next block is waited for.
func (r *pubRun) run(ctx context.Context) error {
	in := newInput(int(r.o.chunk))
	pace := newPacer(float64(r.o.rate))
	var rest []byte
	for {
		block, more, err := in.next(ctx)
		if err != nil {
			return err
		}
		pace.idle(in.waited)
		data := block
		if len(rest) > 0 {
			rest = append(rest, block...)
			data = rest
		}
		used, err := r.publish(ctx, data, !more, pace)
		if err != nil {
			return err
		}
		if !more || r.done() {
			return nil
		}
		// What is left over moves to the front of rest: block is reused.
		rest = append(rest[:0], data[used:]...)
		in.free(block)
	}
}

func (r *pubRun) done() bool { return r.o.count != 0 && r.taken == r.o.count }

// publish publishes the messages in data and returns how many bytes they took.
func (r *pubRun) publish(ctx context.Context, data []byte, end bool, pace *pacer) (int, error) {
	used := 0
	for !r.done() {
		limit := batchLimit
		if r.o.count != 0 {
			limit = int(min(uint64(limit), r.o.count-r.taken))
		}
		first, n, err := r.split.next(data[used:], end)
		if err != nil || n == 0 {
			return used, err
		}
		used += n
		due, err := pace.wait(ctx, limit)
		if err != nil {
			return used, err
		}
		r.batch = append(r.batch[:0], first)
		var splitErr error
		for len(r.batch) < due {
			m, n, err := r.split.next(data[used:], end)
			if err != nil || n == 0 {
				splitErr = err
				break
			}
			r.batch = append(r.batch, m)
			used += n
		}
		err = r.publishBatch(ctx)
		pace.sent(len(r.batch))
		if err != nil {
			return used, err
		}
		if splitErr != nil {
			return used, splitErr
		}
		if len(r.batch) < due {
			return used, nil
		}
	}
	return used, nil
}

// publishBatch publishes the batch.
func (r *pubRun) publishBatch(ctx context.Context) error {
	n, err := 0, error(nil)
	switch len(r.batch) {
	case 1:
		if err = r.p.Publish(ctx, r.batch[0]); err == nil {
			n = 1 // or dropped
		}
	default:
		n, err = r.p.PublishBatch(ctx, r.batch)
	}
	r.published += uint64(n)
	r.taken += uint64(len(r.batch))
	if errors.Is(err, bus.ErrBackpressure) {
		err = fmt.Errorf("the ring is full at message %d (--when-full fail): %w; choose --when-full block or drop, or a larger --capacity",
			r.published+1, err)
	}
	return err
}
