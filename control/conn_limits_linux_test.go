package control

import (
	"fmt"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// inFlight fills up what this user may have in flight, then reads it.
var _ = childProgram("in-flight", func([]string) error {
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 16, Max: 16}); err != nil {
		return err
	}
	x, y, err := socketPair()
	if err != nil {
		return err
	}
	a, err := connOf(x)
	if err != nil {
		return err
	}
	b, err := connOf(y)
	if err != nil {
		return err
	}
	sent := 0
	for ; err == nil && sent < 1000; sent++ {
		err = a.Send(time.Now().Add(100*time.Millisecond), sent, os.Stdin)
	}
	fmt.Println(sent < 1000, name(err, os.ErrDeadlineExceeded))
	// What is waiting goes through as soon as there is room.
	done := make(chan error)
	go func() { done <- a.Send(noDeadline, "last", os.Stdin) }()
	for range sent {
		_, files, err := b.Receive(noDeadline)
		CloseFiles(files)
		if err != nil {
			return err
		}
	}
	fmt.Println("then", <-done)
	return nil
})

func TestDescriptorsInFlightAreWaitedFor(t *testing.T) {
	needRoot(t) // to be somebody whom the limit binds
	c := startChild(t, nobody-1, nobody-1, "in-flight")
	for _, want := range []string{"true E0", "then <nil>"} {
		if got := c.line(); got != want {
			t.Errorf("the child says %q, want %q", got, want)
		}
	}
}

// outOfDescriptors receives more than it has room for.
var _ = childProgram("out-of-descriptors", func([]string) error {
	x, y, err := socketPair()
	if err != nil {
		return err
	}
	a, err := connOf(x)
	if err != nil {
		return err
	}
	b, err := connOf(y)
	if err != nil {
		return err
	}
	if err := a.Send(noDeadline, 1, os.Stdin, os.Stdin, os.Stdin); err != nil {
		return err
	}
	free, err := os.Open("/dev/null") // the lowest free number
	if err != nil {
		return err
	}
	limit := uint64(free.Fd()) + 1 // room for this one
	free.Close()
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: limit, Max: limit}); err != nil {
		return err
	}
	_, files, err := b.Receive(noDeadline)
	fmt.Println(len(files), name(err, ErrNoDescriptors, ErrMalformed))
	again, err := os.Open("/dev/null")
	if err != nil {
		return err
	}
	_, err = os.Open("/dev/null")
	fmt.Println(again.Fd() == uintptr(limit-1), isOutOfDescriptors(err))
	return nil
})

func TestOutOfDescriptorsIsNamedAndLeaksNone(t *testing.T) {
	c := startChild(t, os.Getuid(), 0, "out-of-descriptors")
	for _, want := range []string{"0 E0", "true true"} {
		if got := c.line(); got != want {
			t.Errorf("the child says %q, want %q", got, want)
		}
	}
}
