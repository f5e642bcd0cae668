package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shmbus/shmbus/shm"
)

// Config says which bus to join and how.
type Config struct {
	// Dir is the root of the bus directories; "": the first rule of ResolveRoot.
	Dir string
	// Bus is the bus's name; "": "default".
	Bus string
	// Create makes the directory also for a client that never hosts. One that
	// may host makes it anyway.
	Create bool
	// NeverHost: join only; ErrNoHost if nobody hosts.
	NeverHost bool
	// Observer: take no slot, never host, read only.
	Observer bool
	// Guest: the bus may be another user's (group mode). Lossy subscribers only.
	Guest bool
	// Logger, if given, hears what goes wrong behind the caller's back.
	Logger *slog.Logger
	// Host is used when this client becomes the host.
	Host HostConfig
}

// DefaultBus is the name of a bus when none is given.
const DefaultBus = "default"

// How long a client is patient.
const (
	stallAfter   = 2500 * time.Millisecond // a silent host is asked; as long again, and it is taken for stopped
	noHostGrace  = 500 * time.Millisecond  // survivors of a dead host elect a new one meanwhile
	releaseGrace = time.Second             // how long Release and Close wait for the host's answer
	sendPatience = 2 * time.Second         // a host that does not read for so long is not waited for
	longAway     = 2 * time.Second         // who has been without a host for so long looks for one less often
)

// Client is a participant's end of a bus: a connection to the host, and the host
// itself if this process is the one. It comes back by itself when the host goes:
//
//	   ┌────────── the connection ends ───────────┐
//	   ▼                                          │
//	seeking ──▶ greeting ──▶ returning ──▶ here ──┘── Close ──▶ closed
//	 │   ▲
//	 └───┴ nobody listens and host.lock is free: host the bus, then connect to oneself
//
// In every state its slots stay valid and its rings go on; requests made meanwhile
// wait. If the process dies in any of them, the host (or the next one) finds out by
// pidfd or member lock.
//
// Safe for concurrent use.
type Client struct {
	config Config
	log    *slog.Logger
	dir    *BusDir
	member *Member // nil for observers and guests
	barred bool    // membarrier is missing here

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	keeper sync.WaitGroup // the goroutine that comes back
	once   sync.Once
	closed chan struct{} // closed when Close is through
	lastID atomic.Uint64

	mu          sync.Mutex
	link        *link // nil while there is no connection
	host        *host // not nil while this process hosts
	closing     bool
	accepting   int        // grants read and not yet noted as held
	accepted    *sync.Cond // told when accepting falls
	calls       map[uint64]*call
	disowned    disowned
	grants      map[*Grant]struct{}
	attachments map[attachmentKey]*attachment
}

// Dial joins a bus. If nobody hosts it, the client does, unless it must not. It
// blocks until the host has answered.
//
// Errors: ErrNoBus, ErrNoHost (NeverHost, Observer, Guest), ErrHostStalled with its
// pid, ErrVersion, ErrPermission, ErrGuest, ErrTooManyClients, ErrNoDescriptors,
// those of OpenBusDir, ctx's.
func Dial(ctx context.Context, config Config) (*Client, error) {
	c, err := newClient(config)
	if err != nil {
		return nil, err
	}
	l, err := c.connect(ctx, true)
	if err != nil {
		c.abandon()
		return nil, err
	}
	c.install(l)
	c.keeper.Add(1)
	go c.keep(l)
	return c, nil
}

func newClient(config Config) (*Client, error) {
	if config.Bus == "" {
		config.Bus = DefaultBus
	}
	log := config.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	c := &Client{config: config, log: log, closed: make(chan struct{}), calls: map[uint64]*call{},
		grants: map[*Grant]struct{}{}, attachments: map[attachmentKey]*attachment{}}
	c.accepted = sync.NewCond(&c.mu)
	// Before any slot is ours: others rely on it from then on.
	c.barred = shm.RegisterMembarrier() != nil
	var err error
	if c.dir, err = openDir(config, c.mayHost()); err != nil {
		return nil, err
	}
	if !config.Observer && !c.dir.Guest() {
		if c.member, err = c.dir.JoinMembers(); err != nil {
			c.dir.Close()
			return nil, err
		}
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c, nil
}

// openDir opens the bus's directory for a client or a server.
func openDir(config Config, hosts bool) (*BusDir, error) {
	root, rule, err := ResolveRoot(config.Dir)
	if err != nil {
		return nil, err
	}
	o := DirOptions{Rule: rule, Create: config.Create || hosts, Guest: config.Guest}
	if config.Host.Group != "" && hosts {
		if o.Group, err = LookupGroup(config.Host.Group); err != nil {
			return nil, err
		}
	}
	return OpenBusDir(root, config.Bus, o)
}

// mayHost reports whether this client may become the host.
func (c *Client) mayHost() bool {
	return !c.config.NeverHost && !c.config.Observer && !c.config.Guest
}

func (c *Client) memberID() uint64 {
	if c.member == nil {
		return 0
	}
	return c.member.ID()
}

// Hosting reports whether this process hosts the bus by this client.
func (c *Client) Hosting() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.host != nil && c.host.ctx.Err() == nil // a host that lost its lock has ended
}

