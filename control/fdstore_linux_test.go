package control

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/shmbus/shmbus/ring"
)

// manager is a service manager's socket, and what it was told.
type manager struct {
	mu    sync.Mutex
	told  []string
	marks int
}

func newManager(t *testing.T) *manager {
	t.Helper()
	name := filepath.Join(shortDir(t), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", name)
	m := &manager{}
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := conn.Read(b) // descriptors are dropped
			if err != nil {
				return
			}
			m.mu.Lock()
			m.told = append(m.told, strings.ReplaceAll(string(b[:n]), "\n", " "))
			m.mu.Unlock()
		}
	}()
	return m
}

// heard returns all that was told until now.
func (m *manager) heard(t *testing.T) string {
	t.Helper()
	m.marks++
	mark, all := fmt.Sprint("MARK=", m.marks), ""
	must(t, notifyManager(mark))
	eventually(t, func() error {
		m.mu.Lock()
		defer m.mu.Unlock()
		if all = strings.Join(m.told, "\n"); !strings.HasSuffix(all, mark) {
			return errors.New("there is more to be read")
		}
		return nil
	})
	return all
}

// storedOf is a topic as it comes out of the store.
func storedOf(t *testing.T, label string, id uint64, seal bool) *storedTopic {
	t.Helper()
	s := &storedTopic{id: slotID{Topic: label, Ring: id}, files: map[string]*os.File{}}
	for i, f := range regionsOf(t, ring.Options{Capacity: ring.MinCapacity, Label: label, ID: id, Fenced: true}, seal) {
		fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		must(t, err)
		s.files[regionNames[i]] = os.NewFile(uintptr(fd), "stored")
	}
	return s
}

// storingHost hosts as Serve does under a service manager.
func storingHost(t *testing.T, root string, stored ...*storedTopic) *host {
	t.Helper()
	h, m, d, err := becomeHost(Config{Dir: root, Bus: DefaultBus, Host: HostConfig{Keep: true, store: true, stored: stored}},
		nil, slog.New(slog.DiscardHandler))
	must(t, err)
	t.Cleanup(func() { h.close(); m.Close(); d.Close() })
	return h
}

// withoutDescriptors runs f while this process cannot have another one.
func withoutDescriptors(t *testing.T, f func()) {
	t.Helper()
	var old unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &old))
	free, err := os.Open(os.DevNull) // the lowest number that is free
	must(t, err)
	least := uint64(free.Fd())
	free.Close()
	must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: least, Max: old.Max}))
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &old)
	f()
}

// What cannot be brought back for want of descriptors stays in the store, and nobody
// makes the topic anew meanwhile; what is no topic does not.
func TestStoreKeepsWhatThereIsNoRoomFor(t *testing.T) {
	m := newManager(t)
	root := busRoot(t)
	h := storingHost(t, root)
	news, junk := storedOf(t, "news", 0x77, true), storedOf(t, "junk", 0x78, false)
	withoutDescriptors(t, func() { h.adoptStored([]*storedTopic{news}) })
	h.adoptStored([]*storedTopic{junk})
	told := m.heard(t)
	for _, region := range []string{regionLog, regionCursors} {
		if name := storeName(region, 0x77, "news"); strings.Contains(told, name) {
			t.Errorf("of what is kept the manager heard:\n%s", told)
		}
		if name := storeName(region, 0x78, "junk"); !strings.Contains(told, "FDSTOREREMOVE=1 FDNAME="+name) {
			t.Errorf("it was not told to drop %s:\n%s", name, told)
		}
	}
	c := dial(t, Config{Dir: root, NeverHost: true})
	refused(t, c, PublisherRequest{Topic: "news"}, ErrNoDescriptors, "kept as it was found", "start the host again", "shmbus rm")
	publisher(t, c, PublisherRequest{Topic: "junk"})
	if err := c.Remove(soon(t), "news"); err != nil {
		t.Error(err)
	}
	if told := m.heard(t); !strings.Contains(told, "FDSTOREREMOVE=1 FDNAME="+storeName(regionLog, 0x77, "news")) {
		t.Errorf("rm does not let go of it:\n%s", told)
	}
	publisher(t, c, PublisherRequest{Topic: "news"})
}

