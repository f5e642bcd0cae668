package control

import (
	"runtime"
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
