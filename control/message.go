package control

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/shmbus/shmbus/ring"
)

// This file states the messages of the control protocol; docs/protocol.md says
// the same for people and other languages. A request is answered once, by "ok",
// by the answer named beside it or by "error", with the request's id; "waiting"
// may come before that, any number of times.
//
//	client → host                                  answer
//	hello      who I am; first, once               welcome
//	offer      a slot I hold, and its descriptors  ok
//	ready      I have offered all that I hold      ok
//	publish    a publisher slot, please            grant, with descriptors
//	subscribe  a subscriber slot, please           grant, with descriptors
//	mapped     I mapped and sealed my topic's log  ok
//	release    I left this slot                    ok
//	cancel     forget that request                 none (the request's own)
//	topics     list                                topics
//	observe    read-only descriptors of a topic    observed, with descriptors
//	host       about the host                      host
//	remove     remove an idle topic                ok
//	ping       are you there                       ok
//	bye        I left every slot                   ok, then the host closes
const (
	typeHello     = "hello"
	typeWelcome   = "welcome"
	typeOffer     = "offer"
	typeReady     = "ready"
	typePublish   = "publish"
	typeSubscribe = "subscribe"
	typeGrant     = "grant"
	typeWaiting   = "waiting"
	typeMapped    = "mapped"
	typeRelease   = "release"
	typeCancel    = "cancel"
	typeTopics    = "topics"
	typeObserve   = "observe"
	typeObserved  = "observed"
	typeHost      = "host"
	typeRemove    = "remove"
	typePing      = "ping"
	typeBye       = "bye"
	typeOK        = "ok"
)

// Roles of a slot.
const (
	rolePublisher  = "publisher"
	roleSubscriber = "subscriber"
	roleGuest      = "guest" // a subscriber whose block lies in the guest region
)

// Names of regions, in the order in which descriptors are sent.
const (
	regionLog     = "log"
	regionCursors = "cursors"
	regionGuests  = "guests"
)

// Why a request waits.
const (
	waitTopic   = "no-topic" // no publisher has made the topic yet
	waitStalled = "stalled"  // a stopped participant holds the ring's lock
)

// request is a message that a host accepts.
type request interface {
	head() Header
	// check reports the first field that is out of range, as ErrMalformed or
	// ErrBadName.
	check() error
}

func (h Header) head() Header { return h }
func (h Header) check() error { return nil }

type helloRequest struct {
	Header
	// Member is the id whose byte of the members file the sender holds locked;
	// 0 if it holds none (observers, guests, lossy subscribers of other
	// languages).
	Member  uint64 `json:"member"`
	Program string `json:"program"`
	// Observer: takes no slot.
	Observer bool `json:"observer"`
	// Returning: offers follow, then ready. Otherwise ready from the start.
	Returning bool `json:"returning"`
	// Membarrier: this process has registered for it.
	Membarrier bool `json:"membarrier"`
}

type welcomeMessage struct {
	Header
	PID     int    `json:"pid"`
	Program string `json:"program"`
	Release string `json:"release"`
	Layout  uint32 `json:"layout"`
	Guest   bool   `json:"guest"`
}

// slotID names one granted slot of one ring for ever.
type slotID struct {
	Topic      string `json:"topic"`
	Ring       uint64 `json:"ring"` // the ring's id
	Role       string `json:"role"`
	Slot       int    `json:"slot"`
	Generation uint32 `json:"generation"`
}

func (s slotID) checkSlot() error {
	limit := ring.MaxSubscribers
	switch s.Role {
	case rolePublisher:
		limit = ring.MaxPublishers
	case roleSubscriber, roleGuest:
	default:
		return fmt.Errorf("%w: role %.20q", ErrMalformed, s.Role)
	}
	if s.Slot < 0 || s.Slot >= limit {
		return fmt.Errorf("%w: slot %d, want 0 to %d", ErrMalformed, s.Slot, limit-1)
	}
	if s.Generation == 0 || s.Generation > ring.MaxGeneration || s.Ring == 0 {
		return fmt.Errorf("%w: generation %d of ring %d", ErrMalformed, s.Generation, s.Ring)
	}
	return ValidName("topic", s.Topic)
}

type offerRequest struct {
	Header
	slotID
}

