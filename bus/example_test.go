package bus_test

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/shmbus/shmbus/bus"
)

// exampleBus opens a bus of its own, so that examples do not meet.
func exampleBus(ctx context.Context) (*bus.Bus, func()) {
	dir, err := os.MkdirTemp("", "shmbus")
	if err != nil {
		panic(err)
	}
	b, err := bus.Open(ctx, bus.Config{Dir: dir})
	if err != nil {
		panic(err)
	}
	return b, func() {
		_ = b.Close()
		_ = os.RemoveAll(dir)
	}
}

func Example() {
	ctx := context.Background()
	b, done := exampleBus(ctx) // bus.Open(ctx, bus.Config{}) in a program
	defer done()

	pub, err := b.Publisher(ctx, "greetings", bus.PublisherConfig{})
	if err != nil {
		panic(err)
	}
	sub, err := b.Subscriber(ctx, "greetings", bus.SubscriberConfig{}) // often in another process
	if err != nil {
		panic(err)
	}
	if err := pub.Publish(ctx, []byte("hello")); err != nil {
		panic(err)
	}
	m, err := sub.Next(ctx)
	if err != nil {
		panic(err)
	}
	fmt.Printf("%d: %s\n", m.Sequence, m.Payload)
	// Output: 0: hello
}

// A claim is filled in place, in shared memory.
func ExamplePublisher_Claim() {
	ctx := context.Background()
	b, done := exampleBus(ctx)
	defer done()
	pub, _ := b.Publisher(ctx, "pictures", bus.PublisherConfig{})
	sub, _ := b.Subscriber(ctx, "pictures", bus.SubscriberConfig{})

	claim, err := pub.Claim(ctx, 5)
	if err != nil {
		panic(err)
	}
	copy(claim.Bytes(), "12345")
	if err := claim.Commit(); err != nil { // or Abort
		panic(err)
	}
	m, _ := sub.Next(ctx)
	fmt.Printf("%s\n", m.Payload)
	// Output: 12345
}

// With UntilDrained the iterator ends when the last publisher has gone.
func ExampleSubscriber_Messages() {
	ctx := context.Background()
	b, done := exampleBus(ctx)
	defer done()
	pub, _ := b.Publisher(ctx, "numbers", bus.PublisherConfig{})
	sub, _ := b.Subscriber(ctx, "numbers", bus.SubscriberConfig{UntilDrained: true})
	for i := range 3 {
		_ = pub.Publish(ctx, fmt.Append(nil, i))
	}
	_ = pub.Close()

	for m, err := range sub.Messages(ctx) {
		if err != nil {
			panic(err)
		}
		fmt.Printf("%s ", m.Payload)
	}
	_, err := sub.Next(ctx)
	fmt.Println(err == io.EOF)
	// Output: 0 1 2 true
}

// Poll takes what is there and says which message is the last for now.
func ExampleSubscriber_Poll() {
	ctx := context.Background()
	b, done := exampleBus(ctx)
	defer done()
	pub, _ := b.Publisher(ctx, "numbers", bus.PublisherConfig{})
	sub, _ := b.Subscriber(ctx, "numbers", bus.SubscriberConfig{})
	_, _ = pub.PublishBatch(ctx, [][]byte{[]byte("a"), []byte("b"), []byte("c")})

	n, err := sub.Poll(func(m bus.Message, last bool) error {
		fmt.Printf("%s %t\n", m.Payload, last)
		return nil
	}, 100)
	fmt.Println(n, err)
	// Output:
	// a false
	// b false
	// c true
	// 3 <nil>
}

// A Publisher belongs to one goroutine, a SharedPublisher to many.
func ExamplePublisher_Shared() {
	ctx := context.Background()
	b, done := exampleBus(ctx)
	defer done()
	pub, _ := b.Publisher(ctx, "events", bus.PublisherConfig{})
	sub, _ := b.Subscriber(ctx, "events", bus.SubscriberConfig{})

	shared := pub.Shared()
	for range 3 {
		go func() { _ = shared.Publish(ctx, []byte("event")) }()
	}
	for range 3 {
		m, _ := sub.Next(ctx)
		fmt.Printf("%d: %s\n", m.Sequence, m.Payload)
	}
	// Output:
	// 0: event
	// 1: event
	// 2: event
}
