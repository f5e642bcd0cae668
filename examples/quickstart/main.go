// Quickstart publishes three messages and reads them back.
//
// Here both ends are in one program. They need not be: start
//
//	shmbus sub greetings
//
// in another terminal, and it sees the messages too.
package main

import (
	"context"
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

	// Whoever opens a bus first hosts it; there is nothing to start or to
	// clean up.
	b, err := bus.Open(ctx, bus.Config{})
	if err != nil {
		return err
	}
	defer b.Close()

	// The first publisher makes the topic.
	pub, err := b.Publisher(ctx, "greetings", bus.PublisherConfig{})
	if err != nil {
		return err
	}
	sub, err := b.Subscriber(ctx, "greetings", bus.SubscriberConfig{UntilDrained: true})
	if err != nil {
		return err
	}

	for _, who := range []string{"Ada", "Grace", "Barbara"} {
		if err := pub.Publish(ctx, []byte("hello, "+who)); err != nil {
			return err
		}
	}
	if err := pub.Close(); err != nil {
		return err
	}

	// UntilDrained: the loop ends when the last publisher is gone and all is
	// read. Payload is a view of shared memory, valid until the next turn.
	for m, err := range sub.Messages(ctx) {
		if err != nil {
			return err
		}
		fmt.Printf("%d: %s\n", m.Sequence, m.Payload)
	}
	return nil
}
