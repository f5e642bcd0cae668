package bus

import (
	"time"

	"github.com/shmbus/shmbus/ring"
	"github.com/shmbus/shmbus/shm"
)

// A Message is one message as a subscriber sees it.
type Message struct {
	// Payload is a view of shared memory that must not be written (the memory
	// is mapped read-only: a write ends the process). It is valid until the
	// next call of the subscriber, in Poll until the function returns; Clone
	// to keep it. For a reliable subscriber it is the ring itself, for a lossy
	// one a copy. Who reads it keeps the Message or the Subscriber reachable
	// meanwhile (runtime.KeepAlive, a deferred Close): once the Subscriber is
	// collected, publishers write over it.
	Payload []byte
	// Sequence numbers the messages of a topic from 0, without gaps but for
	// aborted claims.
	Sequence uint64
	// Lost says how many messages went missing between the one before and
	// this one, because this lossy subscriber was overrun. Not an error.
	Lost uint64
	// Kind is what the publisher said it is.
	Kind uint32
	// Publisher is the slot of the publisher that published it.
	Publisher uint16

	counter bool        // time is a value of the processor's counter
	time    int64       // 0: none
	owner   *Subscriber // keeps the memory mapped while the message is reachable
}

// Time returns the time of Publish, of PublishBatch for all of its batch, or
// of Claim, as wall time of now: it was measured with a clock that all
// processes of the machine share. The zero time if the publisher left it out.
func (m *Message) Time() time.Time {
	if m.time == 0 {
		return time.Time{}
	}
	t := m.time
	if m.counter {
		t = shm.TSCTime(uint64(t))
	}
	return time.Unix(0, t+shm.WallOffset())
}

// Age returns how long ago the message was published; 0 if nobody knows.
func (m *Message) Age() time.Duration {
	switch {
	case m.time == 0:
		return 0
	case m.counter:
		scale := shm.ProcessTSCScale()
		// Counters of two processors may be a few ticks apart.
		return time.Duration(scale.Span(uint64(max(int64(shm.TSC())-m.time, 0))))
	}
	return time.Duration(shm.Now() - m.time)
}

// Clone returns a copy that stays valid for ever.
func (m *Message) Clone() Message {
	c := *m
	c.owner = nil
	c.Payload = append(make([]byte, 0, len(m.Payload)), m.Payload...)
	return c
}

// stamps give a publisher's messages their publish times.
type stamps struct {
	none  bool
	clock ring.Clock
	stamp int64 // what Publish of the ring is given
}

func newStamps(r *ring.Ring, none bool) stamps {
	s := stamps{none: none, clock: r.Clock(), stamp: ring.StampNow}
	if none {
		s.stamp = 0
	}
	return s
}

// now returns the stamp of what is published now. Cost: a reading of the
// counter, or of the clock.
func (s *stamps) now() int64 {
	if s.none {
		return 0
	}
	return s.clock.Now()
}
