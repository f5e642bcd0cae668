package bus

import (
	"errors"

	"github.com/shmbus/shmbus/control"
	"github.com/shmbus/shmbus/ring"
	"github.com/shmbus/shmbus/shm"
)

// Opening a bus. All can also come later, when the host is gone and another
// one is looked for.
var (
	// ErrNoBus: nobody hosts a bus of that name in the directory that the text
	// names with the rule that chose it. Start a participant that may host, or
	// "shmbus serve", or name another directory.
	ErrNoBus = control.ErrNoBus
	// ErrNoHost: the bus is there but nobody serves it now, and this handle
	// may not. Retry, or allow hosting.
	ErrNoHost = control.ErrNoHost
	// ErrHostStalled: the host lives but does not answer; the text names its
	// pid. Continue or kill it.
	ErrHostStalled = control.ErrHostStalled
	// ErrVersion: the other side speaks another version of the control
	// protocol or lays memory out in another version; the text names both. Use
	// one version of shmbus on one bus.
	ErrVersion = newSentinel("bus: versions differ", control.ErrVersion, control.ErrLayout, ring.ErrLayoutVersion)
	// ErrBadName: the name of a bus, topic or participant is not
	// [A-Za-z0-9][A-Za-z0-9._-]{0,63}.
	ErrBadName = control.ErrBadName
	// ErrPermission: the bus belongs to another user.
	ErrPermission = newSentinel("bus: permission denied", control.ErrPermission, control.ErrDirOwner, control.ErrGuest)
)

// Joining a topic.
var (
	// ErrOptions: the topic exists with other options, or they cannot be at
	// all; the text names both. Zero options mean the topic's.
	ErrOptions = newSentinel("bus: options", control.ErrOptions, ring.ErrBadOptions)
	// ErrExclusive: the topic is exclusive and has, or had, its one publisher;
	// the text says which. There can be no other.
	ErrExclusive = control.ErrExclusive
	// ErrSchema: the topic has another schema version; the text names both.
	ErrSchema = control.ErrSchema
	// ErrNameInUse: a live participant of the same role has this name in this
	// topic.
	ErrNameInUse = control.ErrNameInUse
	// ErrNoSlot: all slots of this role in the topic are taken; the text says
	// how many there are. Make the topic with more, or wait until one leaves.
	ErrNoSlot = control.ErrNoSlot
	// ErrNoTopic: there is no such topic, and NoWait says not to wait for it.
	ErrNoTopic = control.ErrNoTopic
	// ErrTopicInUse: the topic has participants and is not removed.
	ErrTopicInUse = control.ErrTopicInUse
	// ErrNoMemory: the topic would not fit in memory; the text says what was
	// asked, what is available, and which limit says so.
	ErrNoMemory = newSentinel("bus: not enough memory", control.ErrNoMemory, shm.ErrNoMemory)
	// ErrStart: the topic has not reached the sequence to start at.
	ErrStart = ring.ErrBadStart
	// ErrStalled: a live publisher held the lock of the topic while the context
	// ended, or for the 20 ms of TryPublish; the text names it. As a rule it is
	// stopped, or has no processor; where many publish, it may just have been
	// busy. It is never robbed: try again, continue it or kill it.
	ErrStalled = newSentinel("bus: stalled", ring.ErrStalled, control.ErrStalled)
)

// Publishing.
var (
	// ErrBackpressure: the ring is full and the publisher is not to wait.
	ErrBackpressure = newSentinel("bus: ring is full", ring.ErrFull)
	// ErrTooLarge: the message exceeds Publisher.MaxMessage, which the text
	// names. Make the topic with a larger capacity.
	ErrTooLarge = ring.ErrTooLarge
	// ErrOrphaned: the host took this process for dead and aborted the claim,
	// or gave the publisher's slot to others; nothing was published, and the
	// publisher publishes nothing more. Close it and join again.
	ErrOrphaned = ring.ErrOrphaned
)

// Subscribing.
var (
	// ErrDetached: this reliable subscriber no longer holds publishers back,
	// because of its MaxLag. The view returned before this
	// error may have been overwritten while it was read. All later calls
	// return it too: close and subscribe anew.
	ErrDetached = ring.ErrDetached
	// ErrPublisherGone: the one publisher of an exclusive topic has closed or
	// died, everything it published is read, and nothing more will come. With
	// UntilDrained, io.EOF says so instead.
	ErrPublisherGone = errors.New("bus: the publisher of the exclusive topic has gone")
)

// Both.
var (
	// ErrClosed: Close was called, here or on the Bus.
	ErrClosed = newSentinel("bus: closed", ring.ErrClosed, control.ErrClosed)
	// ErrCorrupt: the shared memory contradicts itself; the text names region,
	// offset, what was found and what was expected. Nothing out of bounds was
	// read. The topic is lost.
	ErrCorrupt = ring.ErrCorrupt
)

// A sentinel stands for errors of several packages below.
type sentinel struct {
	text   string
	causes []error
}

func (s *sentinel) Error() string { return s.text }

// Is makes errors.Is find the errors that the sentinel stands for.
func (s *sentinel) Is(target error) bool {
	for _, c := range s.causes {
		if c == target {
			return true
		}
	}
	return false
}

var sentinels []*sentinel

func newSentinel(text string, causes ...error) error {
	s := &sentinel{text: text, causes: causes}
	sentinels = append(sentinels, s)
	return s
}

// A namedError is an error from below that is also one of this package.
type namedError struct {
	err  error
	name *sentinel
}

func (e *namedError) Error() string   { return e.err.Error() }
func (e *namedError) Unwrap() []error { return []error{e.err, e.name} }

// translate makes an error from below one that errors.Is finds under its name
// here. Cold path.
func translate(err error) error {
	if err == nil {
		return nil
	}
	for _, s := range sentinels {
		for _, c := range s.causes {
			switch {
			case err == c:
				return s
			case errors.Is(err, c) && !errors.Is(err, s):
				return &namedError{err: err, name: s}
			}
		}
	}
	return err
}
