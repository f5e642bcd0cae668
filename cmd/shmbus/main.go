package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// leaveLimit is how long a clean leave may take after a signal or a timeout
// before the process ends the hard way. The host notices a death and repairs
// the ring, so the hard way harms nobody; it is needed when standard output is
// blocked.
const leaveLimit = 5 * time.Second

func main() { os.Exit(run(os.Args[1:])) }

// run executes one command line and returns its exit code.
func run(args []string) int {
	ctx := interruptible()
	a := &app{}
	root := newRoot(a)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	return a.finish(ctx, cmd, err)
}

// interruptedError is the cause of a context ended by a signal.
type interruptedError struct{ signal os.Signal }

func (e interruptedError) Error() string { return "interrupted by " + e.signal.String() }

// interruptible returns a context that SIGINT and SIGTERM end, once: a second
// signal ends the process at once. SIGPIPE is caught so that a write to a closed
// standard output returns an error and the participant can leave the bus.
func interruptible() context.Context {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	go func() {
		s := <-signals
		signal.Reset(os.Interrupt, syscall.SIGTERM)
		cancel(interruptedError{s})
		time.AfterFunc(leaveLimit, func() { os.Exit(exitInterrupted) })
	}()
	return ctx
}

// interrupted reports whether a signal ended ctx, and which.
func interrupted(ctx context.Context) (os.Signal, bool) {
	var e interruptedError
	if errors.As(context.Cause(ctx), &e) {
		return e.signal, true
	}
	return nil, false
}
