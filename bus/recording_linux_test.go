package bus_test

import (
	"context"
	"encoding/binary"
	"os"
	"runtime"
	"sort"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/shmbus/shmbus/bus"
	"github.com/shmbus/shmbus/bustest"
)

func init() { bustest.Register("stream", streamProgram) }

// recordingPart is how many messages one subscriber of TestRecordingCost reads
// before the next one takes its place.
const recordingPart = 1 << 18

// roundsOfARing is how many rounds there are on one ring: where its pages are
// favours one or the other.
const roundsOfARing = 10

// TestRecordingCost prints what recording costs a subscriber that spins on
// 64-byte messages. It asserts nothing. One publisher, in a process of its own,
// publishes without end; subscribers that record and that do not take turns on
// the same ring, in the order with, without, without, with, and the other way
// round in every second round, so that all else is the same for both and what
// changes slowly cancels out. The ratio of the two is taken in each round.
//
//	SHMBUS_MEASURE=1 go test ./bus -run TestRecordingCost -v
func TestRecordingCost(t *testing.T) {
	if os.Getenv("SHMBUS_MEASURE") == "" {
		t.Skip("set SHMBUS_MEASURE=1 to measure for a minute or two; a number: so many rounds")
	}
	rounds, _ := strconv.Atoi(os.Getenv("SHMBUS_MEASURE"))
	if rounds < 10 {
		rounds = 200
	}
	for _, batch := range []string{"1", "32"} {
		t.Run("batches of "+batch, func(t *testing.T) { recordingCost(t, batch, rounds) })
	}
}

func recordingCost(t *testing.T, batch string, rounds int) {
	runtime.LockOSThread() // never unlocked: its affinity is not for others
	onProcessor(1)
	var with, without []float64 // messages a second
	var ratios []float64
	for i := 0; i < rounds; {
		b := bustest.New(t)
		child := bustest.Spawn(t, b, "stream", "recording", batch)
		child.Expect("publishing")
		for range roundsOfARing {
			outer := i%2 == 0
			a := readPart(t, b, outer)
			x, y := readPart(t, b, !outer), readPart(t, b, !outer)
			z := readPart(t, b, outer)
			if !outer {
				a, x, y, z = x, a, z, y
			}
			with, without = append(with, recordingPart/a, recordingPart/z), append(without, recordingPart/x, recordingPart/y)
			ratios = append(ratios, (x+y)/(a+z))
			i++
		}
		child.Kill()
	}
	for _, s := range [][]float64{with, without, ratios} {
		sort.Float64s(s)
	}
	// The ranks between which the true median lies in 95 of 100 such samples.
	low, high := medianRanks(len(ratios))
	t.Logf("recording: %.1f M/s, without: %.1f M/s; ratio in %d rounds: median %.3f, 95 %% between %.3f and %.3f",
		with[len(with)/2]/1e6, without[len(with)/2]/1e6, len(ratios), ratios[len(ratios)/2], ratios[low], ratios[high])
}

// readPart reads messages as a new subscriber and returns the seconds it took.
func readPart(t *testing.T, b *bustest.Bus, recording bool) float64 {
	s := openSubscriber(t, b, "recording", bus.SubscriberConfig{Wait: bus.Spin, NoRecording: !recording})
	ctx := context.Background()
	var m bus.Message
	sum := uint64(0)
	read := func(n int) {
		for range n {
			if err := s.NextInto(ctx, &m); err != nil {
				t.Fatal(err)
			}
			sum += binary.LittleEndian.Uint64(m.Payload) + binary.LittleEndian.Uint64(m.Payload[56:]) // a load from each line
		}
	}
	read(recordingPart / 8)
	began := time.Now()
	read(recordingPart)
	took := time.Since(began)
	if sum == 0 {
		t.Fatal("nothing but zeros")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return took.Seconds()
}

// streamProgram publishes on topic Args[0] in batches of Args[1], to one
// subscriber after the other, until it is killed.
func streamProgram(ctx context.Context, c *bustest.Child) error {
	b, err := c.Open(ctx)
	if err != nil {
		return err
	}
	p, err := b.Publisher(ctx, c.Args[0], bus.PublisherConfig{})
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	onProcessor(0)
	c.Say("publishing")
	messages := make([][]byte, number(c.Args[1]))
	for i := range messages {
		messages[i] = make([]byte, 64)
	}
	for n := uint64(1); ; {
		for _, m := range messages {
			binary.LittleEndian.PutUint64(m, n)
			n++
		}
		if len(messages) == 1 {
			err = p.Publish(ctx, messages[0])
		} else {
			_, err = p.PublishBatch(ctx, messages)
		}
		if err != nil {
			return err
		}
	}
}

// onProcessor confines the calling thread to one processor. Refused, it runs
// wherever it may.
func onProcessor(n int) {
	var set unix.CPUSet
	set.Set(n)
	_ = unix.SchedSetaffinity(0, &set)
}

// medianRanks returns the ranks in n sorted values that have the median of
// whatever they are a sample of between them, 95 times in 100.
func medianRanks(n int) (low, high int) {
	half := 1
	for half*half < n {
		half++
	}
	return max(n/2-half, 0), min(n/2+half, n-1) // 1.96 * sqrt(n) / 2, about sqrt(n)
}
