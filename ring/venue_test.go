package ring

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/shmbus/shmbus/shm"
)

// The conformance suite lays its rings out at a site: over heap memory, where
// the race detector sees every access; over memfds, mapped once for each role
// with just the rights of that role; or over memfds with half of the
// participants in a second process, this test binary executed again.
//
//	test ──▶ room (one ring at a site) ──▶ publisher, subscriber ──▶ member ──▶ desk ──▶ Producer, Consumer
//	                                                               (a process)   directly, or over a pipe

// hangLimit ends a test that makes no progress. Nothing here takes as long,
// even on a machine that is busy with other things. SHMBUS_WATCHDOG says it
// otherwise, for who expects a hang (internal/mutants).
var hangLimit = func() time.Duration {
	if d, err := time.ParseDuration(os.Getenv("SHMBUS_WATCHDOG")); err == nil {
		return d
	}
	return 2 * time.Minute
}()

// Sites are made once for this geometry; rooms use what they need of it.
const (
	siteCapacity    = 256 << 10
	sitePublishers  = 6
	siteSubscribers = 6
)

// config is one way to run the suite.
type config struct {
	venue  string // "heap", "memfd" or "processes"
	fenced bool
	start  uint64
	name   string
}

// starts are the positions the suite begins at: just below where something
// wraps around, so that it happens during every test.
var starts = []struct {
	name string
	at   uint64
}{
	{"0", 0},
	{"2^32", 1<<32 - 1536},
	{"8GiB", 8<<30 - 1536}, // the tag in the commit word
	{"2^64", 1<<64 - 1536},
}

func configs(venue string) []config {
	var all []config
	for _, fenced := range []bool{false, true} {
		if !fenced && !shm.HaveMembarrier() {
			continue // such a process is refused on a biased ring
		}
		mode := "biased"
		if fenced {
			mode = "fenced"
		}
		for _, s := range starts {
			all = append(all, config{venue, fenced, s.at, fmt.Sprintf("%s/start=%s", mode, s.name)})
		}
	}
	return all
}

// roles are the mappings of one process, by region and right.
type roles struct {
	logRW, logRO, cursorsRW, cursorsRO, guestsRW, guestsRO []byte
	aux                                                    []byte // a page for the tests' own words
}

// site is memory for rings, and the processes at it.
type site struct {
	config  config
	maps    roles
	members []*member
	files   []*os.File
}

// newSite makes a site that lives as long as the test.
func newSite(t testing.TB, c config) *site {
	t.Helper()
	s := &site{config: c}
	g, err := Options{Capacity: siteCapacity, Publishers: sitePublishers, Subscribers: siteSubscribers, ID: 1}.Geometry()
	if err != nil {
		t.Fatal(err)
	}
	if c.venue == "heap" {
		log, cursors, guests := shm.AlignedBytes(int(g.LogSize())), shm.AlignedBytes(int(g.CursorSize())), shm.AlignedBytes(int(g.CursorSize()))
		s.maps = roles{log, log, cursors, cursors, guests, guests, shm.AlignedBytes(pageSize)}
	} else {
		for _, size := range []int64{g.LogSize(), g.CursorSize(), g.CursorSize(), pageSize} {
			s.files = append(s.files, newRegionFile(t, size))
		}
		if s.maps, err = mapRoles(t, s.files); err != nil {
			t.Fatal(err)
		}
	}
	s.members = []*member{{desk: newDesk(s.maps)}}
	if c.venue == "processes" {
		s.members = append(s.members, startMember(t, s.files))
	}
	return s
}

