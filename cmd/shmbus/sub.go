package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/shmbus/shmbus/bus"
)

// pollLimit bounds how many messages are taken in one go.
const pollLimit = 256

type subOptions struct {
	lines    bool
	raw      bool
	prefixed bool
	from     start
	lossy    bool
	maxLag   uint64
	name     string
	count    uint64
	timeout  time.Duration
	drain    bool
	guest    bool
}

func newSub(a *app) *cobra.Command {
	o := &subOptions{}
	must(o.from.Set("latest"))
	cmd := &cobra.Command{
		Use:   "sub TOPIC",
		Short: "write the messages of a topic to standard output",
		Long: `Write the messages of a topic to standard output: each with a newline behind
it, or raw, or with its length before it, or as a line of JSON (-o json). Waits
for the topic if it is not there yet and then gets everything from sequence 0.
The last line on standard error says how many messages were delivered and lost;
loss alone is no failure.`,
		Example: `  shmbus sub numbers --drain | sort -n | tail -1
  shmbus sub events -o json --from -10s --timeout 1m`,
		Args:              topicArg,
		ValidArgsFunction: a.completeTopics,
		RunE: a.runE(func(cmd *cobra.Command, args []string) error {
			if err := o.check(cmd, a); err != nil {
				return err
			}
			return runSub(cmd, a, args[0], o)
		}),
	}
	f := cmd.Flags()
	f.BoolVar(&o.lines, "lines", false, "write a newline behind each message (default)")
	f.BoolVar(&o.raw, "raw", false, "write the messages and nothing between them")
	f.BoolVar(&o.prefixed, "length-prefixed", false, "write each message's length before it, u32 little-endian")
	f.Var(&o.from, "from", "latest, earliest (still in the ring), a sequence number, or an age like -10s")
	f.BoolVar(&o.lossy, "lossy", false, "never hold publishers up; lose messages instead")
	f.Uint64Var(&o.maxLag, "max-lag", 0, "be detached rather than fall `N` messages behind or hold a full ring up")
	f.StringVar(&o.name, "name", "", "given `NAME`, unique among the topic's subscribers")
	f.Uint64Var(&o.count, "count", 0, "end after `N` messages")
	f.DurationVar(&o.timeout, "timeout", 0, "end after this time, like 10s, with exit code 124")
	f.BoolVar(&o.drain, "drain", false, "end when the topic has had a publisher, has none now, and all is read")
	f.BoolVar(&o.guest, "guest", false, "join the bus of another user, who serves it with --group (needs --lossy)")
	cmd.MarkFlagsMutuallyExclusive("lines", "raw", "length-prefixed")
	cmd.MarkFlagsMutuallyExclusive("lossy", "max-lag")
	must(cmd.RegisterFlagCompletionFunc("from", completeWords("latest", "earliest", "-10s")))
	return cmd
}

func (o *subOptions) check(cmd *cobra.Command, a *app) error {
	f := cmd.Flags()
	if f.Changed("count") && o.count == 0 {
		return usagef("--count 0: want at least 1 message")
	}
	if f.Changed("max-lag") && o.maxLag == 0 {
		return usagef("--max-lag 0: want at least 1 message")
	}
	if f.Changed("timeout") && o.timeout <= 0 {
		return usagef("--timeout %v: want more than 0", o.timeout)
	}
	if o.guest && !o.lossy {
		return usagef("--guest: guests must not hold publishers up; add --lossy")
	}
	if a.output == formatJSON && (o.lines || o.raw || o.prefixed) {
		return usagef("-o json is a form of its own: leave --lines, --raw and --length-prefixed away")
	}
	return nil
}

func (o *subOptions) config() bus.SubscriberConfig {
	c := bus.SubscriberConfig{Name: o.name, MaxLag: o.maxLag, Start: o.from.start, UntilDrained: o.drain}
	if o.lossy {
		c.Mode = bus.Lossy
	}
	return c
}

func (o *subOptions) encoder(a *app) encoder {
	switch {
	case a.output == formatJSON:
		return encodeJSON
	case o.raw:
		return encodeRaw
	case o.prefixed:
		return encodePrefixed
	}
	return encodeLine
}

func runSub(cmd *cobra.Command, a *app, topic string, o *subOptions) (err error) {
	ctx := cmd.Context()
	if o.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, o.timeout, errTimedOut)
		defer cancel()
		hard := time.AfterFunc(o.timeout+leaveLimit, func() {
			warn(cmd, "%v after %v, ended the hard way %v later: is standard output read?", errTimedOut, o.timeout, leaveLimit)
			os.Exit(exitTimedOut)
		})
		defer hard.Stop()
	}
	r := &subRun{o: o, out: sink{encode: o.encoder(a), staged: o.maxLag != 0}}
	defer func() {
		a.last = fmt.Sprintf("delivered %d, lost %d", r.out.written, r.lost)
		if d, ok := ctx.Deadline(); ok && !time.Now().Before(d) {
			<-ctx.Done() // it is due; a deadline of a connection may have told us first
		}
		if err != nil && errors.Is(context.Cause(ctx), errTimedOut) {
			err = fmt.Errorf("%w after %v", errTimedOut, o.timeout)
		}
	}()
	c := a.busConfig()
	c.Guest = o.guest
	b, err := bus.Open(ctx, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	s, err := b.Subscriber(ctx, topic, o.config())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	err = r.run(ctx, s)
	if errors.Is(err, bus.ErrDetached) {
		err = fmt.Errorf("%w: it fell --max-lag %d messages behind or held a full ring up; what it read last is not written", err, o.maxLag)
	}
	return err
}

// subRun writes one subscription to standard output.
type subRun struct {
	o     *subOptions
	out   sink
	taken uint64 // messages; they are delivered once they are written
	lost  uint64
}

// run delivers until the count is reached, the topic is drained or ctx ends.
// What has been taken is written before anything is waited for.
func (r *subRun) run(ctx context.Context, s *bus.Subscriber) error {
	for ctx.Err() == nil {
		limit := pollLimit
		if r.o.count != 0 {
			limit = int(min(uint64(limit), r.o.count-r.taken))
		}
		n, err := s.Poll(r.message, limit)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if err := r.out.flush(); err != nil {
			return err
		}
		if errors.Is(err, io.EOF) || r.o.count != 0 && r.taken == r.o.count {
			return nil
		}
		if n > 0 {
			continue
		}
		if err := s.Wait(ctx); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// message takes one message; last is the end of a batch.
func (r *subRun) message(m bus.Message, last bool) error {
	r.taken++
	r.lost += m.Lost
	return r.out.message(&m, last)
}
