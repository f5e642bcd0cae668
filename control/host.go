package control

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"github.com/shmbus/shmbus/shm"
)

// HostConfig says how a host serves, for a participant that becomes one and for
// Serve. The zero value is useful.
type HostConfig struct {
	// MaxMemory limits the memory of all topics together, in bytes; 0: half of
	// what is available when the host starts, with what the topics have that it
	// brings back.
	MaxMemory uint64
	// Fenced makes rings that do without membarrier. Where the host's kernel
	// has none, they are made so anyway.
	Fenced bool
	// Group puts the bus into group mode: members of this group may join as
	// guests (lossy subscribers only). A name or a number.
	Group string
	// Keep lets topics live until they are removed. Otherwise a topic ends with
	// its last participant.
	Keep bool
	// MaxClients limits connections (0: 1024), MaxTopics topics (0: 1024). Guests
	// do not count: they have half as many connections for themselves.
	MaxClients, MaxTopics int
	// Handshake is how long a new connection has for its hello (0: 5 s); at most
	// MaxUnknown (0: 32) are in that state at once, and half as many of guests.
	Handshake  time.Duration
	MaxUnknown int
	// Send is how long a client has to read an answer before it is dropped
	// (0: 2 s).
	Send time.Duration
	// OnStall says what is done about a participant that is stopped or frozen
	// inside a ring's lock: OnStallWait ("", the default) or OnStallKill, which
	// kills it once it has been so for StallAfter (0: 5 s).
	OnStall    string
	StallAfter time.Duration
	// Settle is how long a host that took over lets live members come back
	// before it grants slots (0: 250 ms). Topics that are not there it makes
	// only when all are back or dead, or 2 s later. Time in which it was stopped
	// itself, or starved, does not count.
	Settle time.Duration

	store  bool           // a service manager keeps descriptors for us; fdstore.go
	stored []*storedTopic // what it kept
}

// Limits that are nobody's choice.
const (
	maxRequests   = 1024                   // outstanding, a connection
	guestRequests = 64                     // of a guest: each takes some 11 KB of the host
	maxClaims     = 16 << 10               // offers remembered, a connection
	judgeEvery    = 100 * time.Millisecond // how often the absent are judged
	makePatience  = 2 * time.Second        // beyond Settle, for members that live and are not back
	settleStep    = 25 * time.Millisecond  // in which Settle and makePatience are counted
	lockEvery     = 200 * time.Millisecond // how often the host's locks are checked
	stalledNotice = 500 * time.Millisecond // after that a client hears that a ring is stalled
	guestAbsence  = 10 * time.Second       // a guest, and who holds no member lock, has this long to come back
)

func (c HostConfig) withDefaults() HostConfig {
	for _, d := range []struct {
		v       *int
		initial int
	}{{&c.MaxClients, 1024}, {&c.MaxTopics, 1024}, {&c.MaxUnknown, 32}} {
		if *d.v <= 0 {
			*d.v = d.initial
		}
	}
	for _, d := range []struct {
		v       *time.Duration
		initial time.Duration
	}{{&c.Handshake, 5 * time.Second}, {&c.Send, 2 * time.Second}, {&c.Settle, 250 * time.Millisecond}, {&c.StallAfter, defaultStall}} {
		if *d.v <= 0 {
			*d.v = d.initial
		}
	}
	return c
}

