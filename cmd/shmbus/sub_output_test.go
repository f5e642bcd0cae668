package main

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/shmbus/shmbus/bus"
)

// TestFullOutput: what could not be written is not delivered.
func TestFullOutput(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	place := newPlace(t)
	place.command(t, "serve").start(t)
	place.until(t, `"keep": true`, "stat", "-o", "json")
	pub := place.command(t, "pub", "t")
	pub.Stdin = strings.NewReader("1\n2\n3\n")
	pub.start(t).exits(t, exitOK)
	sub := place.command(t, "sub", "t", "--from", "earliest", "--count", "3")
	sub.Stdout = full
	sub.start(t).exits(t, exitFailed)
	if d, _ := delivered(t, sub); d != 0 || !strings.Contains(sub.stderr.String(), "no space left") {
		t.Errorf("delivered %d, want nothing; stderr:\n%s", d, sub.stderr)
	}
}

// TestSinkInPart: of a write that ends early, whole messages count.
func TestSinkInPart(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer func(f *os.File) { os.Stdout = f }(os.Stdout)
	os.Stdout = w
	s := sink{encode: encodeRaw, staged: true}
	const size, messages = 1000, 2000 // more than a pipe holds
	if err := s.message(&bus.Message{}, false); err != nil {
		t.Fatal(err)
	}
	for range messages {
		if err := s.message(&bus.Message{Payload: make([]byte, size)}, false); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if err := s.flush(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("writing more than the pipe holds: %v", err)
	}
	w.Close()
	got, err := io.ReadAll(r)
	if want := uint64(1 + len(got)/size); err != nil || s.written != want {
		t.Errorf("%d messages written, %v, want the empty one and those in %d bytes: %d", s.written, err, len(got), want)
	}
}
