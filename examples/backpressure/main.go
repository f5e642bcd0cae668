// Backpressure shows what a publisher can do when the ring is full because a
// reliable subscriber has not read: wait, fail, or drop the message.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/shmbus/shmbus/bus"
)

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

	// The policy is each publisher's own; the topic is one.
	open := func(full bus.WhenFull) (*bus.Publisher, error) {
		return b.Publisher(ctx, "work", bus.PublisherConfig{Capacity: 4 << 10, WhenFull: full})
	}
	failing, err := open(bus.Fail)
	if err != nil {
		return err
	}
	dropping, err := open(bus.DropNewest)
	if err != nil {
		return err
	}
	blocking, err := open(bus.Block)
	if err != nil {
		return err
	}
	sub, err := b.Subscriber(ctx, "work", bus.SubscriberConfig{})
	if err != nil {
		return err
	}

	n := 0
	for err == nil { // nobody reads: 4 KiB are soon full
		if err = failing.Publish(ctx, make([]byte, 100)); err == nil {
			n++
		}
	}
	fmt.Printf("Fail: %d messages, then backpressure: %t\n", n, errors.Is(err, bus.ErrBackpressure))

	for range 5 {
		if err := dropping.Publish(ctx, make([]byte, 100)); err != nil {
			return err
		}
	}
	fmt.Printf("DropNewest: %d dropped\n", dropping.Stats().Dropped)

	short, stop := context.WithTimeout(ctx, 20*time.Millisecond)
	err = blocking.Publish(short, make([]byte, 100))
	stop()
	fmt.Printf("Block, nobody reads: %v\n", err)

	done := make(chan error)
	go func() { done <- blocking.Publish(ctx, make([]byte, 99)) }()
	for range n {
		if _, err := sub.Next(ctx); err != nil {
			return err
		}
	}
	m, err := sub.Next(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("Block, somebody reads: %d bytes, %v\n", len(m.Payload), <-done)
	return nil
}
