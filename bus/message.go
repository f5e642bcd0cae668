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
	// one a copy.
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

	time  int64
	owner *Subscriber // keeps the memory mapped while the message is reachable
}

// Time returns the time of Publish, of PublishBatch for all of its batch, or
// of Claim, as wall time of now: it was measured with the monotonic clock that
// all processes of the machine share.
func (m *Message) Time() time.Time { return time.Unix(0, m.time+shm.WallOffset()) }

// Age returns how long ago the message was published.
func (m *Message) Age() time.Duration { return time.Duration(shm.Now() - m.time) }

// Clone returns a copy that stays valid for ever.
func (m *Message) Clone() Message {
	c := *m
	c.owner = nil
	c.Payload = append(make([]byte, 0, len(m.Payload)), m.Payload...)
	return c
}

func message(r *ring.Record, owner *Subscriber) Message {
	return Message{
		Payload:   r.Payload,
		Sequence:  r.Sequence,
		Lost:      r.Lost,
		Kind:      r.Kind,
		Publisher: r.Publisher,
		time:      r.Time,
		owner:     owner,
	}
}