// Dir returns the bus's directory, for people.
func (c *Client) Dir() string { return c.dir.String() }

// Closed is closed when Close is through.
func (c *Client) Closed() <-chan struct{} { return c.closed }

// Close leaves the bus: slots that were not released are given up (their owners
// have stopped using them; their mappings stay until Release), requests under way
// end with ErrClosed, and if this process hosts, another one may from now on. It
// waits for every goroutine of the client: at most a second for the host's answer, 2 s
// for what is just being sent to one that does not read, and, if this process hosts, as
// long (HostConfig.Send) for those who do not read its answers. Idempotent.
func (c *Client) Close() error {
	c.once.Do(func() {
		defer close(c.closed)
		c.mu.Lock()
		c.closing = true
		for id, call := range c.calls {
			delete(c.calls, id)
			call.finish(answer{err: ErrClosed})
		}
		c.mu.Unlock()
		c.cancel()
		c.keeper.Wait()
		c.mu.Lock()
		l := c.link
		c.mu.Unlock()
		if l != nil {
			c.sayBye(l)
			l.conn.Close()
			<-l.down
		}
		c.abandon()
	})
	<-c.closed
	return nil
}

// sayBye gives up all slots and waits a moment for the host to say that they are
// free.
func (c *Client) sayBye(l *link) {
	ctx, cancel := context.WithTimeout(context.Background(), releaseGrace)
	defer cancel()
	bye := &call{id: c.lastID.Add(1), final: make(chan answer, 1)}
	c.mu.Lock()
	c.calls[bye.id] = bye
	c.mu.Unlock()
	deadline, _ := ctx.Deadline()
	if err := l.conn.Send(deadline, plainRequest{NewHeader(typeBye, bye.id)}); err != nil {
		return
	}
	select {
	case <-bye.final:
	case <-l.down:
	case <-ctx.Done():
	}
}

// abandon ends what newClient and connect began, the connection excepted. The
// host last: its own slots are free by now.
func (c *Client) abandon() {
	c.cancel()
	if c.member != nil {
		c.member.Close()
	}
	c.mu.Lock()
	h := c.host
	c.host = nil
	c.mu.Unlock()
	if h != nil {
		h.close()
	}
	c.dir.Close()
}

// Remove removes a topic that nobody is attached to.
//
// Errors: ErrNoTopic, ErrTopicInUse naming who, ErrHostStalled, ErrClosed, ctx's.
func (c *Client) Remove(ctx context.Context, topic string) error {
	_, err := c.request(ctx, func(id uint64) any { return topicRequest{NewHeader(typeRemove, id), topic} })
	return err
}

// Host describes the host.
//
// Errors: ErrHostStalled, ErrClosed, ctx's.
func (c *Client) Host(ctx context.Context) (HostInfo, error) {
	a, err := c.request(ctx, func(id uint64) any { return plainRequest{NewHeader(typeHost, id)} })
	if err != nil {
		return HostInfo{}, err
	}
	var m hostMessage
	err = a.decode(&m)
	return m.Host, err
}

// Topics lists the topics by name.
//
// Errors: ErrHostStalled, ErrClosed, ctx's.
func (c *Client) Topics(ctx context.Context) ([]TopicInfo, error) {
	var topics []TopicInfo
	for after := ""; ; {
		a, err := c.request(ctx, func(id uint64) any { return topicsRequest{NewHeader(typeTopics, id), after} })
		if err != nil {
			return nil, err
		}
		var m topicsMessage
		if err := a.decode(&m); err != nil {
			return nil, err
		}
		topics = append(topics, m.Topics...)
		if !m.More || len(m.Topics) == 0 {
			return topics, nil
		}
		after = m.Topics[len(m.Topics)-1].Name
	}
}

// errWaiting explains a context that ended while the client had no host.
func (c *Client) errWaiting(err error) error {
	if pid := c.dir.HostPID(); pid != 0 && pid != os.Getpid() {
		return fmt.Errorf("%w: pid %d holds %s: %w", ErrHostStalled, pid, LockName, err)
	}
	return fmt.Errorf("%w: %w", ErrNoHost, err)
}

// isFinal reports errors of connecting that trying again does not mend.
func isFinal(err error) bool {
	for _, e := range []error{ErrVersion, ErrPermission, ErrGuest, ErrTooManyClients, ErrNoDescriptors,
		ErrMalformed, ErrPidNamespace, ErrNoBus, errors.ErrUnsupported} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
