package bus

import (
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/shmbus/shmbus/control"
	"github.com/shmbus/shmbus/ring"
)

// Config says which bus to open and how. The zero value opens the default bus
// of this user and hosts it if nobody does.
type Config struct {
	// Name of the bus; empty means $SHMBUS_BUS, or "default".
	Name string
	// Dir is the directory that holds buses; empty means $SHMBUS_DIR, or the
	// first that applies: /run/shmbus for root, $XDG_RUNTIME_DIR/shmbus,
	// /run/user/UID/shmbus, /tmp/shmbus-UID.
	Dir string
	// NeverHost: join a bus that somebody hosts, or fail with ErrNoBus or
	// ErrNoHost; never serve others.
	NeverHost bool
	// Guest: the bus belongs to another user and is in group mode. Guests
	// subscribe, lossy, and nothing else.
	Guest bool
	// Logger gets what the control connection and the host have to say; nil
	// means silence.
	Logger *slog.Logger
	// MaxMemory caps the bytes of all topics while this handle is the host; 0
	// means half of what is available then.
	MaxMemory uint64
	// Fenced: topics made while this handle is the host use full fences
	// instead of membarrier, for participants in sandboxes that forbid it.
	Fenced bool
}

func (c Config) control() control.Config {
	c.Name = firstOf(c.Name, os.Getenv("SHMBUS_BUS"), "default")
	c.Dir = firstOf(c.Dir, os.Getenv("SHMBUS_DIR"))
	return control.Config{
		Bus:       c.Name,
		Dir:       c.Dir,
		Create:    !c.NeverHost && !c.Guest,
		NeverHost: c.NeverHost || c.Guest,
		Guest:     c.Guest,
		Logger:    c.Logger,
		Host:      control.HostConfig{MaxMemory: c.MaxMemory, Fenced: c.Fenced},
	}
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// WhenFull says what a publisher does when the ring is full: when a reliable
// subscriber, or a claim that is still open, holds the space it needs.
type WhenFull uint8

const (
	// Block waits until there is space or the context ends.
	Block WhenFull = iota
	// Fail returns ErrBackpressure.
	Fail
	// DropNewest drops the message, counts it (PublisherStats.Dropped) and
	// returns nil.
	DropNewest
)

// PublisherConfig says how to join a topic as a publisher. The first publisher
// makes the topic with these options. For others zero means the topic's, and
// anything else must be equal (ErrOptions, ErrSchema).
type PublisherConfig struct {
	// Name given to this publisher in statistics, unique among the topic's
	// publishers (ErrNameInUse); empty is allowed any number of times.
	Name string
	// Capacity of the ring in bytes: a power of two from 4 KiB to 4 GiB. 0
	// means the topic's, or 4 MiB if this publisher makes it.
	Capacity uint64
	// Schema is the version of the users' message format.
	Schema uint32
	// WhenFull is this publisher's policy; it is no option of the topic.
	WhenFull WhenFull
	// MaxPublishers and MaxSubscribers are the topic's slots; 0 means the
	// topic's, or 64 and 256.
	MaxPublishers, MaxSubscribers int
	// Exclusive makes the topic with this one publisher for life. Nobody else,
	// root included, can then get a writable mapping of the messages, and with
	// the publisher the topic ends (ErrPublisherGone). ErrExclusive if the
	// topic has its publisher already, ErrOptions if it is not exclusive.
	Exclusive bool
	// NoStamps leaves out the publish time: messages have no Time and no Age,
	// FromAge takes them for old, and no latency is recorded of them. It saves
	// this publisher a reading of the clock for each Publish or PublishBatch.
	NoStamps bool
	// Kind is given to every message until SetKind; users' own meaning.
	Kind uint32
}

func (c PublisherConfig) check() error {
	if c.WhenFull > DropNewest {
		return fmt.Errorf("%w: WhenFull is %d, want Block, Fail or DropNewest", ErrOptions, c.WhenFull)
	}
	return nil
}

func (c PublisherConfig) request(topic string) control.PublisherRequest {
	return control.PublisherRequest{
		Topic: topic, Name: c.Name, Capacity: c.Capacity, Schema: c.Schema,
		Publishers: c.MaxPublishers, Subscribers: c.MaxSubscribers, Exclusive: c.Exclusive,
	}
}

// Mode says whether a subscriber holds publishers back.
type Mode = ring.Mode

const (
	// Reliable subscribers get every message; a full ring waits for them.
	Reliable = ring.Reliable
	// Lossy subscribers never hold anybody back. What was overwritten before
	// they came to it is counted (Message.Lost).
	Lossy = ring.Lossy
)

// WaitStrategy says how a subscriber waits.
type WaitStrategy = ring.WaitStrategy

const (
	// Adaptive spins briefly while that has paid off lately, then sleeps.
	Adaptive = ring.Adaptive
	// Spin never sleeps: lowest latency, one processor.
	Spin = ring.Spin
	// Park sleeps at once.
	Park = ring.Park
)

// Start says where in a topic a subscriber starts. The zero value is Latest.
type Start = ring.Start

// Latest starts with the next message published.
func Latest() Start { return Start{Kind: ring.StartLatest} }

// Earliest starts with the oldest message still in the ring.
func Earliest() Start { return Start{Kind: ring.StartEarliest} }

// FromSequence starts with the message of this sequence. If it is no longer in
// the ring, it starts with the oldest that is: a lossy subscriber finds in its
// Lost how many are missing, a reliable one, whose Lost is always 0, by its
// Sequence. ErrStart if the topic has not come so far. A topic that is not there
// yet begins with 0, whatever was asked for.
func FromSequence(n uint64) Start { return Start{Kind: ring.StartSequence, Sequence: n} }

// FromAge starts with the first message that is not older than d and still in
// the ring.
func FromAge(d time.Duration) Start { return Start{Kind: ring.StartAge, Age: d} }

// SubscriberConfig says how to join a topic as a subscriber.
type SubscriberConfig struct {
	// Name given to this subscriber in statistics, unique among the topic's
	// subscribers (ErrNameInUse); empty is allowed any number of times.
	Name string
	// Mode is Reliable or Lossy.
	Mode Mode
	// MaxLag: a reliable subscriber is detached (ErrDetached) instead of
	// holding publishers back: when a full ring waits for it, or when they,
	// which look every 1/64 of the ring, find it more than this many messages
	// behind. 0 means never.
	MaxLag uint64
	// Start says where to start.
	Start Start
	// Wait is the way to wait.
	Wait WaitStrategy
	// Schema is the version the subscriber understands (ErrSchema); 0 means
	// any.
	Schema uint32
	// UntilDrained: Next returns io.EOF once the topic has had a publisher,
	// has none any more, and everything is read.
	UntilDrained bool
	// NoRecording leaves out this subscriber's latency histogram; what it
	// counts stays.
	NoRecording bool
	// NoWait: fail with ErrNoTopic instead of waiting for the topic.
	NoWait bool
}

func (c SubscriberConfig) request(topic string) control.SubscriberRequest {
	return control.SubscriberRequest{
		Topic: topic, Name: c.Name, Mode: c.Mode, MaxLag: c.MaxLag, Start: c.Start,
		Schema: c.Schema, NoWait: c.NoWait,
	}
}
