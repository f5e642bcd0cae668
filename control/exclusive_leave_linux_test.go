package control

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

// exclusiveGrant asks by hand for the slot of an exclusive topic's publisher.
func exclusiveGrant(t *testing.T, conn *Conn, topic string) slotID {
	t.Helper()
	if err := conn.Send(time.Now().Add(watchdog), publishRequest{Header: NewHeader(typePublish, 2), Topic: topic, Exclusive: true}); err != nil {
		t.Fatal(err)
	}
	raw, files, err := conn.Receive(time.Now().Add(watchdog))
	if err != nil {
		t.Fatal(err)
	}
	CloseFiles(files)
	var g grantMessage
	if err := (answer{raw: raw}).decode(&g); err != nil || g.Type != typeGrant {
		t.Fatalf("%s, %v", raw, err)
	}
	return g.slotID
}

// waitInLine puts subscribers into the line for a topic, by hand.
func waitInLine(t *testing.T, c *Client, topic string, n int) *Conn {
	t.Helper()
	conn := rawHello(t, c, 0)
	for i := range n {
		m := subscribeRequest{Header: NewHeader(typeSubscribe, uint64(2+i)), Topic: topic, Mode: modeLossy}
		if a := ask(t, conn, m); a.Type != typeWaiting {
			t.Fatalf("%+v", a)
		}
	}
	return conn
}

// exclusiveLeaves are the ways in which the publisher of an exclusive topic goes. What
// is answered before may come meanwhile.
var exclusiveLeaves = map[string]func(t *testing.T, c *Client, conn *Conn, member uint64, id slotID){
	"release": func(t *testing.T, _ *Client, conn *Conn, _ uint64, id slotID) {
		if err := conn.Send(time.Now().Add(watchdog), releaseRequest{NewHeader(typeRelease, 4), id}); err != nil {
			t.Fatal(err)
		}
		answered(t, conn, 4)
	},
	"bye": func(t *testing.T, _ *Client, conn *Conn, _ uint64, _ slotID) {
		if err := conn.Send(time.Now().Add(watchdog), plainRequest{NewHeader(typeBye, 4)}); err != nil {
			t.Fatal(err)
		}
		answered(t, conn, 4)
	},
	"ready of the next connection": func(t *testing.T, c *Client, _ *Conn, member uint64, _ slotID) {
		if a := ask(t, rawHello(t, c, member), plainRequest{NewHeader(typeReady, 2)}); a.Type != typeOK {
			t.Fatalf("%+v", a)
		}
	},
}

// answered reads until the answer to a request comes.
func answered(t *testing.T, conn *Conn, id uint64) {
	t.Helper()
	for next(t, conn).ID != id {
	}
}

// TestExclusiveLeftWhileItIsMapped: the publisher of an exclusive topic goes, in
// every way, while the host maps the log and attaches those who wait for it. The
// host answers on, and no publisher is left.
func TestExclusiveLeftWhileItIsMapped(t *testing.T) {
	const rounds, waiters = 5, 60
	for name, leave := range exclusiveLeaves {
		t.Run(name, func(t *testing.T) {
			root := busRoot(t)
			participant(t, root, "idle", "-", "-") // the host
			c := dial(t, Config{Dir: root, NeverHost: true})
			m, err := c.dir.JoinMembers()
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			for i := range rounds {
				topic := fmt.Sprint("t", i)
				line := waitInLine(t, c, topic, waiters)
				conn := rawHello(t, c, m.ID())
				id := exclusiveGrant(t, conn, topic)
				if err := conn.Send(time.Now().Add(watchdog), mappedRequest{NewHeader(typeMapped, 3), id}); err != nil {
					t.Fatal(err)
				}
				leave(t, c, conn, m.ID(), id)
				line.Close()
				conn.Close()
			}
			eventually(t, func() error {
				all, err := c.Topics(soon(t))
				if err != nil {
					t.Fatal(err)
				}
				for _, i := range all { // live, and kept by those who had waited
					if !i.Ended || i.Publishers > 0 || len(i.Quarantined) > 0 {
						return fmt.Errorf("%+v", i)
					}
				}
				return nil
			})
		})
	}
}