// Only what is wrong with the memory itself makes it no topic.
func TestWhatIsNoTopic(t *testing.T) {
	for err, want := range map[error]bool{
		fmt.Errorf("%w: cursors: it belongs to uid 7", ErrRegion):          true,
		fmt.Errorf("log: %w", ring.ErrCorrupt):                             true,
		fmt.Errorf("%w: log: reopen: %w", ErrRegion, unix.EACCES):          false,
		fmt.Errorf("%w: map: %w", ErrNoMemory, unix.ENOMEM):                false,
		fmt.Errorf("%w: %w", ErrLayout, ring.ErrLayoutVersion):             false,
		fmt.Errorf("take over: %w", ring.ErrNoBarrier):                     false,
		fmt.Errorf("%w: %w: %w", ErrNoDescriptors, ErrRegion, unix.EMFILE): false,
	} {
		if isNoTopic(err) != want {
			t.Errorf("%v: no topic %v, want %v", err, !want, want)
		}
	}
}

// The store has the ring that a topic had before; while the server was away a client
// hosted, and the topic was made anew. The one that is in use is the topic.
func TestLivingRingBeatsTheStoredOne(t *testing.T) {
	m := newManager(t)
	root := busRoot(t)
	first, err := Dial(soon(t), Config{Dir: root})
	must(t, err)
	b := dial(t, Config{Dir: root, NeverHost: true})
	p := publisher(t, b, PublisherRequest{Topic: "news"})
	must(t, first.Close())
	storingHost(t, root, storedOf(t, "news", 0x77, true), storedOf(t, "other", 0x78, true))
	c := dial(t, Config{Dir: root, NeverHost: true})
	s := subscriber(t, c, SubscriberRequest{Topic: "news"})
	if s.id.Ring != p.id.Ring {
		t.Errorf("the publisher is in ring %#x, who joins gets ring %#x", p.id.Ring, s.id.Ring)
	}
	if s := subscriber(t, c, SubscriberRequest{Topic: "other", NoWait: true}); s.id.Ring != 0x78 {
		t.Errorf("the other topic came back as ring %#x", s.id.Ring)
	}
	told := m.heard(t)
	for text, want := range map[string]bool{
		"FDSTOREREMOVE=1 FDNAME=" + storeName(regionLog, 0x77, "news"):      true,
		"FDSTORE=1 FDNAME=" + storeName(regionLog, p.id.Ring, "news"):       true,
		"FDSTOREREMOVE=1 FDNAME=" + storeName(regionLog, p.id.Ring, "news"): false,
		"FDSTOREREMOVE=1 FDNAME=" + storeName(regionLog, 0x78, "other"):     false,
	} {
		if strings.Contains(told, text) != want {
			t.Errorf("the manager was told %s: %v, want %v", text, !want, want)
		}
	}
}

