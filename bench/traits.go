package bench

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/shmbus/shmbus/ring"
)

// traits are what a mechanism can do.
type traits struct {
	name     string
	about    string
	patterns []Pattern
	waits    []string // the first is the default
	stamps   bool     // can stamp
	unstamp  bool     // can leave the stamp out
	many     bool     // more than one publisher
	fan      bool     // more than one subscriber
	alone    bool     // publisher and subscriber are one process
	largest  int      // bytes; 0 means no limit
	most     int      // messages a round; 0 means no limit
	fixed    int      // bytes; the only size it has
	ring     bool     // its ring can have any capacity
	extra    bool     // measured only when asked for by name
}

const kib = 1 << 10

var (
	spins    = []string{"spin"}
	parks    = []string{"park"}
	allWaits = []string{"spin", "park", "adaptive"}
	anyOf    = []Pattern{Stream, RTT, Paced}
	streams  = []Pattern{Stream}
	rtts     = []Pattern{RTT}
)

// mechanisms are all there are, in the order of the table.
var mechanisms = []traits{
	{name: "limit-line", about: "raw ping-pong of one cache line", patterns: rtts, waits: spins, fixed: 64},
	{name: "limit-spsc", about: "bare ring, one publisher, one subscriber, index published for each message", patterns: anyOf, waits: spins, ring: true},
	{name: "limit-spsc-batched", about: "the same, index published every 64 messages", patterns: streams, waits: spins, ring: true},
	{name: "limit-futex", about: "raw ping-pong of two futexes", patterns: rtts, waits: parks, fixed: 64},
	{name: "shmbus", about: "Publish and Next", patterns: anyOf, waits: allWaits, stamps: true, unstamp: true, many: true, fan: true, ring: true},
	{name: "shmbus-batch", about: "PublishBatch of 32", patterns: streams, waits: allWaits, stamps: true, unstamp: true, many: true, fan: true, ring: true},
	{name: "shmbus-claim", about: "Claim, fill in place, Commit", patterns: anyOf, waits: allWaits, stamps: true, unstamp: true, many: true, fan: true, ring: true},
	{name: "shmbus-fenced", about: "full fences instead of membarrier", patterns: anyOf, waits: allWaits, stamps: true, unstamp: true, many: true, fan: true, ring: true},
	{name: "shmbus-unrecorded", about: "shmbus without recording latencies", patterns: anyOf, waits: allWaits, stamps: true, unstamp: true, many: true, fan: true, extra: true, ring: true},
	{name: "shmbus-batch-unrecorded", about: "shmbus-batch without recording latencies", patterns: streams, waits: allWaits, stamps: true, unstamp: true, many: true, fan: true, extra: true, ring: true},
	{name: "shmbus-ring", about: "package ring alone, without bus", patterns: anyOf, waits: allWaits, stamps: true, unstamp: true, many: true, fan: true, extra: true, ring: true},
	{name: "mutex", about: "shared memory and a lock: the same ring behind a plain compare-and-swap lock", patterns: anyOf, waits: spins, unstamp: true, many: true, ring: true},
	{name: "function-call", about: "a call in the same goroutine", patterns: []Pattern{Stream, RTT}, waits: []string{"none"}, alone: true},
	{name: "go-channel", about: "buffered channel between two goroutines", patterns: anyOf, waits: parks, alone: true},
	{name: "named-pipe", about: "one write a message", patterns: anyOf, waits: parks},
	{name: "named-pipe-buffered", about: "64 KiB writes, flushed when idle", patterns: anyOf, waits: parks},
	{name: "unix-stream", about: "one write a message", patterns: anyOf, waits: parks},
	{name: "unix-stream-buffered", about: "64 KiB writes, flushed when idle", patterns: anyOf, waits: parks},
	{name: "unix-seqpacket", about: "one packet a message", patterns: anyOf, waits: parks, largest: 128 * kib},
	{name: "unix-seqpacket-buffered", about: "packets of up to 64 KiB, flushed when idle", patterns: anyOf, waits: parks, largest: 64 * kib},
	{name: "tcp-loopback", about: "one write a message, TCP_NODELAY", patterns: anyOf, waits: parks},
	{name: "tcp-loopback-buffered", about: "64 KiB writes, flushed when idle", patterns: anyOf, waits: parks},
	{name: "http-keepalive", about: "a POST a message on one connection, net/http", patterns: []Pattern{Stream, RTT}, waits: parks},
	{name: "http-close", about: "a POST a message, each on its own connection", patterns: []Pattern{Stream, RTT}, waits: parks, most: 1000},
	{name: "peer-spsc", about: "limit-spsc in C", patterns: []Pattern{Stream, RTT}, waits: spins, extra: true},
	{name: "peer-spsc-batched", about: "limit-spsc-batched in C", patterns: streams, waits: spins, extra: true},
	{name: "peer-iceoryx", about: "iceoryx", patterns: []Pattern{Stream, RTT}, waits: spins, extra: true},
	{name: "peer-boost", about: "Boost.Interprocess message_queue", patterns: []Pattern{Stream, RTT}, waits: spins, extra: true},
	{name: "peer-zeromq", about: "ZeroMQ PAIR over ipc", patterns: []Pattern{Stream, RTT}, waits: parks, extra: true},
	{name: "peer-nng", about: "nng pair0 over ipc", patterns: []Pattern{Stream, RTT}, waits: parks, extra: true},
}

