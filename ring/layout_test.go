package ring

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"unsafe"

	"github.com/shmbus/shmbus/shm"
)

var update = flag.Bool("update", false, "write testdata/golden.hex anew: only together with a new LayoutVersion")

const goldenFile = "testdata/golden.hex"

// TestGolden: the bytes of a ring, fresh and with one message in it, are those
// of testdata/golden.hex. Programs of other versions, and in other languages,
// read them. Whoever changes them raises LayoutVersion in the same change.
func TestGolden(t *testing.T) {
	o := Options{Capacity: MinCapacity, Publishers: 1, Subscribers: 1, Start: 1<<32 - 64, Schema: 0x01020304, Label: "golden", ID: 0x1122334455667788, Fenced: true}
	g, err := o.Geometry()
	if err != nil {
		t.Fatal(err)
	}
	r := layOut(t, shm.AlignedBytes(int(g.LogSize())), shm.AlignedBytes(int(g.CursorSize())), shm.AlignedBytes(int(g.CursorSize())), o)
	r.ring.log.created = 0x0a0b0c0d0e0f
	got := fmt.Sprintf("layout version %d\n", LayoutVersion)
	dump := func(what string, b []byte) { got += fmt.Sprintf("\n%s\n%s", what, dumpLines(b)) }
	dump("log header, fresh", r.ring.logBytes[:headerPage])
	dump("cursor header, fresh", r.ring.cursorBytes[:headerPage])
	dump("guest header, fresh", r.ring.guestBytes[:headerPage])

	if err := r.host.AddPublisher(0, 3, 0xabcdef, "the publisher"); err != nil {
		t.Fatal(err)
	}
	a, err := r.host.AddSubscriber(t.Context(), SubscriberSpec{Gen: 5, Member: 0xfedcba, Name: "the subscriber", MaxLag: 77})
	if err != nil {
		t.Fatal(err)
	}
	p, err := r.ring.Producer(0, 3)
	if err != nil {
		t.Fatal(err)
	}
	c, err := r.ring.Consumer(0, 5, a, ConsumerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.TryPublish([]byte("golden message"), 0x12345678, 0x0102030405060708); err != nil {
		t.Fatal(err)
	}
	if m, err := c.Next(); err != nil || string(m.Payload) != "golden message" {
		t.Fatalf("%+v, %v", m, err)
	}
	c.Release()
	off, n := g.DataRange()
	dump("log header, one publisher, one subscriber, one message", r.ring.logBytes[:headerPage])
	dump("publisher block", blockBytes(r.ring.logBytes, g.PublisherBlock, 0))
	dump("host block", blockBytes(r.ring.logBytes, g.PublisherBlock, g.HostSlot()))
	dump("subscriber block", blockBytes(r.ring.cursorBytes, g.SubscriberBlock, 0))
	dump("records", r.ring.logBytes[off:off+n])

	if *update {
		if err := os.WriteFile(goldenFile, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the layout has changed. If that is meant, raise LayoutVersion and run with -update:\n%s", firstDifference(got, string(want)))
	}
}

func blockBytes(region []byte, where func(int) (off, n int64), slot int) []byte {
	off, n := where(slot)
	return region[off : off+n]
}

// dumpLines is a hex dump without the lines that are zero.
func dumpLines(b []byte) string {
	var out strings.Builder
	zero := make([]byte, 16)
	for off := 0; off < len(b); off += 16 {
		if line := b[off : off+16]; !bytes.Equal(line, zero) {
			fmt.Fprintf(&out, "%04x  %s  %s\n", off, hex.EncodeToString(line[:8]), hex.EncodeToString(line[8:]))
		}
	}
	return out.String()
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range g {
		if i >= len(w) || g[i] != w[i] {
			return fmt.Sprintf("line %d:\ngot  %s\nwant %s", i+1, g[i], strings.Join(w[min(i, len(w)):min(i+1, len(w))], ""))
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(g), len(w))
}

// TestHotWordsApart: words that different parties write are 128 bytes apart.
func TestHotWordsApart(t *testing.T) {
	var h logHeader
	var p publisherBlock
	var c cursorHeader
	var s subscriberBlock
	for _, words := range [][]uintptr{
		{
			unsafe.Offsetof(h.hostGeneration), unsafe.Offsetof(h.gateEpoch), unsafe.Offsetof(h.bias), unsafe.Offsetof(h.mutex), unsafe.Offsetof(h.tail),
			unsafe.Offsetof(h.claimed), unsafe.Offsetof(h.doorbell), unsafe.Offsetof(h.spaceSleeps), unsafe.Offsetof(h.pendingDoorbell), unsafe.Offsetof(h.index),
		},
		{unsafe.Offsetof(p.active), unsafe.Offsetof(p.generation), unsafe.Offsetof(p.stats), pageSize},
		{unsafe.Offsetof(c.magic), unsafe.Offsetof(c.sleeps), unsafe.Offsetof(c.spaceDoorbell), unsafe.Offsetof(c.scales), pageSize},
		{unsafe.Offsetof(s.cursor), unsafe.Offsetof(s.generation), unsafe.Offsetof(s.stats), unsafe.Offsetof(s.buckets)},
	} {
		for i := 1; i < len(words); i++ {
			if words[i] < words[i-1]+128 || words[i]%128 != 0 {
				t.Errorf("words at %#x and %#x share lines", words[i-1], words[i])
			}
		}
	}
}

func TestGeometry(t *testing.T) {
	good := Options{Capacity: 1 << 20, ID: 1}
	g, err := good.Geometry()
	if err != nil || g.Publishers() != MaxPublishers || g.Subscribers() != MaxSubscribers || g.HostSlot() != MaxPublishers {
		t.Errorf("defaults: %+v, %v", g, err)
	}
	off, n := g.DataRange()
	if last, size := g.PublisherBlock(g.HostSlot()); last+size != off || off+n != g.LogSize() || n != 1<<20 {
		t.Errorf("the records begin at %d, behind the host's block at %d", off, last)
	}
	last, size := g.SubscriberBlock(MaxSubscribers - 1)
	if totals, n := g.Totals(); last+size != totals || totals+n != g.CursorSize() {
		t.Errorf("the last subscriber block ends at %d, the totals begin at %d of %d", last+size, totals, g.CursorSize())
	}
	for name, change := range map[string]func(*Options){
		"capacity 0":           func(o *Options) { o.Capacity = 0 },
		"small":                func(o *Options) { o.Capacity = MinCapacity / 2 },
		"large":                func(o *Options) { o.Capacity = 2 * MaxCapacity },
		"no power of two":      func(o *Options) { o.Capacity = 3 * MinCapacity },
		"publishers":           func(o *Options) { o.Publishers = MaxPublishers + 1 },
		"negative publishers":  func(o *Options) { o.Publishers = -1 },
		"subscribers":          func(o *Options) { o.Subscribers = MaxSubscribers + 1 },
		"negative subscribers": func(o *Options) { o.Subscribers = -1 },
		"start":                func(o *Options) { o.Start = 31 },
		"label":                func(o *Options) { o.Label = strings.Repeat("x", 65) },
	} {
		o := good
		change(&o)
		if _, err := o.Geometry(); !is(err, ErrBadOptions) {
			t.Errorf("%s: %v, want %v", name, err, ErrBadOptions)
		}
	}
	log, cursors := shm.AlignedBytes(int(g.LogSize())), shm.AlignedBytes(int(g.CursorSize()))
	for name, err := range map[string]error{
		"id 0":          Format(log, cursors, Options{Capacity: 1 << 20}),
		"short log":     Format(log[:len(log)-4096], cursors, good),
		"short cursors": Format(log, cursors[:4096], good),
		"short guests":  FormatGuests(cursors[:4096], good),
	} {
		if !is(err, ErrBadOptions) {
			t.Errorf("%s: %v, want %v", name, err, ErrBadOptions)
		}
	}
}

// TestOpenRefuses: a region that is not this ring's is named, with what it has
// and what it should have.
func TestOpenRefuses(t *testing.T) {
	r := newHeapRoom(t, Options{Label: "topic", Schema: 9})
	log, cursors := r.ring.logBytes, r.ring.cursorBytes
	if o, err := Peek(log[:headerPage]); err != nil || o != r.ring.Options() || o.Label != "topic" || o.Schema != 9 {
		t.Errorf("Peek: %+v, %v", o, err)
	}
	h, c := r.ring.log, r.ring.cursors
	for _, bad := range []struct {
		name   string
		change func() (undo func())
		want   error
		says   string
	}{
		{"magic", func() func() { h.magic.Add(1); return func() { h.magic.Add(^uint64(0)) } }, ErrNotRing, "magic"},
		{"version", func() func() { h.version = 7; return func() { h.version = LayoutVersion } }, ErrLayoutVersion, "7"},
		{"capacity", func() func() { h.capacity += 32; return func() { h.capacity -= 32 } }, ErrCorrupt, "capacity"},
		{"another capacity", func() func() { h.capacity *= 2; return func() { h.capacity /= 2 } }, ErrCorrupt, "region of"},
		{"start", func() func() { h.start++; return func() { h.start-- } }, ErrCorrupt, "multiple of 32"},
		{"clock", func() func() { h.clock = 2; return func() { h.clock = 0 } }, ErrCorrupt, "0 or 1"},
		{"label", func() func() { h.labelLen = 65; return func() { h.labelLen = 5 } }, ErrCorrupt, "label"},
		{"publishers", func() func() { h.publishers = 0; return func() { h.publishers = sitePublishers } }, ErrCorrupt, "slots"},
		{"cursor magic", func() func() { c.magic.Add(1); return func() { c.magic.Add(^uint64(0)) } }, ErrNotRing, "cursor region"},
		{"cursor version", func() func() { c.version = 9; return func() { c.version = LayoutVersion } }, ErrLayoutVersion, "9"},
		{"cursor id", func() func() { c.id++; return func() { c.id-- } }, ErrCorrupt, "id"},
		{"cursor subscribers", func() func() { c.subscribers++; return func() { c.subscribers-- } }, ErrCorrupt, "subscribers"},
	} {
		undo := bad.change()
		if _, err := Open(log, cursors, nil); !is(err, bad.want) || !strings.Contains(err.Error(), bad.says) {
			t.Errorf("%s: %v, want %v saying %q", bad.name, err, bad.want, bad.says)
		}
		undo()
	}
	for name, open := range map[string]func() (*Ring, error){
		"short log":     func() (*Ring, error) { return Open(log[:len(log)-1], cursors, nil) },
		"short cursors": func() (*Ring, error) { return Open(log, cursors[:len(cursors)-1], nil) },
		"no cursors":    func() (*Ring, error) { return Open(log, nil, nil) },
		"odd guests":    func() (*Ring, error) { return Open(log, cursors, cursors[:1]) },
	} {
		if _, err := open(); !is(err, ErrCorrupt) {
			t.Errorf("%s: %v, want %v", name, err, ErrCorrupt)
		}
	}
	if _, err := Open(log[:100], cursors, nil); !is(err, ErrNotRing) {
		t.Errorf("a log of 100 bytes: %v, want %v", err, ErrNotRing)
	}
	if _, err := Open(log, cursors, nil); err != nil {
		t.Errorf("undone: %v", err)
	}
}

// TestSlots: every slot of a full-size ring can be used, and none beyond.
func TestSlots(t *testing.T) {
	r := newHeapRoom(t, Options{Publishers: MaxPublishers, Subscribers: MaxSubscribers, Capacity: 64 << 10})
	var producers []*Producer
	for i := range MaxPublishers {
		producers = append(producers, r.local(i))
	}
	var consumers []*Consumer
	for i := range MaxSubscribers {
		consumers = append(consumers, r.localConsumer(i, SubscriberSpec{Mode: Mode(i % 2)}))
	}
	for i, p := range producers {
		if _, err := p.TryPublish(numbered(i, 20), 0, 0); err != nil {
			t.Fatalf("slot %d: %v", i, err)
		}
	}
	for i, c := range consumers {
		for n := range producers {
			if m, err := c.Next(); err != nil || int(m.Publisher) != n || !bytes.Equal(m.Payload, numbered(n, 20)) {
				t.Fatalf("consumer %d, message %d: %+v, %v", i, n, m, err)
			}
		}
	}
	if n := r.ring.Counts(); n.Publishers != MaxPublishers || n.Subscribers != MaxSubscribers {
		t.Errorf("%+v", n)
	}
	for slot := range 2 {
		if err := r.host.AddPublisher(slot*MaxPublishers, 9999, 0, ""); !is(err, ErrNoSlot) {
			t.Errorf("publisher slot %d: %v, want %v", slot*MaxPublishers, err, ErrNoSlot)
		}
	}
	if err := r.host.AddPublisher(0, MaxGeneration+1, 0, ""); !is(err, ErrNoSlot) {
		t.Errorf("generation %d: %v", MaxGeneration+1, err)
	}
	if NextGeneration(MaxGeneration) != 1 || NextGeneration(0) != 1 {
		t.Error("generations do not begin again at 1")
	}
}
