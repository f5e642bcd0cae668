// Package bus lets processes on one Linux machine exchange messages through
// shared memory, at memory speed. It is what programs import.
//
//	b, err := bus.Open(ctx, bus.Config{}) // joins the bus, or hosts it
//	if err != nil { … }
//	defer b.Close()
//
//	pub, err := b.Publisher(ctx, "quotes", bus.PublisherConfig{})
//	err = pub.Publish(ctx, []byte("hello"))
//
//	sub, err := b.Subscriber(ctx, "quotes", bus.SubscriberConfig{}) // often in another process
//	for m, err := range sub.Messages(ctx) {
//		fmt.Printf("%d: %s\n", m.Sequence, m.Payload)
//	}
//
// # Data flow
//
//	Publisher.Publish ─ copy ─▶ ┌──── ring of one topic ────┐ ─ view ─▶ Subscriber.Next, reliable
//	Publisher.Claim ─ fill ───▶ │ shared memory, sealed     │ ─ view ─▶ Subscriber.Next, reliable
//	  └▶ Claim.Commit           └───────────────────────────┘ ─ copy ─▶ Subscriber.Next, lossy
//
// A topic is one ring of bytes in shared memory that all its participants map.
// No message crosses a socket; a Unix socket serves only to join and leave.
// All messages of a topic, of any number of publishers, have one order and
// every subscriber sees that order.
//
// # Life
//
// Open joins the bus of that name or becomes its host. The first publisher
// makes a topic, with its options; a subscriber waits for the topic and is
// attached before the first message can be published. A topic lives as long as
// somebody is attached (with a host by "shmbus serve": until it is removed);
// durability is not its business. Close, or the end of the process in any way,
// gives everything back. If the host goes, the others do not notice: one of
// them becomes the host.
//
// # Trust and crashes
//
// Participants of a bus are processes of one user that trust each other not to
// write where they should not; subscribers map the messages read-only, so a
// stray write ends the process that made it. A process may be killed at any
// instruction: messages for which Publish returned nil are whole and in order
// for everybody else, a message under way is there whole or not at all, and a
// claim that was open is aborted by the host. Numbers read from shared memory
// are checked before use: bytes that contradict themselves are [ErrCorrupt],
// never a panic or a read out of bounds. A process that is stopped (SIGSTOP)
// while it holds the lock of a topic is waited for; contexts end that with
// [ErrStalled].
//
// # Goroutines
//
// A [Bus] may be used by any number of goroutines. A [Publisher] or
// [Subscriber] belongs to one goroutine at a time; use by two is found, best
// effort, and panics. [Publisher.Shared] is for many. Close alone may be
// called by anybody at any time: it marks, it wakes, and the memory is
// unmapped only when no call is inside and no view is out.
//
// # Caveats
//
// Message.Payload is valid until the subscriber's next call: keep a
// [Message.Clone] instead. A reliable subscriber that stops reading stops the
// topic when the ring is full, unless it has a MaxLag; a claim that is kept
// open stops its subscribers. Memory of topics counts towards the cgroup of
// the host. It is made for linux/amd64 and linux/arm64 and tested there; on other
// systems, and on 32-bit processors, Open returns errors.ErrUnsupported.
package bus