func newRegionFile(t testing.TB, size int64) *os.File {
	t.Helper()
	r, err := shm.Create("ring-test", size)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	if err == nil {
		err = errors.Join(r.Allocate(0, size), r.Seal())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r.File()
}

// mapRoles maps the regions of a site: each role sees what it may write
// writable and all else read-only, so a stray store ends the process.
func mapRoles(t testing.TB, files []*os.File) (roles, error) {
	var m roles
	for i, targets := range [][2]*[]byte{{&m.logRW, &m.logRO}, {&m.cursorsRW, &m.cursorsRO}, {&m.guestsRW, &m.guestsRO}, {&m.aux, nil}} {
		for ro, target := range targets {
			if target == nil {
				continue
			}
			b, err := mapFile(t, files[i], ro == 0)
			if err != nil {
				return m, err
			}
			*target = b
		}
	}
	return m, nil
}

// mapFile maps a region through a descriptor of its own, as a receiver would.
func mapFile(t testing.TB, f *os.File, writable bool) ([]byte, error) {
	copied, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	r, err := shm.FromFile(copied)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	m, err := r.Map(writable)
	if err != nil {
		return nil, err
	}
	if t != nil {
		t.Cleanup(func() { _ = m.Unmap() })
	}
	return m.Bytes(), nil
}

// room is one ring at a site, with its host.
type room struct {
	t       testing.TB
	site    *site
	options Options
	ring    *Ring // the host's view: all writable
	host    *Host
	gen     uint32
}

// room lays a fresh ring out at the site and opens it everywhere.
func (s *site) room(t testing.TB, capacity uint64) *room {
	t.Helper()
	return s.roomWith(t, capacity, false)
}

// roomWith does so with a guest region or without: with one, publishers take a
// longer way, because they look whether guests sleep.
func (s *site) roomWith(t testing.TB, capacity uint64, guests bool) *room {
	t.Helper()
	o := Options{
		Capacity: capacity, Publishers: sitePublishers, Subscribers: siteSubscribers,
		Fenced: s.config.fenced, Start: s.config.start, Label: "suite", ID: 0x5eed,
	}
	var region []byte
	if guests {
		region = s.maps.guestsRW
	}
	r := layOut(t, s.maps.logRW, s.maps.cursorsRW, region, o)
	r.site = s
	watch(t, r.ring)
	clear(s.maps.aux)
	for _, m := range s.members {
		if err := m.call(t.Context(), request{Op: "open", Wait: guests}).err(); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// layOut formats a ring at the beginning of these regions; guests may be nil.
func layOut(t testing.TB, log, cursors, guests []byte, o Options) *room {
	t.Helper()
	g, err := o.Geometry()
	if err != nil {
		t.Fatal(err)
	}
	log, cursors = log[:g.LogSize()], cursors[:g.CursorSize()]
	clear(log)
	clear(cursors)
	if err := Format(log, cursors, o); err != nil {
		t.Fatal(err)
	}
	if guests != nil {
		guests = guests[:g.CursorSize()]
		clear(guests)
		if err := FormatGuests(guests, o); err != nil {
			t.Fatal(err)
		}
	}
	ring, err := Open(log, cursors, guests)
	if err != nil {
		t.Fatal(err)
	}
	r := &room{t: t, options: o, ring: ring, host: ring.Host(0)}
	if _, err := r.host.TakeOver(); err != nil {
		t.Fatal(err)
	}
	return r
}

// newHeapRoom lays a ring out over heap memory, for tests that reach inside.
func newHeapRoom(t testing.TB, o Options) *room {
	t.Helper()
	if o.Capacity == 0 {
		o.Capacity = MinCapacity
	}
	if o.Publishers == 0 {
		o.Publishers, o.Subscribers = sitePublishers, siteSubscribers
	}
	o.ID = 0x5eed
	o.Fenced = o.Fenced || !shm.HaveMembarrier()
	g, err := o.Geometry()
	if err != nil {
		t.Fatal(err)
	}
	r := layOut(t, shm.AlignedBytes(int(g.LogSize())), shm.AlignedBytes(int(g.CursorSize())), nil, o)
	watch(t, r.ring)
	return r
}

// generation returns one that was not used in this room.
func (r *room) generation() uint32 {
	r.gen++
	return r.gen
}

// local returns a producer of a fresh grant, in this process, to reach inside.
func (r *room) local(slot int) *Producer {
	r.t.Helper()
	gen := r.generation()
	err := r.host.AddPublisher(slot, gen, uint64(gen), fmt.Sprintf("local-%d", slot))
	if err != nil {
		r.t.Fatal(err)
	}
	p, err := r.ring.Producer(slot, gen)
	if err != nil {
		r.t.Fatal(err)
	}
	return p
}

// localConsumer returns a consumer of a fresh grant in this process.
func (r *room) localConsumer(slot int, spec SubscriberSpec) *Consumer {
	r.t.Helper()
	spec.Slot, spec.Gen = slot, r.generation()
	a, err := r.host.AddSubscriber(r.t.Context(), spec)
	if err != nil {
		r.t.Fatal(err)
	}
	c, err := r.ring.Consumer(slot, spec.Gen, a, ConsumerOptions{Mode: spec.Mode, Guest: spec.Guest, Wait: Park})
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

// watch ends the program if the test hangs, with the state of the ring and of
// all goroutines: one in a futex cannot be stopped otherwise.
func watch(t testing.TB, r *Ring) {
	t.Helper()
	if _, fuzz := t.(*testing.F); fuzz {
		return // it runs for as long as it is told; bounded watches each input
	}
	name := t.Name()
	dog := time.AfterFunc(hangLimit, func() {
		fmt.Fprintf(os.Stderr, "%s hangs\nring: %+v\npublishers: %+v\nsubscribers: %+v\n%s\n", name, r.Stat(), r.Publishers(), r.Subscribers(), allStacks())
		os.Exit(3)
	})
	t.Cleanup(func() { dog.Stop() })
}

func allStacks() []byte {
	b := make([]byte, 1<<20)
	return bytes.TrimSpace(b[:runtime.Stack(b, true)])
}

// until polls a condition; the watchdog of the room ends it if it never holds.
func until(ok func() bool) {
	for !ok() {
		runtime.Gosched()
	}
}