func (m *offerRequest) check() error { return m.checkSlot() }

type releaseRequest struct {
	Header
	slotID
}

func (m *releaseRequest) check() error { return m.checkSlot() }

type mappedRequest struct {
	Header
	slotID
}

func (m *mappedRequest) check() error { return m.checkSlot() }

type publishRequest struct {
	Header
	Topic string `json:"topic"`
	Name  string `json:"name"`
	// 0: the topic's, or the default if this makes it.
	Capacity    uint64 `json:"capacity"`
	Schema      uint32 `json:"schema"`
	Publishers  int    `json:"publishers"`
	Subscribers int    `json:"subscribers"`
	Exclusive   bool   `json:"exclusive"` // make it an exclusive topic, or be refused
}

func (m *publishRequest) check() error {
	if m.Publishers < 0 || m.Subscribers < 0 {
		return fmt.Errorf("%w: %d publishers, %d subscribers", ErrMalformed, m.Publishers, m.Subscribers)
	}
	return checkNames(m.Topic, "publisher", m.Name)
}

// startMessage says where a subscriber starts.
type startMessage struct {
	From     string `json:"from"` // latest, earliest, sequence or age
	Sequence uint64 `json:"sequence"`
	Age      int64  `json:"age"` // nanoseconds
}

type subscribeRequest struct {
	Header
	Topic  string       `json:"topic"`
	Name   string       `json:"name"`
	Mode   string       `json:"mode"` // reliable or lossy
	MaxLag uint64       `json:"max_lag"`
	Start  startMessage `json:"start"`
	Schema uint32       `json:"schema"` // 0: any
	NoWait bool         `json:"no_wait"`

	// placed is called, on the host's side, once the request is in line for its
	// topic or known not to need one.
	placed func()
}

func (m *subscribeRequest) check() error {
	if _, err := parseMode(m.Mode); err != nil {
		return err
	}
	if _, err := m.Start.parse(); err != nil {
		return err
	}
	return checkNames(m.Topic, "subscriber", m.Name)
}

type grantMessage struct {
	Header
	slotID
	Position uint64 `json:"position"`
	Sequence uint64 `json:"sequence"`
	Created  bool   `json:"created"`
	// Regions names the descriptors, in order.
	Regions []string `json:"regions"`
}