// host is the one process of a bus that names, grants, judges and repairs. It
// exists between taking host.lock and letting go of it:
//
//	starting ──▶ settling ──▶ serving ──▶ closing ──▶ (lock released)
//
//	starting → settling  newHost: listens; the members alive at that moment are noted
//	settling → serving   all of them are back (ready) or dead, or Settle is over. Until
//	                     then offers are adopted and clients listed, but nothing is
//	                     granted: a name or a topic may belong to somebody on his way back
//	serving → closing    close, by the client or Serve that owns it, or by the host itself
//	                     when it finds that it lost its lock
//
// If it dies in any of these states, nothing in shared memory says so: the data path
// goes on, clients see their connection end and race for host.lock, and the winner
// starts here. What the dead host had granted without telling is found in the rings,
// see holder.
//
// # A participant, as the host sees it
//
//	connected ──hello──▶ returning ──ready──▶ here ──bye──▶ (gone, slots freed)
//	                                           └──EOF──▶ away ──pidfd──▶ (dead, repaired)
//
// Its subscribers stop gating at the end of the connection. Its publishers keep
// their slots, since they may still write, until the pidfd proves it dead, or it
// comes back and offers them, or comes back without.
//
// # Goroutines and locks
//
// One accepts, one judges, one reads each connection, one serves each request. mu
// guards all tables; nothing that may block (a ring, a send, an allocation) is done
// under it. A ring whose lock somebody stopped holds blocks only the requests for
// that ring; removing a slot waits for no participant, the last one of a stored topic
// for the service manager, notifyPatience for a message. close joins all of them.
type host struct {
	config  HostConfig
	dir     *BusDir
	lock    *HostLock
	log     *slog.Logger
	self    uint64 // member id of the process that hosts
	started time.Time

	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup
	judge  chan struct{} // look at once
	ended  chan struct{} // closed when everything is joined
	once   sync.Once
	// foreign closes what others have sent.
	foreign closers

	unplaced string // why the socket cannot be put back into its place; watch's own

	settled chan struct{} // closed: slots are granted
	whole   chan struct{} // closed: topics are made, too

	mu       sync.Mutex
	listener *Listener
	open     bool // false from close on: no new goroutines
	busy     int  // requests being answered, those who wait in line for a topic apart
	spare    *os.File
	owners   crowd
	guests   crowd
	sessions map[*session]struct{}
	members  map[uint64]*session
	topics   map[string]*topic
	waiters  map[string][]*waiter
	aside    map[string]*asideTopic // in the manager's store, of a layout that is not ours
	missing  map[uint64]struct{}    // members that were alive at the start and are not back
	serving  bool                   // settled is closed
	making   bool                   // whole is closed
	stored   []*storedTopic         // what the manager kept, until it is brought back
	bringing bool                   // that is under way
	memoryLimit
	waited time.Duration // for the missing, in steps that this process ran
}

// newHost serves the bus on a listener. It owns lock and listener from then on,
// also when it fails; the directory stays the caller's, until close returns. self
// is the member id of its own process, whose client (if it has one) comes back
// like all others.
func newHost(dir *BusDir, lock *HostLock, ln *Listener, self uint64, client bool, c HostConfig, log *slog.Logger) (*host, error) {
	c = c.withDefaults()
	h := &host{
		config: c, dir: dir, lock: lock, listener: ln, log: log, self: self,
		started: time.Now(), memoryLimit: memoryLimitOf(c.MaxMemory),
		judge: make(chan struct{}, 1), ended: make(chan struct{}), settled: make(chan struct{}), whole: make(chan struct{}),
		open: true, sessions: map[*session]struct{}{}, members: map[uint64]*session{},
		topics: map[string]*topic{}, waiters: map[string][]*waiter{}, aside: map[string]*asideTopic{}, missing: map[uint64]struct{}{},
	}
	// A fence for the host's own entries into a biased ring.
	if err := shm.RegisterMembarrier(); err != nil {
		h.config.Fenced = true
	}
	alive, err := dir.liveMembers()
	if err != nil {
		ln.Close()
		lock.Release()
		return nil, fmt.Errorf("become the host: %w", err)
	}
	for _, id := range alive {
		if id != self || client {
			h.missing[id] = struct{}{}
		}
	}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.stored = c.stored
	h.mu.Lock()
	h.settleIfComplete()
	limit := h.most
	h.mu.Unlock()
	h.work.Add(3)
	go h.accept()
	go h.probeStalls()
	go h.watch()
	log.Info("hosting", "bus", dir.String(), "members", len(alive), "max_memory", limit)
	return h, nil
}

