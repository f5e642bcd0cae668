package storm

import (
	"fmt"
	"strings"
	"time"

	"github.com/shmbus/shmbus/bus"
)

// A Spec says what one child is. It travels in the child's environment.
type Spec struct {
	Dir       string `json:"dir"`
	Seed      uint64 `json:"seed"`
	Fenced    bool   `json:"fenced,omitempty"`
	NeverHost bool   `json:"never_host,omitempty"`
	Keeper    bool   `json:"keeper,omitempty"` // takes commands until its input ends
	Roles     []Role `json:"roles,omitempty"`
	Failpoint string `json:"failpoint,omitempty"` // for children built with failpoints
	Bounded   bool   `json:"bounded,omitempty"`   // no publisher waits for ever
	Clock     int64  `json:"clock,omitempty"`     // seconds by which its monotonic clock is off, in a time namespace
	Break     string `json:"break,omitempty"`     // tell one lie, see the constants
	BreakAt   int    `json:"break_at,omitempty"`  // after so many messages
}

// Lies that the oracle must notice. A subscriber that is told to lies once
// about what it was given; a publisher, about what was acknowledged.
const (
	breakDrop      = "drop"
	breakDuplicate = "duplicate"
	breakReorder   = "reorder"
	breakAck       = "ack"
)

// A Role is one participant of a child.
type Role struct {
	ID       uint32           `json:"id"`
	Kind     string           `json:"kind"`
	Topic    string           `json:"topic,omitempty"`
	Capacity uint64           `json:"capacity,omitempty"`
	Style    string           `json:"style,omitempty"` // publisher: the calls it makes
	Hot      bool             `json:"hot,omitempty"`   // publisher: without a pause
	Slow     bool             `json:"slow,omitempty"`  // subscriber: pauses now and then
	Lossy    bool             `json:"lossy,omitempty"`
	MaxLag   uint64           `json:"max_lag,omitempty"`
	Earliest bool             `json:"earliest,omitempty"`
	Wait     bus.WaitStrategy `json:"wait,omitempty"`
}

// Kinds of roles.
const (
	rolePublisher  = "publisher"
	roleSubscriber = "subscriber"
	roleChurner    = "churner"
)

// Styles of publishers.
const (
	styleBlock  = "block"  // Publish, with and without a context that ends
	styleTry    = "try"    // TryPublish
	styleFail   = "fail"   // Publish that fails where the ring is full
	styleBatch  = "batch"  // PublishBatch
	styleClaim  = "claim"  // Claim, Commit and Abort
	styleShared = "shared" // two goroutines, one SharedPublisher: ids ID and ID+1
)

var styles = []string{styleBlock, styleTry, styleFail, styleBatch, styleClaim, styleShared}

func (r Role) name() string { return fmt.Sprintf("s%d", r.ID) }

func (r Role) String() string {
	if r.Kind == rolePublisher {
		return fmt.Sprintf("%s %d of %s (%s)", r.Kind, r.ID, r.Topic, r.Style)
	}
	return fmt.Sprintf("%s %d of %s", r.Kind, r.ID, r.Topic)
}

// ids are the publishers that its messages carry.
func (r Role) ids() []uint32 {
	switch {
	case r.Kind != rolePublisher:
		return nil
	case r.Style == styleShared:
		return []uint32{r.ID, r.ID + 1}
	}
	return []uint32{r.ID}
}

func (r Role) publisherConfig() bus.PublisherConfig {
	c := bus.PublisherConfig{Name: r.name(), Capacity: r.Capacity}
	if r.Style == styleFail {
		c.WhenFull = bus.Fail
	}
	return c
}

func (r Role) subscriberConfig() bus.SubscriberConfig {
	c := bus.SubscriberConfig{Name: r.name(), MaxLag: r.MaxLag, Wait: r.Wait, NoWait: true}
	if r.Lossy {
		c.Mode = bus.Lossy
	}
	if r.Earliest {
		c.Start = bus.Earliest()
	}
	return c
}

func (s Spec) String() string {
	switch {
	case s.Keeper:
		return "keeper"
	case len(s.Roles) == 0:
		return "warden"
	}
	var names []string
	for _, r := range s.Roles {
		names = append(names, r.String())
	}
	return strings.Join(names, ", ")
}

// A command is a line on a keeper's input.
type command struct {
	Do    string `json:"do"`
	Roles []Role `json:"roles,omitempty"` // topics: subscribers, each of a topic to make
}

// Commands.
const (
	commandTopics = "topics" // make topics and subscribe to them
	commandMark   = "mark"   // publish the mark into each
	commandUsage  = "usage"  // tell what the process holds
)

// shortly is the longest that anybody pauses or is stopped by choice.
const shortly = 20 * time.Millisecond