type waitingMessage struct {
	Header
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

type cancelRequest struct {
	Header
	Request uint64 `json:"request"`
}

type topicsRequest struct {
	Header
	After string `json:"after"` // "" or the last name of the page before
}

type topicsMessage struct {
	Header
	Topics []TopicInfo `json:"topics"`
	More   bool        `json:"more"`
}

type topicRequest struct { // observe, remove
	Header
	Topic string `json:"topic"`
}

func (m *topicRequest) check() error { return ValidName("topic", m.Topic) }

type observedMessage struct {
	Header
	Ring    uint64    `json:"ring"`
	Info    TopicInfo `json:"info"`
	Regions []string  `json:"regions"`
}

type hostMessage struct {
	Header
	Host HostInfo `json:"host"`
}

type plainRequest struct{ Header } // ready, host, ping, bye; as an answer: ok

// TopicInfo is what the host says of a topic. The numbers that move with the
// messages are in the ring, not here.
type TopicInfo struct {
	Name        string `json:"name"`
	Capacity    uint64 `json:"capacity"` // bytes of records
	Schema      uint32 `json:"schema"`
	LogBytes    int64  `json:"log_bytes"`    // memory the log region has now
	CursorBytes int64  `json:"cursor_bytes"` // memory the cursor and guest regions have now
	// Publishers and Subscribers hold a slot; Waiting subscribers wait for the
	// topic, or for the lock of a stalled one.
	Publishers  int `json:"publishers"`
	Subscribers int `json:"subscribers"`
	Waiting     int `json:"waiting"`
	// Quarantined publishers have lost their connection (or not come back to a
	// new host), and nothing proves them dead. They keep their slots.
	Quarantined []string  `json:"quarantined,omitempty"`
	Created     time.Time `json:"created"` // or adopted by this host
	// Stalled names the stopped participant that the host waits for, if any.
	Stalled string `json:"stalled,omitempty"`
	// StalledSince is when it was first seen so.
	StalledSince time.Time `json:"stalled_since,omitzero"`
	// Exclusive: one publisher for life. Ended: it has gone, nothing more comes.
	Exclusive bool `json:"exclusive,omitempty"`
	Ended     bool `json:"ended,omitempty"`
	// Corrupt says what contradicts itself in the ring of a topic that is in
	// quarantine: nobody can join it, and who is there finds ring.ErrCorrupt.
	Corrupt string `json:"corrupt,omitempty"`
}

// HostInfo is what the host says of itself.
type HostInfo struct {
	PID     int    `json:"pid"`
	Member  uint64 `json:"member"`
	Program string `json:"program"`
	Version string `json:"version"`
	// Memory is what the regions of all topics have now, MaxMemory what they
	// may have together, in bytes. Cgroup pays for it.
	Memory    uint64    `json:"memory"`
	MaxMemory uint64    `json:"max_memory"`
	Cgroup    string    `json:"cgroup"`
	Started   time.Time `json:"started"`
	Topics    int       `json:"topics"`
	Clients   int       `json:"clients"`
	Keep      bool      `json:"keep"`   // topics live until removed (serve)
	Fenced    bool      `json:"fenced"` // new topics use full fences
	Group     string    `json:"group,omitempty"`
}

// decodeRequest reads a message on the host's side. Nothing of it was trusted
// before, and every field that it returns is in range.
//
// Errors: ErrMalformed, ErrBadName (the request's own fault, not the
// connection's), *VersionError. The header is valid as far as it was read.
func decodeRequest(raw []byte) (request, Header, error) {
	h, err := DecodeHeader(raw)
	if err != nil {
		return nil, h, err
	}
	var m request
	switch h.Type {
	case typeHello:
		m = &helloRequest{}
	case typeOffer:
		m = &offerRequest{}
	case typeRelease:
		m = &releaseRequest{}
	case typePublish:
		m = &publishRequest{}
	case typeMapped:
		m = &mappedRequest{}
	case typeSubscribe:
		m = &subscribeRequest{}
	case typeCancel:
		m = &cancelRequest{}
	case typeTopics:
		m = &topicsRequest{}
	case typeObserve, typeRemove:
		m = &topicRequest{}
	case typeReady, typeHost, typePing, typeBye:
		m = &plainRequest{}
	default:
		return nil, h, fmt.Errorf("%w: type %.40q", ErrMalformed, h.Type)
	}
	if err := json.Unmarshal(raw, m); err != nil {
		return nil, h, fmt.Errorf("%w: %s: %w", ErrMalformed, h.Type, err)
	}
	if err := m.check(); err != nil {
		return nil, h, fmt.Errorf("%s: %w", h.Type, err)
	}
	return m, h, nil
}

func checkNames(topic, kind, name string) error {
	if name != "" {
		if err := ValidName(kind, name); err != nil {
			return err
		}
	}
	return ValidName("topic", topic)
}

const (
	modeReliable = "reliable"
	modeLossy    = "lossy"
)

func parseMode(s string) (ring.Mode, error) {
	switch s {
	case modeReliable, "":
		return ring.Reliable, nil
	case modeLossy:
		return ring.Lossy, nil
	}
	return 0, fmt.Errorf("%w: mode %.20q, want %s or %s", ErrMalformed, s, modeReliable, modeLossy)
}

func modeName(m ring.Mode) string {
	if m == ring.Lossy {
		return modeLossy
	}
	return modeReliable
}

var startNames = map[string]ring.StartKind{
	"": ring.StartLatest, "latest": ring.StartLatest, "earliest": ring.StartEarliest,
	"sequence": ring.StartSequence, "age": ring.StartAge,
}

func (s startMessage) parse() (ring.Start, error) {
	kind, ok := startNames[s.From]
	if !ok || s.Age < 0 {
		return ring.Start{}, fmt.Errorf("%w: start from %.20q, age %d", ErrMalformed, s.From, s.Age)
	}
	return ring.Start{Kind: kind, Sequence: s.Sequence, Age: time.Duration(s.Age)}, nil
}

func startMessageOf(s ring.Start) startMessage {
	m := startMessage{Sequence: s.Sequence, Age: int64(s.Age)}
	for name, kind := range startNames {
		if kind == s.Kind && name != "" {
			m.From = name
		}
	}
	return m
}