// close ends the host: nobody new, everybody dropped, all goroutines joined, all
// regions unmapped, and the lock released last, so that a successor finds the
// rings quiet. Idempotent, from anywhere but the host's own goroutines.
func (h *host) close() {
	h.once.Do(func() {
		h.mu.Lock()
		h.open = false
		sessions := make([]*session, 0, len(h.sessions))
		for s := range h.sessions {
			sessions = append(sessions, s)
		}
		ln := h.listener
		h.mu.Unlock()
		ln.Close()
		h.deliver()
		h.cancel()
		for _, s := range sessions {
			s.hangUp()
		}
		h.work.Wait()
		h.mu.Lock()
		topics := h.topics
		h.topics = nil
		h.mu.Unlock()
		for _, s := range h.stored {
			CloseFiles(s.list())
		}
		for _, t := range topics {
			t.regions.close()
		}
		h.lock.Release()
		close(h.ended)
	})
	<-h.ended
}

// deliver lets requests that are being answered end, within the deadline of a
// send: whoever was granted a slot counts as attached, and messages that were
// published to it go with the host's memory unless its grant is on its way.
func (h *host) deliver() {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(h.config.Send); time.Now().Before(deadline); <-tick.C {
		h.mu.Lock()
		busy := h.busy
		h.mu.Unlock()
		if busy == 0 {
			return
		}
	}
}

// pause waits; false if the host closes meanwhile.
func (h *host) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-h.ctx.Done():
		return false
	}
}

// settleIfComplete ends the settling if nobody is missing, or its time is over.
// A topic that is not there may be one whose participants, alive but starved,
// have not come back; made anew it would leave them on a ring of their own. So
// for making one there is more patience. It counts the steps that this process
// ran, not the time that passed: if it was stopped, nobody could come back. What the
// service manager kept comes back at the end of it: whoever lives offers what is in
// use, which it may be no more. mu is held.
func (h *host) settleIfComplete() {
	complete := len(h.missing) == 0
	if (complete || h.waited >= h.config.Settle+makePatience) && h.bringBack() {
		return // and comes here again
	}
	if !h.serving && (complete || h.waited >= h.config.Settle) {
		h.serving = true
		close(h.settled)
	}
	if !h.making && (complete || h.waited >= h.config.Settle+makePatience) {
		h.making = true
		close(h.whole)
	}
}

// await waits until the host serves and the session has come back.
func (h *host) await(ctx context.Context, s *session) error {
	for _, c := range []<-chan struct{}{s.here, h.settled} {
		select {
		case <-c:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// awaitWhole waits until the host also knows which topics are not there.
func (h *host) awaitWhole(ctx context.Context, s *session) error {
	if err := h.await(ctx, s); err != nil {
		return err
	}
	select {
	case <-h.whole:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// info describes the host.
func (h *host) info() HostInfo {
	i := HostInfo{
		PID: os.Getpid(), Member: h.self, Program: programName(), Version: softwareVersion(),
		Cgroup: CgroupOf(0), Started: h.started,
		Keep: h.config.Keep, Fenced: h.config.Fenced,
	}
	h.mu.Lock()
	i.Memory, i.MaxMemory, i.Topics, i.Clients = h.memory(), h.most, len(h.topics), h.owners.known+h.guests.known
	h.mu.Unlock()
	if g := h.dir.Group(); g != nil {
		i.Group = g.Name
	}
	return i
}

func programName() string { return filepath.Base(os.Args[0]) }

// softwareVersion is the version of the module this program was built from.
func softwareVersion() string {
	b, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	const module = "github.com/shmbus/shmbus"
	if b.Main.Path == module {
		return b.Main.Version
	}
	for _, d := range b.Deps {
		if d.Path == module {
			return d.Version
		}
	}
	return ""
}