// Who asks before the one is back that lives in a newer ring is not let into the older.
func TestNewcomersWaitForTheLivingRing(t *testing.T) {
	newManager(t)
	root := busRoot(t)
	first, err := Dial(soon(t), Config{Dir: root})
	must(t, err)
	b := dial(t, Config{Dir: root, NeverHost: true})
	p := publisher(t, b, PublisherRequest{Topic: "news"})
	b.cancel() // the test comes back in its place
	b.keeper.Wait()
	must(t, first.Close())
	h := storingHost(t, root, storedOf(t, "news", 0x77, true))
	c := dial(t, Config{Dir: root, NeverHost: true})
	got := make(chan *Grant, 1)
	go func() {
		g, err := c.Subscriber(soon(t), SubscriberRequest{Topic: "news"})
		if err != nil {
			t.Error(err)
		}
		got <- g
	}()
	eventually(t, func() error {
		h.mu.Lock()
		defer h.mu.Unlock()
		if len(h.waiters["news"]) == 0 && len(got) == 0 {
			return errors.New("nobody waits for the topic")
		}
		return nil
	})
	conn := rawConn(t, c)
	if e := ask(t, conn, helloRequest{Header: NewHeader(typeHello, 1), Member: b.memberID(), Returning: true, Membarrier: true}); e.Type != typeWelcome {
		t.Fatalf("hello: %+v", e)
	}
	if e := ask(t, conn, offerRequest{NewHeader(typeOffer, 2), p.id}, p.attachment.files()...); e.Type != typeOK {
		t.Errorf("the ring in use: %+v", e)
	}
	if e := ask(t, conn, plainRequest{NewHeader(typeReady, 3)}); e.Type != typeOK {
		t.Errorf("ready: %+v", e)
	}
	if g := <-got; g != nil && g.id.Ring != p.id.Ring {
		t.Errorf("who waited gets ring %#x, want %#x", g.id.Ring, p.id.Ring)
	}
}

// The ring in use is the one that the store has: it is not stored again, nor dropped.
func TestLivingRingIsTheStoredOne(t *testing.T) {
	m := newManager(t)
	root := busRoot(t)
	first, err := Dial(soon(t), Config{Dir: root})
	must(t, err)
	b := dial(t, Config{Dir: root, NeverHost: true})
	p := publisher(t, b, PublisherRequest{Topic: "news"})
	s := &storedTopic{id: slotID{Topic: "news", Ring: p.id.Ring}, files: map[string]*os.File{}}
	for i, f := range p.attachment.files() {
		fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		must(t, err)
		s.files[regionNames[i]] = os.NewFile(uintptr(fd), "stored")
	}
	must(t, first.Close())
	storingHost(t, root, s)
	c := dial(t, Config{Dir: root, NeverHost: true})
	counts(t, c, "news", 1, 0)
	if told := m.heard(t); strings.Contains(told, "news") {
		t.Errorf("the manager was told:\n%s", told)
	}
	must(t, p.Release())
	if err := c.Remove(soon(t), "news"); err != nil {
		t.Error(err)
	}
	if told := m.heard(t); !strings.Contains(told, "FDSTOREREMOVE=1 FDNAME="+storeName(regionLog, p.id.Ring, "news")) {
		t.Errorf("the manager was told:\n%s", told)
	}
}

// Who lives in a newer ring comes late. A stored topic that nobody has used since it
// came back gives way; one that somebody has used does not.
func TestUnusedStoredTopicGivesWay(t *testing.T) {
	newManager(t)
	root := busRoot(t)
	first, err := Dial(soon(t), Config{Dir: root})
	must(t, err)
	b := dial(t, Config{Dir: root, NeverHost: true})
	news, used := publisher(t, b, PublisherRequest{Topic: "news"}), publisher(t, b, PublisherRequest{Topic: "used"})
	b.cancel() // it lives, and does not come back
	b.keeper.Wait()
	must(t, first.Close())
	storingHost(t, root, storedOf(t, "news", 0x77, true), storedOf(t, "used", 0x78, true))
	c := dial(t, Config{Dir: root, NeverHost: true})
	must(t, subscriber(t, c, SubscriberRequest{Topic: "used", NoWait: true}).Release())
	conn := rawHello(t, c, b.memberID())
	if e := ask(t, conn, offerRequest{NewHeader(typeOffer, 2), news.id}, news.attachment.files()...); e.Type != typeOK {
		t.Errorf("the ring in use: %+v", e)
	}
	if e := ask(t, conn, offerRequest{NewHeader(typeOffer, 3), used.id}, used.attachment.files()...); e.Code != "orphaned" {
		t.Errorf("a ring beside one that was used: %+v", e)
	}
	if s := subscriber(t, c, SubscriberRequest{Topic: "news"}); s.id.Ring != news.id.Ring {
		t.Errorf("who joins gets ring %#x, want %#x", s.id.Ring, news.id.Ring)
	}
}
