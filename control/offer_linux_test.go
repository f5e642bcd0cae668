package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// alone ends what a client does by itself, and its connection. Its slots stay.
func alone(c *Client) {
	c.cancel()
	c.keeper.Wait()
	c.mu.Lock()
	l := c.link
	c.mu.Unlock()
	l.conn.Close()
	<-l.down
}

// TestReadyComesAfterOffers: a member that offers its slots and says ready without
// waiting for the answers loses none of them, however the host schedules the two.
func TestReadyComesAfterOffers(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // what was started last goes first
	root := busRoot(t)
	host := dial(t, Config{Dir: root})
	publisher(t, host, PublisherRequest{Topic: "t"})
	b := dial(t, Config{Dir: root, NeverHost: true})
	g := publisher(t, b, PublisherRequest{Topic: "t"})
	alone(b)
	for range 50 {
		conn := rawConn(t, host)
		hello := helloRequest{Header: NewHeader(typeHello, 1), Member: b.memberID(), Returning: true, Membarrier: true}
		if a := ask(t, conn, hello); a.Type != typeWelcome {
			t.Fatalf("%+v", a)
		}
		if err := conn.Send(time.Now().Add(watchdog), offerRequest{NewHeader(typeOffer, 2), g.id}, g.attachment.files()...); err != nil {
			t.Fatal(err)
		}
		if err := conn.Send(time.Now().Add(watchdog), plainRequest{NewHeader(typeReady, 3)}); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if a := next(t, conn); a.Type != typeOK {
				t.Fatalf("%+v", a)
			}
		}
		conn.Close()
	}
}

// fakeHost listens where the host did, for a test that is the host by hand.
type fakeHost struct {
	t  *testing.T
	ln *Listener
}

func newFakeHost(t *testing.T, c *Client) fakeHost {
	t.Helper()
	ln, err := Listen(c.dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return fakeHost{t, ln}
}

// welcome waits for a client and lets it in.
func (f fakeHost) welcome() *Conn {
	f.t.Helper()
	if err := f.ln.SetDeadline(time.Now().Add(watchdog)); err != nil {
		f.t.Fatal(err)
	}
	conn, err := f.ln.Accept()
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { conn.Close() })
	f.send(conn, welcomeMessage{Header: NewHeader(typeWelcome, f.expect(conn, typeHello)), PID: os.Getpid()})
	return conn
}

func (f fakeHost) send(conn *Conn, m any) {
	f.t.Helper()
	if err := conn.Send(time.Now().Add(watchdog), m); err != nil {
		f.t.Fatal(err)
	}
}

// expect waits for a message of this type and returns its id.
func (f fakeHost) expect(conn *Conn, kind string) uint64 {
	f.t.Helper()
	m := next(f.t, conn)
	if m.Type != kind {
		f.t.Fatalf("got %+v, want %s", m, kind)
	}
	return m.ID
}

// atFakeHost joins a bus as a publisher, whose host is then a test.
func atFakeHost(t *testing.T) (f fakeHost, c *Client, g *Grant) {
	t.Helper()
	root := busRoot(t)
	host, err := Dial(soon(t), Config{Dir: root})
	if err != nil {
		t.Fatal(err)
	}
	c = dial(t, Config{Dir: root, NeverHost: true})
	g = publisher(t, c, PublisherRequest{Topic: "t"})
	host.Close()
	return newFakeHost(t, c), c, g
}

// TestReadyWaitsForVerdicts: a host that says nothing for so long that requests end
// with ErrHostStalled has not judged the offer: nobody says ready, and nobody takes the
// offer back.
func TestReadyWaitsForVerdicts(t *testing.T) {
	f, c, g := atFakeHost(t)
	conn := f.welcome()
	offer := f.expect(conn, typeOffer)
	if _, err := c.Topics(soon(t)); !errors.Is(err, ErrHostStalled) {
		t.Fatalf("got %v, want %v", err, ErrHostStalled)
	}
	for {
		raw, _, err := conn.Receive(time.Now().Add(100 * time.Millisecond))
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		head, decodeErr := DecodeHeader(raw)
		if err != nil || decodeErr != nil {
			t.Fatal(err, decodeErr)
		}
		if head.Type == typeReady {
			t.Fatal("ready before the offer was judged")
		}
	}
	f.send(conn, plainRequest{NewHeader(typeOK, offer)})
	f.send(conn, plainRequest{NewHeader(typeOK, f.expect(conn, typeReady))})
	c.mu.Lock()
	_, held := c.grants[g]
	c.mu.Unlock()
	if !held {
		t.Error("the slot is not held any more")
	}
}

// TestOfferWithoutVerdictIsMadeAgain: an answer that does not judge the slot is none,
// and the offer is made again on another connection, before ready.
func TestOfferWithoutVerdictIsMadeAgain(t *testing.T) {
	f, _, _ := atFakeHost(t)
	conn := f.welcome()
	f.send(conn, newErrorMessage(f.expect(conn, typeOffer), ErrTooManyRequests))
	ended(t, conn)
	conn = f.welcome()
	f.send(conn, plainRequest{NewHeader(typeOK, f.expect(conn, typeOffer))})
	f.expect(conn, typeReady)
}

