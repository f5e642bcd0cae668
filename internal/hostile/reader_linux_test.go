package hostile

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/shmbus/shmbus/bustest"
	"github.com/shmbus/shmbus/control"
	"github.com/shmbus/shmbus/ring"
)

// readerProgram reads topic Args[0] Args[1] times, in both modes, from
// wherever, whatever comes of it, and says how often it got a message.
func readerProgram(ctx context.Context, c *bustest.Child) error {
	b := c.Config()
	client, err := control.Dial(ctx, control.Config{Dir: b.Dir, Bus: b.Name, NeverHost: true})
	if err != nil {
		return err
	}
	g, err := client.Subscriber(ctx, control.SubscriberRequest{Topic: c.Args[0]})
	if err != nil {
		return err
	}
	reads, err := strconv.Atoi(c.Args[1])
	if err != nil {
		return err
	}
	c.Say("slot %d %d", g.Slot, g.Gen)
	c.Say("ready")
	if err := flipped(g); err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(3, 4))
	capacity := g.Ring.Options().Capacity
	var got [2]int
	var sum byte
	var consumer *ring.Consumer
	for n := range reads {
		mode := ring.Mode(n >> 4 & 1)
		if consumer == nil || n&15 == 0 {
			at := ring.Attachment{Position: random.Uint64N(capacity/32) * 32, Sequence: flippedSequence}
			if consumer, err = g.Ring.Consumer(g.Slot, g.Gen, at, ring.ConsumerOptions{Mode: mode}); err != nil {
				return err
			}
		}
		m, err := consumer.Next()
		if err == nil {
			got[mode]++
			if len(m.Payload) > ring.MaxMessage(capacity) {
				return fmt.Errorf("a message of %d bytes", len(m.Payload))
			}
			for _, x := range m.Payload { // every byte of it, which must be there
				sum += x
			}
		} else if !errors.Is(err, ring.ErrEmpty) && !errors.Is(err, ring.ErrCorrupt) && !errors.Is(err, ring.ErrDetached) {
			return err
		} else {
			consumer = nil
		}
		if n%10_000 == 0 {
			c.Say("at %d", n)
		}
	}
	c.Say("read %d %d %d", got[ring.Reliable], got[ring.Lossy], sum)
	<-ctx.Done()
	return nil
}

const flippedSequence = 7

// flipped waits until the attacker is at work: until record 0 is one of his.
func flipped(g *control.Grant) error {
	for end := time.Now().Add(startLimit); time.Now().Before(end); {
		consumer, err := g.Ring.Consumer(g.Slot, g.Gen, ring.Attachment{Sequence: flippedSequence}, ring.ConsumerOptions{})
		if err != nil {
			return err
		}
		if _, err := consumer.Next(); err == nil {
			return nil
		}
	}
	return errors.New("record 0 is never one of the attacker's")
}

// TestHeadersFlipped: headers, positions and sequences change under a reader,
// most of them to what could be true. It reads what lies inside, or says that
// the ring is corrupt: 100 000 000 reads with SHMBUS_FULL=1. Who finds the
// reader's cursor impossible by such a header detaches it; the attacker attaches
// it again, or there would be little to see.
func TestHeadersFlipped(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	reads := 300_000
	if os.Getenv("SHMBUS_FULL") != "" {
		reads = 100_000_000
	}
	reader := spawn(t, s.dir, "reader", "victim", strconv.Itoa(reads))
	log := s.stolen(logRegion, true)
	var slot int
	var generation uint32
	if _, err := fmt.Sscan(reader.told(t, "slot"), &slot, &generation); err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(5, 6))
	const capacity = 64 << 10
	records := log[len(log)-capacity:]
	var reliable, lossy, sum int
	for flips := 0; ; flips++ {
		at := random.Uint64N(capacity/32) * 32
		state, length := random.Uint64N(6), random.Uint64()>>(32+random.Uint64N(32))
		if flips%4 > 0 {
			state, length = 2, random.Uint64N(capacity/4)>>random.Uint64N(14)
		}
		word64(records, int(at)).Store(at>>5<<36 | state<<32 | length)
		word64(records, int(at)+8).Store(flippedSequence + random.Uint64N(2))
		if flips%64 == 0 {
			word64(log, 0x400).Store(random.Uint64N(2 * capacity)) // claimed
			word64(log, 0x380).Store(random.Uint64N(capacity))     // tail
			word64(log, 0x600+8*random.IntN(64)).Store(random.Uint64N(capacity))
			word32(log, gatesAt+4*slot).Store(generation)
		}
		if flips%4096 == 0 && reader.done(t, &reliable, &lossy, &sum) {
			break
		}
	}
	t.Logf("%d reads: %d messages reliably, %d lossily", reads, reliable, lossy)
	if reliable < reads/1000 || lossy < reads/1000 {
		t.Errorf("of %d reads, only %d reliable and %d lossy ones found a message", reads, reliable, lossy)
	}
	s.unharmed()
}

// done reports whether the reader is through, and fails the test if it has
// ended.
func (a *actor) done(t *testing.T, results ...*int) bool {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended != nil {
		t.Fatalf("%s: %v\n%s", a.name, a.ended, a.errors.String())
	}
	for _, line := range a.lines {
		if n, _ := fmt.Sscanf(line, "read %d %d %d", results[0], results[1], results[2]); n == 3 {
			return true
		}
	}
	return false
}