// Mechanisms returns the names of all mechanisms and what each is, in the
// order of the table.
func Mechanisms() (names, abouts []string) {
	for _, m := range mechanisms {
		names = append(names, m.name)
		abouts = append(abouts, m.about)
	}
	return names, abouts
}

// traitsOf returns the traits of a mechanism that is known to exist.
func traitsOf(name string) traits {
	i := slices.IndexFunc(mechanisms, func(m traits) bool { return m.name == name })
	if i < 0 {
		panic("bench: no mechanism " + name)
	}
	t := mechanisms[i]
	if t.most == 0 {
		t.most = math.MaxInt32
	}
	if !t.stamps {
		t.unstamp = true
	}
	return t
}

// isPeer reports whether a mechanism is a program of bench/peers.
func isPeer(name string) bool { return strings.HasPrefix(name, "peer-") }

// can reports whether the mechanism of a cell can do it.
func (c Cell) can() bool {
	t := traitsOf(c.Mechanism)
	switch {
	case !slices.Contains(t.patterns, c.Pattern), !slices.Contains(t.waits, c.Wait):
		return false
	case c.Publishers < 1, c.Publishers > 1 && !t.many, c.Subscribers < 1, c.Subscribers > 1 && !t.fan:
		return false
	case c.Publishers > MaxPublishers, c.Subscribers > MaxSubscribers:
		return false
	case c.Pattern != Stream && (c.Publishers > 1 || c.Subscribers > 1):
		return false
	case c.Mode == Burst && (c.Pattern != Stream || c.Publishers > 1 || !t.fan):
		return false
	case c.Mode == Poll && (c.Pattern != Stream || c.Subscribers > 1 || !t.fan):
		return false
	case c.Mode == Alone && (c.Pattern != Stream || c.Publishers < 2 || c.Subscribers > 1):
		return false
	case c.Capacity != 0 && (!t.ring || !holds(c.Capacity, c.Size)):
		return false
	case c.Stamps && !t.stamps, !c.Stamps && !t.unstamp:
		return false
	case c.Size < 8, c.Size%8 != 0, t.fixed != 0 && c.Size != t.fixed, t.largest != 0 && c.Size > t.largest, c.Size > largestMessage:
		return false
	case c.Pattern == Paced && (c.Size < 16 || c.Rate < 1):
		return false
	}
	return true
}

// The most that a cell can have: what a topic has slots for.
const (
	MaxPublishers  = ring.MaxPublishers
	MaxSubscribers = ring.MaxSubscribers
)

// largestMessage is what a ring of the greatest capacity used here holds.
const largestMessage = 16 << 20

// holds reports whether a ring of this capacity, in bytes, can be made and
// carries messages of this size.
func holds(capacity uint64, size int) bool {
	return capacity&(capacity-1) == 0 && capacity >= 4*kib && capacity <= 4<<30 && capacity/4 >= uint64(size)+lineSize
}

// capacityFor returns the size of the ring that carries messages of this size:
// bus's own default, or more where a quarter of it is too small.
func capacityFor(size int) uint64 {
	capacity := uint64(4 << 20)
	for capacity/4 < uint64(size)+64 {
		capacity *= 2
	}
	return capacity
}

// check returns an error that names what does not exist.
func checkNames(what string, names, known []string) error {
	for _, n := range names {
		if !slices.Contains(known, n) {
			return fmt.Errorf("%w: %s %q, want one of %s", ErrUnknown, what, n, strings.Join(known, ", "))
		}
	}
	return nil
}
