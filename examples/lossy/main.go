// Lossy has a subscriber that is too slow and holds nobody back: it is told
// how many messages it lost, and the numbers add up.
package main

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/shmbus/shmbus/bus"
)

const published = 10_000

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	b, err := bus.Open(ctx, bus.Config{})
	if err != nil {
		return err
	}
	defer b.Close()
	pub, err := b.Publisher(ctx, "prices", bus.PublisherConfig{Capacity: 8 << 10})
	if err != nil {
		return err
	}
	sub, err := b.Subscriber(ctx, "prices", bus.SubscriberConfig{Mode: bus.Lossy, UntilDrained: true})
	if err != nil {
		return err
	}

	go func() {
		defer pub.Close()
		for i := range published {
			if err := pub.Publish(ctx, fmt.Appendf(nil, "price %d", i)); err != nil {
				log.Print(err)
				return
			}
		}
	}()

	var delivered, lost uint64
	for m, err := range sub.Messages(ctx) {
		if err != nil {
			return err
		}
		delivered++
		lost += m.Lost // before this one; not an error
		if delivered%10 == 1 {
			time.Sleep(100 * time.Microsecond) // too slow
		}
	}
	fmt.Printf("lost some: %t\n", lost > 0)
	fmt.Printf("delivered + lost = %d\n", delivered+lost)
	return nil
}
