package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/shmbus/shmbus/ring"
	"github.com/shmbus/shmbus/shm"
)

// rawConn is a connection whose messages a test writes by hand.
func rawConn(t *testing.T, c *Client) *Conn {
	t.Helper()
	conn, err := dialHost(soon(t), c.dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// ask sends a message and returns the answer.
func ask(t *testing.T, conn *Conn, m any, files ...*os.File) errorMessage {
	t.Helper()
	if err := conn.Send(time.Now().Add(watchdog), m, files...); err != nil {
		t.Fatal(err)
	}
	return next(t, conn)
}

// next is the next message of the host, as an error message (of which other
// messages have the header).
func next(t *testing.T, conn *Conn) errorMessage {
	t.Helper()
	raw, files, err := conn.Receive(time.Now().Add(watchdog))
	if err != nil {
		t.Fatal(err)
	}
	CloseFiles(files)
	var m errorMessage
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// rawHello joins by hand as the given member (0: none).
func rawHello(t *testing.T, c *Client, member uint64) *Conn {
	t.Helper()
	conn := rawConn(t, c)
	m := ask(t, conn, helloRequest{Header: NewHeader(typeHello, 1), Member: member, Program: "raw", Membarrier: true})
	if m.Type != typeWelcome || m.ID != 1 {
		t.Fatalf("hello: %+v", m)
	}
	return conn
}

// ended fails unless the host has closed the connection.
func ended(t *testing.T, conn *Conn) {
	t.Helper()
	if raw, _, err := conn.Receive(time.Now().Add(watchdog)); !errors.Is(err, io.EOF) {
		t.Errorf("the connection lives on: %s, %v", raw, err)
	}
}

// rawBytes is sent as it is.
type rawBytes string

func (b rawBytes) MarshalJSON() ([]byte, error) { return []byte(b), nil }

func TestMalformedMessageCostsItsSenderTheConnection(t *testing.T) {
	c := dial(t, Config{Dir: busRoot(t)})
	witness := rawHello(t, c, 0)
	for name, m := range map[string]any{
		"no version":   rawBytes(`{"type":"ping","id":2}`),
		"an array":     rawBytes(`[1,2]`),
		"no type":      rawBytes(`{"version":1,"id":2}`),
		"unknown type": rawBytes(`{"version":1,"type":"frobnicate","id":2}`),
		"wrong field":  rawBytes(`{"version":1,"type":"publish","id":2,"topic":7}`),
		"bad slot":     rawBytes(`{"version":1,"type":"release","id":2,"topic":"t","ring":1,"role":"publisher","slot":64,"generation":1}`),
		"bad role":     rawBytes(`{"version":1,"type":"offer","id":2,"topic":"t","ring":1,"role":"king","slot":1,"generation":1}`),
		"bad mode":     rawBytes(`{"version":1,"type":"subscribe","id":2,"topic":"t","mode":"maybe"}`),
		"bad start":    rawBytes(`{"version":1,"type":"subscribe","id":2,"topic":"t","start":{"from":"yesterday"}}`),
		"second hello": helloRequest{Header: NewHeader(typeHello, 2)},
		"huge string":  rawBytes(`{"version":1,"type":"` + strings.Repeat("x", 60<<10) + `","id":2}`),
	} {
		t.Run(name, func(t *testing.T) {
			conn := rawHello(t, c, 0)
			if e := ask(t, conn, m); e.Type != typeError || e.Code != "malformed" {
				t.Errorf("got %+v", e)
			}
			ended(t, conn)
		})
	}
	if m := ask(t, witness, plainRequest{NewHeader(typePing, 9)}); m.Type != typeOK || m.ID != 9 {
		t.Errorf("somebody else's connection: %+v", m)
	}
}

func TestGarbageOversizedAndEmptyMessages(t *testing.T) {
	c := dial(t, Config{Dir: busRoot(t)})
	witness := rawHello(t, c, 0)
	for name, b := range map[string][]byte{
		"garbage":   []byte("\x00\xff\x7fELF not JSON"),
		"oversized": []byte(strings.Repeat("x", MaxMessage+1)),
		"empty":     {},
	} {
		t.Run(name, func(t *testing.T) {
			for _, hello := range []bool{false, true} {
				conn := rawConn(t, c)
				if hello {
					conn = rawHello(t, c, 0)
				}
				if _, err := conn.c.Write(b); err != nil {
					t.Fatal(err)
				}
				if len(b) > 0 {
					if e := next(t, conn); e.Code != "malformed" {
						t.Errorf("got %+v", e)
					}
				}
				ended(t, conn)
			}
		})
	}
	if m := ask(t, witness, plainRequest{NewHeader(typePing, 9)}); m.Type != typeOK {
		t.Errorf("somebody else's connection: %+v", m)
	}
}

func TestOtherVersionIsRefusedInTheFrozenForm(t *testing.T) {
	c := dial(t, Config{Dir: busRoot(t)})
	conn := rawConn(t, c)
	if err := conn.Send(time.Now().Add(watchdog), rawBytes(`{"version":4711,"type":"hello","id":5,"new":[]}`)); err != nil {
		t.Fatal(err)
	}
	raw, _, err := conn.Receive(time.Now().Add(watchdog))
	if err != nil {
		t.Fatal(err)
	}
	var r map[string]any
	if err := json.Unmarshal(raw, &r); err != nil {
		t.Fatal(err)
	}
	for k, want := range map[string]any{"version": 1.0, "type": "error", "id": 5.0, "code": "version", "ours": 1.0, "theirs": 4711.0} {
		if r[k] != want {
			t.Errorf("%s: got %v, want %v", k, r[k], want)
		}
	}
	ended(t, conn)
}

func TestOnlyOffersCarryDescriptors(t *testing.T) {
	c := dial(t, Config{Dir: busRoot(t)})
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	conn := rawConn(t, c)
	if e := ask(t, conn, helloRequest{Header: NewHeader(typeHello, 1)}, null); e.Code != "unexpected-descriptors" {
		t.Fatalf("hello: %+v", e)
	}
	ended(t, conn)
	before := openDescriptors(t)
	for range 10 {
		conn := rawHello(t, c, 0)
		if e := ask(t, conn, plainRequest{NewHeader(typePing, 2)}, null, null, null); e.Code != "unexpected-descriptors" {
			t.Fatalf("ping: %+v", e)
		}
		ended(t, conn)
		conn.Close()
	}
	eventually(t, func() error {
		if n := openDescriptors(t); n > before {
			return fmt.Errorf("%d descriptors, %d before", n, before)
		}
		return nil
	})
}

func TestHelloIsAskedForAndChecked(t *testing.T) {
	c := dial(t, Config{Dir: busRoot(t)})
	conn := rawConn(t, c)
	if e := ask(t, conn, plainRequest{NewHeader(typePing, 1)}); e.Code != "malformed" {
		t.Errorf("ping first: %+v", e)
	}
	ended(t, conn)
	conn = rawConn(t, c)
	if e := ask(t, conn, helloRequest{Header: NewHeader(typeHello, 1), Member: c.memberID() ^ 1<<40}); e.Code != "malformed" {
		t.Errorf("a member id that nobody holds: %+v", e)
	}
	ended(t, conn)
	conn = rawHello(t, c, 0)
	if e := ask(t, conn, publishRequest{Header: NewHeader(typePublish, 2), Topic: "t"}); e.Code != "permission" {
		t.Errorf("publish without a member id: %+v", e)
	}
	if e := ask(t, conn, publishRequest{Header: NewHeader(typePublish, 3), Topic: "../t"}); e.Code != "name" || e.ID != 3 {
		t.Errorf("a bad name costs the connection: %+v", e)
	}
}

func TestSilentConnectionsAreFewAndEnd(t *testing.T) {
	c := dial(t, Config{Dir: busRoot(t), Host: HostConfig{MaxUnknown: 3, Handshake: time.Second}})
	var silent []*Conn
	eventually(t, func() error {
		c.host.mu.Lock()
		unknown := c.host.owners.unknown
		c.host.mu.Unlock()
		if unknown != 0 { // our own hello, or those of the last try
			return fmt.Errorf("%d unknown", unknown)
		}
		silent = []*Conn{rawConn(t, c), rawConn(t, c), rawConn(t, c)}
		// It may come in after all, if one of them had its time by then.
		if e := next(t, rawConn(t, c)); e.Code != "too-many-clients" {
			return fmt.Errorf("a fourth was not refused: %+v", e)
		}
		return nil
	})
	for _, conn := range silent {
		if e := next(t, conn); e.Code != "malformed" || !strings.Contains(e.Message, "hello") {
			t.Errorf("got %+v", e)
		}
		ended(t, conn)
	}
	rawHello(t, c, 0)
}

func TestClientsAreLimited(t *testing.T) {
	config := Config{Dir: busRoot(t), Host: HostConfig{MaxClients: 2}}
	dial(t, config)
	b := dial(t, config)
	if _, err := Dial(soon(t), config); !errors.Is(err, ErrTooManyClients) {
		t.Errorf("got %v", err)
	}
	b.Close()
	eventually(t, func() error {
		c, err := Dial(soon(t), config)
		if err == nil {
			c.Close()
		}
		return err
	})
}

func TestMemberThatConnectsAgainTakesOver(t *testing.T) {
	config := Config{Dir: busRoot(t)}
	a := dial(t, config)
	b := dial(t, config)
	p := publisher(t, b, PublisherRequest{Topic: "t", Name: "p"})
	s := newReader(t, subscriber(t, a, SubscriberRequest{Topic: "t"}), ring.Reliable)
	for range 3 {
		b.mu.Lock()
		l := b.link
		b.mu.Unlock()
		if l != nil {
			l.conn.Close()
		}
		eventually(t, func() error {
			if i := counts(t, a, "t", 1, 1); len(i.Quarantined) > 0 {
				return fmt.Errorf("%+v", i)
			}
			b.mu.Lock()
			defer b.mu.Unlock()
			if b.link == nil || b.link == l {
				return errors.New("not back yet")
			}
			return nil
		})
		if err := publish(p, "x"); err != nil {
			t.Fatal(err)
		}
		s.expect(t, "x")
	}
}

// badOffer joins as a member and offers regions made by hand.
func badOffer(t *testing.T, c *Client, id slotID, files ...*os.File) errorMessage {
	t.Helper()
	m, err := c.dir.JoinMembers()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	conn := rawHello(t, c, m.ID())
	return ask(t, conn, offerRequest{NewHeader(typeOffer, 2), id}, files...)
}

// regionsOf makes the regions of a ring, sealed if asked.
func regionsOf(t *testing.T, o ring.Options, seal bool) []*os.File {
	t.Helper()
	g, err := o.Geometry()
	if err != nil {
		t.Fatal(err)
	}
	var files []*os.File
	var bytes [][]byte
	for _, n := range []int64{g.LogSize(), g.CursorSize()} {
		r, err := shm.Create("test", n)
		if err != nil {
			t.Fatal(err)
		}
		m, err := r.Map(true)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { m.Unmap(); r.Close() })
		if seal {
			if err := r.Seal(); err != nil {
				t.Fatal(err)
			}
		}
		files, bytes = append(files, r.File()), append(bytes, m.Bytes())
	}
	if err := ring.Format(bytes[0], bytes[1], o); err != nil {
		t.Fatal(err)
	}
	return files
}

func TestBadOffersAreRefused(t *testing.T) {
	c := dial(t, Config{Dir: busRoot(t)})
	o := ring.Options{Capacity: ring.MinCapacity, Label: "t", ID: 77, Fenced: true}
	id := slotID{Topic: "t", Ring: 77, Role: rolePublisher, Slot: 0, Generation: 1}
	good := regionsOf(t, o, true)
	other := o
	other.ID = 78
	wide := o
	wide.Subscribers = 10
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	empty, err := shm.Create("empty", 4096)
	if err != nil {
		t.Fatal(err)
	}
	defer empty.Close()
	if err := empty.Seal(); err != nil {
		t.Fatal(err)
	}
	wrongLabel := id
	wrongLabel.Topic = "u"
	for name, test := range map[string]struct {
		id    slotID
		files []*os.File
		code  string
	}{
		"unsealed":          {id, regionsOf(t, o, false), "region"},
		"short cursors":     {id, []*os.File{good[0], empty.File()}, "region"},
		"no ring":           {id, []*os.File{empty.File(), good[1]}, "region"},
		"swapped":           {id, []*os.File{good[1], good[0]}, "region"},
		"another's cursors": {id, []*os.File{good[0], regionsOf(t, other, true)[1]}, "corrupt"},
		"wrong label":       {wrongLabel, good, "region"},
		"wrong id":          {id, regionsOf(t, other, true), "region"},
		"wrong size":        {id, []*os.File{regionsOf(t, wide, true)[0], good[1]}, "region"},
		"not a memfd":       {id, []*os.File{null, null}, "region"},
		"one region":        {id, good[:1], "unexpected-descriptors"},
		"no slot":           {id, good, "orphaned"},
	} {
		t.Run(name, func(t *testing.T) {
			if e := badOffer(t, c, test.id, test.files...); e.Type != typeError || e.Code != test.code {
				t.Errorf("got %+v, want %s", e, test.code)
			}
		})
	}
	// A refused offer is in nobody's way.
	p := publisher(t, c, PublisherRequest{Topic: "t"})
	if !p.CreatedTopic {
		t.Error("a refused offer left a topic")
	}
	if e := badOffer(t, c, id, good...); e.Code != "orphaned" {
		t.Errorf("an offer under a taken name: %+v", e)
	}
}

func TestUnknownLayoutIsNamed(t *testing.T) {
	c := dial(t, Config{Dir: busRoot(t)})
	o := ring.Options{Capacity: ring.MinCapacity, Label: "t", ID: 77, Fenced: true}
	files := regionsOf(t, o, true)
	if _, err := files[0].WriteAt([]byte{99}, 8); err != nil { // the version behind the magic
		t.Fatal(err)
	}
	e := badOffer(t, c, slotID{Topic: "t", Ring: 77, Role: rolePublisher, Generation: 1}, files...)
	if e.Code != "layout" || !strings.Contains(e.Message, "99") || !strings.Contains(e.Message, fmt.Sprint(ring.LayoutVersion)) {
		t.Errorf("got %+v", e)
	}
}

// A client that asks and does not read is dropped; nobody else notices.
func TestClientThatDoesNotReadIsDropped(t *testing.T) {
	c := dial(t, Config{Dir: busRoot(t), Host: HostConfig{Send: time.Second}})
	conn := rawHello(t, c, 0)
	eventually(t, func() error {
		for range 1000 {
			err := conn.Send(time.Now().Add(time.Second), plainRequest{NewHeader(typePing, 2)})
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
				return err
			}
		}
		return errors.New("still connected")
	})
	if _, err := c.Host(soon(t)); err != nil {
		t.Error(err)
	}
}

func FuzzControlMessages(f *testing.F) {
	for _, s := range []string{
		`{"version":1,"type":"hello","id":1,"member":4096,"program":"x"}`,
		`{"version":1,"type":"offer","id":2,"topic":"t","ring":9,"role":"publisher","slot":3,"generation":5}`,
		`{"version":1,"type":"publish","id":3,"topic":"t","name":"p","capacity":4096}`,
		`{"version":1,"type":"subscribe","id":4,"topic":"t","mode":"lossy","start":{"from":"age","age":10}}`,
		`{"version":1,"type":"topics","id":5,"after":"a"}`, `{"version":2}`, `{"version":1,"type":"error","code":"version","ours":3}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, h, err := decodeRequest(raw)
		if err != nil {
			// Whatever it is, it can be refused in one message.
			var v *VersionError
			var answer any = newErrorMessage(h.ID, err)
			if errors.As(err, &v) {
				answer = Refuse(h)
			}
			if b, err := json.Marshal(answer); err != nil || len(b) > MaxMessage {
				t.Errorf("refusal of %d bytes: %v", len(b), err)
			}
			return
		}
		if m.head().Version != Version || m.head().Type != h.Type {
			t.Errorf("header %+v of %q", m.head(), raw)
		}
	})
}
