package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/shmbus/shmbus/ring"
)

// session is one connection, on the host's side.
type session struct {
	host   *host
	conn   *Conn
	ctx    context.Context // ends with the session
	cancel context.CancelFunc
	here   chan struct{} // closed by ready: it has offered what it holds
	gone   chan struct{} // closed when its slots are no longer live
	work   sync.WaitGroup
	// placing are the subscriptions read and not yet in line. Only the session's
	// own goroutine adds and waits.
	placing sync.WaitGroup

	stranger bool // of another uid than the bus's

	// Set by the handshake, constant then.
	peer       *Peer
	member     uint64
	program    string
	guest      bool // a stranger, in group mode
	observer   bool
	membarrier bool

	// Guarded by the host's mutex.
	known    bool // it has said who it is
	ended    bool
	ready    bool
	claims   map[slotID]struct{} // what it has offered, whether or not it was accepted
	behind   int                 // holders that its end has left to it
	unneeded context.CancelFunc  // ends the wait for its process, once none is
	requests map[uint64]context.CancelFunc
}

func newSession(h *host, conn *Conn) *session {
	conn.discard = h.foreign.closeFiles
	s := &session{host: h, conn: conn, here: make(chan struct{}), gone: make(chan struct{}),
		claims: map[slotID]struct{}{}, requests: map[uint64]context.CancelFunc{}}
	s.ctx, s.cancel = context.WithCancel(h.ctx)
	return s
}

// run is the session's goroutine. What goes wrong in it costs this connection and
// nothing else.
func (s *session) run() {
	defer s.host.work.Done()
	err := s.greet()
	if err == nil {
		err = s.serve()
	}
	s.fail(err)
	s.host.end(s)
}

// fail tells the client what it did wrong, if it did, before the connection ends.
func (s *session) fail(err error) {
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, ErrClosed) {
		return
	}
	s.host.log.Warn("drop a connection", "client", s.String(), "error", err)
	var refused *refusedError
	if errors.As(err, &refused) {
		return // it was told
	}
	if sendErr := s.send(newErrorMessage(0, err)); sendErr != nil {
		s.host.log.Debug("say why", "error", sendErr)
	}
}

// refusedError is one that the client was told about already.
type refusedError struct{ error }

func (e *refusedError) Unwrap() error { return e.error }

// refuse answers a request with an error and returns it, as one that ends the
// session.
func (s *session) refuse(head Header, err error) error {
	var v *VersionError
	var answer any = newErrorMessage(head.ID, err)
	if errors.As(err, &v) {
		answer = Refuse(head)
	}
	if sendErr := s.send(answer); sendErr != nil {
		s.host.log.Debug("refuse", "error", sendErr)
	}
	return &refusedError{err}
}

func (s *session) String() string {
	if s.peer == nil {
		return "unknown"
	}
	return fmt.Sprintf("%s (pid %d, uid %d)", s.program, s.peer.PID, s.peer.UID)
}

// send sends a message within the host's deadline. A client that does not read
// is dropped.
func (s *session) send(v any, files ...*os.File) error {
	err := s.conn.Send(time.Now().Add(s.host.config.Send), v, files...)
	if err != nil {
		s.hangUp()
	}
	return err
}

// hangUp ends the connection; the session ends by itself then. A stranger's is closed
// only by finish: descriptors that lie in it unread are closed by who closes it last.
func (s *session) hangUp() {
	if s.stranger {
		s.conn.shutDown()
		return
	}
	s.conn.Close()
}

// finish closes the connection, when nobody will use it any more but who is sending.
func (s *session) finish() {
	s.hangUp()
	if s.stranger {
		s.host.foreign.close(func() {
			s.work.Wait()
			s.conn.Close()
		})
	}
}

// greet reads the hello and answers it.
func (s *session) greet() error {
	h := s.host
	peer, err := Credentials(s.conn)
	if errors.Is(err, ErrNoDescriptors) {
		return noDescriptors(err)
	}
	if err != nil {
		return err
	}
	s.peer = peer
	raw, files, err := s.conn.Receive(time.Now().Add(h.config.Handshake))
	if err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("%w: no hello within %v", ErrMalformed, h.config.Handshake)
		}
		return err
	}
	defer h.foreign.closeFiles(files)
	m, head, err := decodeRequest(raw)
	if err != nil {
		return s.refuse(head, err)
	}
	hello, ok := m.(*helloRequest)
	switch {
	case !ok:
		return s.refuse(head, fmt.Errorf("%w: %q before hello", ErrMalformed, head.Type))
	case len(files) > 0:
		return s.refuse(head, fmt.Errorf("%w: hello carried %d", ErrDescriptors, len(files)))
	}
	if err := s.identify(hello); err != nil {
		return s.refuse(head, err)
	}
	return s.send(welcomeMessage{Header: NewHeader(typeWelcome, head.ID), PID: os.Getpid(), Program: programName(),
		Release: softwareVersion(), Layout: ring.LayoutVersion, Guest: s.guest})
}