// TestExclusiveLeavesToMapped: whoever would drop the publisher while the host walks
// its ring leaves that to the one who walks.
func TestExclusiveLeavesToMapped(t *testing.T) {
	for name, leave := range exclusiveLeaves {
		t.Run(name, func(t *testing.T) {
			c := dial(t, Config{Dir: busRoot(t)})
			m, err := c.dir.JoinMembers()
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			conn := rawHello(t, c, m.ID())
			id := exclusiveGrant(t, conn, "t")
			h := c.host
			h.mu.Lock()
			topic := h.topics["t"]
			d := topic.publishers[id.Slot]
			d.state = holderMapping
			h.mu.Unlock()
			leave(t, c, conn, m.ID(), id)
			h.mu.Lock()
			if !d.unwanted || topic.publishers[id.Slot] != d {
				t.Errorf("unwanted: %v, publishers %v", d.unwanted, topic.publishers)
			}
			h.mu.Unlock()
			if h.settleMapped(d, false) {
				t.Error("it stays")
			}
			h.mu.Lock()
			defer h.mu.Unlock()
			if len(topic.publishers) > 0 || h.topics["t"] != nil {
				t.Errorf("publishers %v, topics %v", topic.publishers, h.topics)
			}
		})
	}
}

// TestExclusiveContextEndsWhileItIsMapped: the same by the client's calls. Whoever
// gave up may ask for the topic again at once.
func TestExclusiveContextEndsWhileItIsMapped(t *testing.T) {
	const rounds, waiters = 15, 60
	root := busRoot(t)
	participant(t, root, "idle", "-", "-") // the host
	c := dial(t, Config{Dir: root, NeverHost: true})
	for i := range rounds {
		topic := fmt.Sprint("t", i)
		line := waitInLine(t, c, topic, waiters)
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(1+i%10)*time.Millisecond)
		g, err := c.Publisher(ctx, PublisherRequest{Topic: topic, Exclusive: true, Capacity: 4 << 10})
		cancel()
		if err == nil {
			g.Release()
		} else if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		if _, err := c.Host(soon(t)); err != nil {
			t.Fatal(err)
		}
		line.Close()
	}
}

// TestExclusiveThatCannotBeMappedLeavesNothing: the host fails to map the log anew. It
// gives back all that the topic had, the publisher's slot included.
func TestExclusiveThatCannotBeMappedLeavesNothing(t *testing.T) {
	c := dial(t, Config{Dir: busRoot(t)})
	m, err := c.dir.JoinMembers()
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	conn := rawHello(t, c, m.ID())
	before := openDescriptors(t)
	id := exclusiveGrant(t, conn, "t")
	c.host.mu.Lock()
	topic := c.host.topics["t"]
	c.host.mu.Unlock()
	eventually(t, func() error { // nobody looks at the descriptors any more
		c.host.mu.Lock()
		defer c.host.mu.Unlock()
		if topic.looks > 0 {
			return errors.New("the grant is still being sent")
		}
		return nil
	})
	topic.regions.log.rw.File().Close() // stands for want of memory or descriptors
	if a := ask(t, conn, mappedRequest{NewHeader(typeMapped, 3), id}); a.Type != typeError {
		t.Fatalf("%+v", a)
	}
	eventually(t, func() error {
		c.host.mu.Lock()
		defer c.host.mu.Unlock()
		if topic.refs != 0 || len(topic.publishers) != 0 {
			return fmt.Errorf("%d references, publishers %v", topic.refs, topic.publishers)
		}
		if n := openDescriptors(t); n > before {
			return fmt.Errorf("%d descriptors, there were %d", n, before)
		}
		return nil
	})
	if a := ask(t, conn, publishRequest{Header: NewHeader(typePublish, 4), Topic: "t"}); a.Type != typeGrant {
		t.Errorf("the name is not free: %+v", a)
	}
}
