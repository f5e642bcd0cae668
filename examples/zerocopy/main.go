// Zerocopy fills messages in place: Claim gives room in the ring, Commit makes
// it a message. Nothing is copied on the way from the publisher's pen to the
// subscriber's eye.
package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"log"
	"time"

	"github.com/shmbus/shmbus/bus"
)

const samples = 1 << 16 // in a message

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	b, err := bus.Open(ctx, bus.Config{})
	if err != nil {
		return err
	}
	defer b.Close()
	pub, err := b.Publisher(ctx, "samples", bus.PublisherConfig{Capacity: 8 << 20})
	if err != nil {
		return err
	}
	sub, err := b.Subscriber(ctx, "samples", bus.SubscriberConfig{UntilDrained: true})
	if err != nil {
		return err
	}

	// Two claims may be open at once; each is filled outside the ring's lock.
	// Subscribers see them in the order of the claims, whichever is committed
	// first.
	first, err := pub.Claim(ctx, 8*samples)
	if err != nil {
		return err
	}
	second, err := pub.Claim(ctx, 8*samples)
	if err != nil {
		return err
	}
	fill(second.Bytes(), 1000)
	fill(first.Bytes(), 0)
	if err := second.Commit(); err != nil {
		return err
	}
	if err := first.Commit(); err != nil {
		return err
	}

	// What turns out not to be worth sending is aborted.
	third, err := pub.Claim(ctx, 8*samples)
	if err != nil {
		return err
	}
	if err := third.Abort(); err != nil {
		return err
	}
	if err := pub.Close(); err != nil {
		return err
	}

	for m, err := range sub.Messages(ctx) {
		if err != nil {
			return err
		}
		sum := uint64(0)
		for i := 0; i < len(m.Payload); i += 8 { // read in place, too
			sum += binary.LittleEndian.Uint64(m.Payload[i:])
		}
		fmt.Printf("message %d: %d bytes, sum %d\n", m.Sequence, len(m.Payload), sum)
	}
	fmt.Printf("aborted: %d\n", sub.Stats().Aborted)
	return nil
}

func fill(b []byte, from uint64) {
	for i := range samples {
		binary.LittleEndian.PutUint64(b[8*i:], from+uint64(i))
	}
}