// identify decides who the peer is: by the kernel's word its uid, by its lock its
// member id.
func (s *session) identify(m *helloRequest) error {
	h := s.host
	const most = 64
	s.program = m.Program
	if len(s.program) > most {
		s.program = s.program[:most]
	}
	s.observer, s.membarrier = m.Observer, m.Membarrier
	if owner := h.dir.Owner(); s.peer.UID != owner {
		if h.dir.Group() == nil {
			return fmt.Errorf("%w: this bus belongs to uid %d, you are uid %d; it is not in group mode", ErrPermission, owner, s.peer.UID)
		}
		s.guest = true
	}
	if m.Member != 0 && !s.guest {
		alive, err := h.dir.MemberAlive(m.Member)
		if errors.Is(err, ErrMalformed) || err == nil && !alive {
			return fmt.Errorf("%w: nobody holds the lock of member %d", ErrMalformed, m.Member)
		}
		s.member = m.Member
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := s.succeed(); err != nil {
		return err
	}
	crowd, _, limit := h.crowd(s)
	if crowd.known >= limit {
		return fmt.Errorf("%w: the limit is %d", ErrTooManyClients, limit)
	}
	s.known = true
	crowd.unknown--
	crowd.known++
	if s.member != 0 {
		h.members[s.member] = s
	}
	if !m.Returning {
		h.arrive(s)
	}
	return nil
}

// succeed ends the connection that its member had before: it is broken on that
// side, and ours has not noticed. Others may come for the same member while it waits;
// there is none left when it returns. mu is held, but not while it waits.
func (s *session) succeed() error {
	h := s.host
	for s.member != 0 {
		old := h.members[s.member]
		if old == nil {
			return nil
		}
		h.mu.Unlock()
		old.conn.Close()
		var err error
		select {
		case <-old.gone:
		case <-s.ctx.Done():
			err = ErrClosed
		}
		h.mu.Lock()
		if err != nil {
			return err
		}
	}
	return nil
}

// arrive: the session has offered all it held. mu is held.
func (h *host) arrive(s *session) {
	if s.ready {
		return
	}
	s.ready = true
	close(s.here)
	delete(h.missing, s.member)
	h.settleIfComplete()
}

// serve reads requests until the connection ends or has to.
func (s *session) serve() error {
	for {
		raw, files, err := s.conn.Receive(time.Time{})
		if raw != nil && errors.Is(err, ErrNoDescriptors) {
			err = s.short(raw, err)
			if err == nil {
				continue
			}
		}
		if err != nil {
			return err
		}
		m, head, err := decodeRequest(raw)
		if err != nil {
			s.host.foreign.closeFiles(files)
			if errors.Is(err, ErrBadName) && len(files) == 0 {
				if err := s.send(newErrorMessage(head.ID, err)); err != nil {
					return err
				}
				continue
			}
			return s.refuse(head, err)
		}
		if len(files) > 0 && (head.Type != typeOffer || s.stranger) {
			s.host.foreign.closeFiles(files)
			return s.refuse(head, fmt.Errorf("%w: %q carried %d; only an offer may", ErrDescriptors, head.Type, len(files)))
		}
		if err := s.dispatch(m, head, files); err != nil {
			return err
		}
	}
}

// short answers a message whose descriptors this process had no room for. An offer
// fails, to be made again; its slot stays its member's. Nothing else is lost: an end of
// the connection would detach the subscribers that were offered before.
func (s *session) short(raw []byte, reason error) error {
	m, head, err := decodeRequest(raw)
	if err != nil {
		return s.refuse(head, err)
	}
	offer, ok := m.(*offerRequest)
	if !ok || s.guest || s.observer {
		return s.refuse(head, fmt.Errorf("%w: %q carried some; only an offer may", ErrDescriptors, head.Type))
	}
	s.host.mu.Lock()
	if len(s.claims) < maxClaims {
		s.claims[offer.slotID] = struct{}{}
	}
	s.host.mu.Unlock()
	return s.send(newErrorMessage(head.ID, fmt.Errorf("the host (pid %d) cannot take what is offered: %w", os.Getpid(), reason)))
}

// errBye ends a session that said so.
var errBye = fmt.Errorf("bye: %w", io.EOF)

// dispatch answers the quick requests and starts a goroutine for the others. It
// owns files.
func (s *session) dispatch(m request, head Header, files []*os.File) error {
	switch head.Type {
	case typePing:
		return s.send(plainRequest{NewHeader(typeOK, head.ID)})
	case typeHello:
		return s.refuse(head, fmt.Errorf("%w: a second hello", ErrMalformed))
	case typeCancel:
		s.host.mu.Lock()
		cancel := s.requests[m.(*cancelRequest).Request]
		s.host.mu.Unlock()
		if cancel != nil {
			cancel()
		}
		return nil
	case typeBye:
		s.host.leave(s)
		if err := s.send(plainRequest{NewHeader(typeOK, head.ID)}); err != nil {
			return err
		}
		return errBye
	}
	ctx, cancel := context.WithCancel(s.ctx)
	if err := s.enter(m, head, cancel); err != nil {
		cancel()
		CloseFiles(files)
		if errors.Is(err, ErrTooManyRequests) {
			return s.send(newErrorMessage(head.ID, err))
		}
		return s.refuse(head, err)
	}
	switch m := m.(type) {
	case *subscribeRequest:
		s.placing.Add(1)
		m.placed = sync.OnceFunc(s.placing.Done)
	case *plainRequest:
		if head.Type == typeReady {
			// Who says ready is back with all that it asks for: no topic is made
			// without those who wait for it.
			s.placing.Wait()
		}
	}
	s.work.Add(1)
	go s.answer(ctx, cancel, m, head, files)
	return nil
}

// enter notes a request as under way, and what it offers: a ready that is read later
// finds the claim of every offer read before, however the two are scheduled.
func (s *session) enter(m request, head Header, cancel context.CancelFunc) error {
	s.host.mu.Lock()
	defer s.host.mu.Unlock()
	if s.requests[head.ID] != nil {
		return fmt.Errorf("%w: request id %d is in use", ErrMalformed, head.ID)
	}
	if o, ok := m.(*offerRequest); ok {
		if len(s.claims) >= maxClaims {
			return fmt.Errorf("%w: more than %d offers", ErrTooManyRequests, maxClaims)
		}
		s.claims[o.slotID] = struct{}{}
	}
	most := maxRequests
	if s.guest {
		most = guestRequests
	}
	if len(s.requests) >= most {
		return fmt.Errorf("%w: the limit is %d", ErrTooManyRequests, most)
	}
	s.requests[head.ID] = cancel
	return nil
}

// answer serves one request.
func (s *session) answer(ctx context.Context, cancel context.CancelFunc, m request, head Header, files []*os.File) {
	defer s.work.Done()
	defer cancel()
	// Nothing that is deferred takes mu: a panic under it would wait for ever, with
	// host.lock held, in place of ending the process.
	s.host.busyBy(1)
	s.respond(ctx, m, head, files)
	s.host.busyBy(-1)
}

// respond does what a request asks for and sends the answer.
func (s *session) respond(ctx context.Context, m request, head Header, files []*os.File) {
	r, err := s.host.handle(ctx, s, m, head, files)
	s.host.mu.Lock()
	delete(s.requests, head.ID)
	s.host.mu.Unlock()
	if err != nil && s.ctx.Err() != nil {
		return // the session ends, or the host: its client asks the next one
	}
	if err != nil {
		r = reply{message: newErrorMessage(head.ID, err)}
	}
	if err := s.send(r.message, r.files...); err != nil {
		s.host.log.Debug("answer", "type", head.Type, "client", s.String(), "error", err)
	}
	if r.topic != nil {
		s.host.unref(r.topic)
	}
	if r.look != nil {
		s.host.looked(r.look)
	}
}

// busyBy counts requests that are being answered.
func (h *host) busyBy(n int) {
	h.mu.Lock()
	h.busy += n
	h.mu.Unlock()
}

// reply is an answer and the descriptors that go with it.
type reply struct {
	message any
	files   []*os.File
	topic   *topic // a reference that keeps the files open until they are sent
	look    *topic // likewise, a look
}

// handle does what a request asks for.
func (h *host) handle(ctx context.Context, s *session, m request, head Header, files []*os.File) (reply, error) {
	done := reply{message: plainRequest{NewHeader(typeOK, head.ID)}}
	switch m := m.(type) {
	case *offerRequest:
		return done, h.offer(ctx, s, m.slotID, files)
	case *releaseRequest:
		return done, h.release(s, m.slotID)
	case *mappedRequest:
		return done, h.mapped(s, m.slotID)
	case *publishRequest:
		return replyGrant(head)(h.publish(ctx, s, m))
	case *subscribeRequest:
		return replyGrant(head)(h.subscribe(ctx, s, m))
	}
	if head.Type == typeReady {
		h.ready(s)
		return done, nil
	}
	// What a client is told of topics shall not depend on who is back first.
	await := h.await
	if len(h.config.stored) > 0 {
		await = h.awaitWhole
	}
	if err := await(ctx, s); err != nil {
		return reply{}, err
	}
	switch head.Type {
	case typeTopics:
		return reply{message: h.page(head, m.(*topicsRequest).After)}, nil
	case typeObserve:
		return h.observe(head, m.(*topicRequest).Topic)
	case typeRemove:
		if s.guest {
			return reply{}, fmt.Errorf("%w: remove a topic", ErrGuest)
		}
		return done, h.remove(m.(*topicRequest).Topic)
	}
	return reply{message: hostMessage{NewHeader(typeHost, head.ID), h.info()}}, nil
}