// TestOrphanedPublisherIsTold: a publisher hears that its slot is not its own any more
// before ready is said, or at once if it asks later, and does not offer it again.
func TestOrphanedPublisherIsTold(t *testing.T) {
	f, c, g := atFakeHost(t)
	told := make(chan struct{}, 1)
	g.OnOrphaned(func() { told <- struct{}{} })
	conn := f.welcome()
	f.send(conn, newErrorMessage(f.expect(conn, typeOffer), ErrOrphaned))
	ready := f.expect(conn, typeReady)
	select {
	case <-told:
	default:
		t.Error("ready was said first")
	}
	late := false
	g.OnOrphaned(func() { late = true })
	if !late {
		t.Error("not told again")
	}
	f.send(conn, plainRequest{NewHeader(typeOK, ready)})
	conn.Close()
	conn = f.welcome()
	f.expect(conn, typeReady) // and no offer
	if err := g.Release(); err != nil {
		t.Error(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.attachments) > 0 {
		t.Error("the mapping stays")
	}
}

// TestWhatFoundNoRoomIsSent: what is asked and told while a host does not read, and its
// socket is full, is asked and told when it reads again.
func TestWhatFoundNoRoomIsSent(t *testing.T) {
	root := busRoot(t)
	host, _ := participant(t, root, "idle", "-", "-")
	c := dial(t, Config{Dir: root, NeverHost: true})
	publisher(t, c, PublisherRequest{Topic: "t"})
	s := subscriber(t, c, SubscriberRequest{Topic: "t"})
	c.mu.Lock()
	l := c.link
	c.mu.Unlock()
	host.stop()
	ping, err := json.Marshal(plainRequest{NewHeader(typePing, c.lastID.Add(1))})
	if err != nil {
		t.Fatal(err)
	}
	fillWith(t, l.conn, ping)
	answers := make(chan error, 2)
	go func() { _, err := c.Topics(soon(t)); answers <- err }()
	go func() { _, err := c.Host(soon(t)); answers <- err }()
	if err := s.Leave(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(l.queue) < 3 {
			return errors.New("not all have tried")
		}
		return nil
	})
	if err := host.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
	counts(t, c, "t", 1, 0)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link != l {
		t.Error("the connection was given up")
	}
}

// TestReturningLeavesNothingBehind: a host to which a member comes back, again and
// again, keeps no descriptor of the connections that have ended; its publisher stays.
func TestReturningLeavesNothingBehind(t *testing.T) {
	root := busRoot(t)
	host := dial(t, Config{Dir: root})
	p := publisher(t, host, PublisherRequest{Topic: "t"})
	c := dial(t, Config{Dir: root, NeverHost: true})
	publisher(t, c, PublisherRequest{Topic: "t"})
	before := openDescriptors(t)
	for range 10 {
		c.mu.Lock()
		l := c.link
		c.mu.Unlock()
		l.conn.Close()
		eventually(t, func() error {
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.link == nil || c.link == l {
				return errors.New("not back")
			}
			return nil
		})
		if _, err := c.Host(soon(t)); err != nil { // ready is said
			t.Fatal(err)
		}
		if err := publish(p, "x"); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, func() error {
		if n := openDescriptors(t); n > before {
			return fmt.Errorf("%d descriptors, there were %d", n, before)
		}
		return nil
	})
	counts(t, host, "t", 2, 0)
}

// TestCancelledHelloEnds: a context that is cancelled before the last call of a
// handshake, with a host that says nothing, ends that one too.
func TestCancelledHelloEnds(t *testing.T) {
	f, c, _ := atFakeHost(t)
	f.welcome()
	conn, err := dialHost(soon(t), c.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	cancel()
	conn.sending <- struct{}{} // hello does not get far
	through := make(chan error, 1)
	go func() { through <- c.hello(ctx, &link{conn: conn, began: time.Now()}, false) }()
	select {
	case err = <-through:
	case <-time.After(200 * time.Millisecond): // the end of ctx has been acted upon
		<-conn.sending
		within(t, "the handshake", func() { err = <-through })
	}
	if err == nil {
		t.Error("welcomed")
	}
}

// TestGrantKeepsItsDescriptors: a slot that is dropped before its grant is sent leaves
// the descriptors open until it is.
func TestGrantKeepsItsDescriptors(t *testing.T) {
	c := dial(t, Config{Dir: busRoot(t)})
	h := c.host
	h.mu.Lock()
	s := h.members[c.memberID()]
	h.mu.Unlock()
	g, err := h.publish(soon(t), s, &publishRequest{Topic: "t"})
	if err != nil {
		t.Fatal(err)
	}
	h.leave(s)
	r, err := replyGrant(Header{})(g, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.files {
		if _, err := f.Stat(); err != nil {
			t.Error(err)
		}
	}
	if r.look == nil {
		t.Fatal("nothing keeps them open")
	}
	h.looked(r.look)
	if _, err := r.files[0].Stat(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("the topic stays: %v", err)
	}
}
