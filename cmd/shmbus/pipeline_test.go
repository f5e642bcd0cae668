package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestTarPipeline sends a tar of a tree in chunks to two subscribers:
//
//	tar c DIR | shmbus pub bulk --chunk 64KiB … ; shmbus sub bulk --raw --drain | sha256sum
func TestTarPipeline(t *testing.T) {
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	tree := filepath.Join(strings.TrimSpace(string(goroot)), "src", "cmd", "compile")
	size := int64(20 << 20)
	if full() {
		tree, size = filepath.Join(strings.TrimSpace(string(goroot)), "src"), 1<<30
	}
	place := newPlace(t)
	var subs []*process
	var sums [2]hash.Hash
	ends := make(chan error, len(sums))
	for i := range sums {
		sub := place.command(t, "sub", "bulk", "--raw", "--drain")
		out, sum := sub.out(t), sha256.New()
		sums[i] = sum
		subs = append(subs, sub.start(t))
		go func() {
			_, err := io.Copy(sum, out)
			ends <- err
		}()
	}
	pub := place.command(t, "pub", "bulk", "--chunk", "64KiB", "--capacity", "4MiB", "--wait-subscribers", "2")
	in := pub.in(t)
	pub.start(t)
	want := sha256.New()
	n, err := tarTree(io.MultiWriter(in, want), tree, size)
	if err != nil {
		t.Fatalf("%v; stderr of pub: %s", err, pub.stderr)
	}
	in.Close()
	pub.exits(t, exitOK)
	for range sums {
		if err := <-ends; err != nil {
			t.Error(err)
		}
	}
	for i, sub := range subs {
		sub.exits(t, exitOK)
		if !bytes.Equal(sums[i].Sum(nil), want.Sum(nil)) {
			t.Errorf("subscriber %d: sum %x, want %x; %s", i, sums[i].Sum(nil), want.Sum(nil), sub.stderr)
		}
	}
	t.Logf("%d bytes", n)
}

// tarTree writes the tree again and again until at least size bytes are written.
func tarTree(w io.Writer, dir string, size int64) (n int64, err error) {
	archive := tar.NewWriter(w)
	for round := 0; n < size; round++ {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			n += int64(len(content))
			h := &tar.Header{Name: fmt.Sprintf("%d/%s", round, path), Mode: 0o644, Size: int64(len(content))}
			if err := archive.WriteHeader(h); err != nil {
				return err
			}
			_, err = archive.Write(content)
			return err
		})
		if err != nil {
			return n, err
		}
	}
	return n, archive.Close()
}

// TestFourPublishersThreeSubscribers: each publisher's lines in order, and the
// same total order in all subscribers.
func TestFourPublishersThreeSubscribers(t *testing.T) {
	for _, capacity := range []string{"4MiB", "64KiB"} {
		t.Run(capacity, func(t *testing.T) {
			s := newStorm(t, newPlace(t), capacity, scaled(20_000, 1_000_000))
			s.startSubscribers(t)
			s.startPublishers(t)
			s.begin(t)
			s.goOn()
			s.finish(t, nil)
		})
	}
}

// TestLossySlow: a lossy subscriber whose output is read slowly loses messages
// and says exactly how many.
func TestLossySlow(t *testing.T) {
	const lines, pieces = 200_000, 20
	input := numbered("a line of some length ", lines)
	for round := range scaled(2, 20) {
		place := newPlace(t)
		sub := place.command(t, "sub", "t", "--lossy", "--drain")
		out := sub.out(t)
		sub.start(t)
		pub := place.command(t, "pub", "t", "--capacity", "64KiB", "--wait-subscribers", "1")
		in := pub.in(t)
		pub.start(t)
		var got bytes.Buffer
		for i := range pieces {
			piece := input[len(input)*i/pieces : len(input)*(i+1)/pieces]
			if _, err := io.WriteString(in, piece); err != nil {
				t.Fatal(err)
			}
			// Less than a piece: the subscriber falls behind.
			if _, err := io.CopyN(&got, out, 16<<10); err != nil {
				t.Fatal(err)
			}
		}
		in.Close()
		pub.exits(t, exitOK)
		if _, err := got.ReadFrom(out); err != nil {
			t.Fatal(err)
		}
		sub.exits(t, exitOK)
		d, l := delivered(t, sub)
		if d+l != lines || l == 0 {
			t.Errorf("round %d: delivered %d + lost %d = %d, want %d and some lost", round, d, l, d+l, lines)
		}
		checkRising(t, got.String(), d)
	}
}

// checkRising checks that text is n of the numbered lines, in order.
func checkRising(t *testing.T, text string, n int) {
	t.Helper()
	last, count := -1, 0
	for line := range strings.Lines(text) {
		var i int
		if _, err := fmt.Sscanf(line, "a line of some length %d\n", &i); err != nil || i <= last {
			t.Fatalf("line %d is %q after number %d", count, line, last)
		}
		last = i
		count++
	}
	if count != n {
		t.Errorf("%d lines arrived, %d were reported", count, n)
	}
}

// TestQuickPublisher: a publisher that hosts the bus and leaves at once has
// published to whoever was attached, or was waiting for the topic, for good.
func TestQuickPublisher(t *testing.T) {
	place := newPlace(t)
	for round := range scaled(10, 100) {
		topic := fmt.Sprintf("t%d", round)
		sub := place.command(t, "sub", topic, "--drain", "--timeout", watchdog.String())
		var out bytes.Buffer
		sub.Stdout = &out
		sub.start(t)
		pub := place.command(t, "pub", topic, "--wait-subscribers", "1")
		pub.Stdin = strings.NewReader("x\ny\n")
		pub.start(t).exits(t, exitOK)
		sub.exits(t, exitOK)
		if out.String() != "x\ny\n" {
			t.Fatalf("round %d: %q arrived", round, out.String())
		}
	}
}
