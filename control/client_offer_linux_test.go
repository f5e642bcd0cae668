package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/shmbus/shmbus/ring"
)

// A host without descriptors for an offer refuses that offer. It costs its member
// neither the connection nor what it has offered before, and the slot stays its own.
func TestOfferWithoutRoomFailsAlone(t *testing.T) {
	root := busRoot(t)
	first, err := Dial(soon(t), Config{Dir: root})
	must(t, err)
	b := dial(t, Config{Dir: root, NeverHost: true})
	p := publisher(t, b, PublisherRequest{Topic: "t"})
	kept := subscriber(t, b, SubscriberRequest{Topic: "t", Mode: ring.Reliable})
	r := newReader(t, kept, ring.Reliable)
	late := subscriber(t, b, SubscriberRequest{Topic: "t", Mode: ring.Reliable})
	b.cancel() // the test comes back in its place
	b.keeper.Wait()
	must(t, first.Close())
	host := dial(t, Config{Dir: root})
	conn := rawConn(t, host)
	hello := helloRequest{Header: NewHeader(typeHello, 1), Member: b.memberID(), Returning: true, Membarrier: true}
	if e := ask(t, conn, hello); e.Type != typeWelcome {
		t.Fatalf("hello: %+v", e)
	}
	offer := func(id uint64, g *Grant) errorMessage {
		return ask(t, conn, offerRequest{NewHeader(typeOffer, id), g.id}, g.attachment.files()...)
	}
	for i, g := range []*Grant{p, kept} {
		if e := offer(uint64(2+i), g); e.Type != typeOK {
			t.Fatalf("offer: %+v", e)
		}
	}
	withoutDescriptors(t, func() {
		if e := offer(4, late); e.Code != "descriptors" || e.ID != 4 {
			t.Errorf("without descriptors: %+v", e)
		}
	})
	if e := ask(t, conn, plainRequest{NewHeader(typeReady, 5)}); e.Type != typeOK {
		t.Fatalf("ready: %+v", e)
	}
	if e := offer(6, late); e.Type != typeOK {
		t.Errorf("offered again: %+v", e)
	}
	counts(t, host, "t", 1, 2)
	must(t, publish(p, "x"))
	r.expect(t, "x")
	withoutDescriptors(t, func() {
		if e := ask(t, conn, plainRequest{NewHeader(typePing, 7)}, os.Stdin); e.Code != "unexpected-descriptors" {
			t.Errorf("a ping with descriptors: %+v", e)
		}
	})
	ended(t, conn)
}

// shortHost hosts with few descriptors, until it is told that it has more.
var _ = childProgram("short-host", func(args []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*watchdog)
	defer cancel()
	c, err := Dial(ctx, Config{Dir: args[0]})
	if err != nil {
		return err
	}
	defer c.Close()
	var all unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &all); err != nil {
		return err
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 48, Max: all.Max}); err != nil {
		return err
	}
	fmt.Println("ready")
	var word string
	if _, err := fmt.Scanln(&word); err != nil {
		return err
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &all); err != nil {
		return err
	}
	fmt.Println("more")
	untilParentEnds()
	return nil
})

// logText is what was logged.
type logText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logText) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logText) has(s string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), s)
}

// Topics that a new host had no room for come back when it has.
func TestOffersAreRepeated(t *testing.T) {
	root := busRoot(t)
	first, err := Dial(soon(t), Config{Dir: root})
	must(t, err)
	said := &logText{}
	c := dial(t, Config{Dir: root, NeverHost: true, Logger: slog.New(slog.NewTextHandler(said, nil))})
	const topics = 12
	for i := range topics {
		publisher(t, c, PublisherRequest{Topic: fmt.Sprint("t", i), Capacity: ring.MinCapacity})
	}
	host := startChild(t, os.Getuid(), os.Getgid(), "short-host", root)
	expectLines(t, host, "ready")
	must(t, first.Close())
	eventually(t, func() error {
		if !said.has("msg=offer ") {
			return errors.New("no offer was refused")
		}
		return nil
	})
	fmt.Fprintln(host.stdin, "more")
	expectLines(t, host, "more")
	for i := range topics {
		subscriber(t, c, SubscriberRequest{Topic: fmt.Sprint("t", i)})
	}
}
