package steps

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"testing"

	"github.com/shmbus/shmbus/ring"
	"github.com/shmbus/shmbus/shm"
)

// roleVariable makes this test binary a victim: which part of which scenario
// it plays, with which slot and generation.
const roleVariable = "SHMBUS_STEPS_ROLE"

func init() {
	if os.Getenv(roleVariable) != "" {
		runtime.LockOSThread() // the main goroutine stays on the main thread, which is traced
	}
}

func TestMain(m *testing.M) {
	if what := os.Getenv(roleVariable); what != "" {
		if err := play(what); err != nil {
			fmt.Fprintln(os.Stderr, "victim:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// part is what a traced process does: it prepares, unseen, and then makes the
// call that is stepped through. Both run in the process.
type part struct {
	kind    string // "publisher", "subscriber", "lossy" or "host"
	prepare func(v *victim)
	call    func(v *victim)
}

// victim is the traced process's side of a scenario.
type victim struct {
	ring   *ring.Ring
	slot   int
	gen    uint32
	p      *ring.Producer
	c      *ring.Consumer
	h      *ring.Host
	notes  notes
	unmap  func() error
	buffer [8 << 10]byte

	next    uint64 // number of the next message
	payload []byte // prepared for the call
	batch   [][]byte
	claims  []ring.Claim
	did     int // messages that the call published, when it returned
}

// notes are words in which a victim tells what it has done, in a page of its
// own that is not the ring's. Its stores go the way of all others: what it
// noted before it died is there.
type notes struct {
	begun     *shm.Word64 // the call under test begins at the next marker
	acked     *shm.Word64 // messages published before the call
	returned  *shm.Word64 // the call has returned
	published *shm.Word64 // messages it says it published
}

func notesIn(page []byte, owner bool) notes {
	if owner {
		page = page[len(page)/2:]
	}
	return notes{
		begun: shm.Overlay[shm.Word64](page, 0), acked: shm.Overlay[shm.Word64](page, 8),
		returned: shm.Overlay[shm.Word64](page, 16), published: shm.Overlay[shm.Word64](page, 24),
	}
}

// assignment is a role as it is handed to the process.
type assignment struct {
	scenario string
	owner    bool
	slot     int
	gen      uint32
	at       ring.Attachment
}

func (a assignment) String() string {
	return fmt.Sprintf("%s %t %d %d %d %d", a.scenario, a.owner, a.slot, a.gen, a.at.Position, a.at.Sequence)
}

func parseAssignment(s string) (a assignment, err error) {
	_, err = fmt.Sscanf(s, "%s %t %d %d %d %d", &a.scenario, &a.owner, &a.slot, &a.gen, &a.at.Position, &a.at.Sequence)
	return a, err
}

// play is the victim's process. It never returns from the last marker: it is
// killed there at the latest.
func play(what string) error {
	a, err := parseAssignment(what)
	if err != nil {
		return err
	}
	sc := scenarioNamed(a.scenario)
	if sc == nil {
		return fmt.Errorf("no scenario %s", a.scenario)
	}
	role := sc.victim
	if a.owner {
		role = *sc.owner
	}
	v := &victim{slot: a.slot, gen: a.gen}
	if err := v.open(role.kind, sc.wait, a); err != nil {
		return err
	}
	if role.prepare != nil {
		role.prepare(v)
	}
	growStack()
	v.notes.acked.Store(v.next)
	v.notes.begun.Store(1)
	runtime.Breakpoint()
	role.call(v)
	v.notes.published.Store(uint64(v.did))
	v.notes.returned.Store(1)
	runtime.Breakpoint()
	return errors.New("ran on behind its last marker")
}

// growStack makes the stack large enough for what follows: its growth is tens
// of thousands of instructions that touch nothing shared.
//
//go:noinline
func growStack() {
	var room [32 << 10]byte
	for i := range room {
		room[i] = byte(i)
	}
	runtime.KeepAlive(&room)
}

// open maps the regions with the rights of the role and takes its seat.
func (v *victim) open(kind string, wait ring.WaitStrategy, a assignment) error {
	var maps [3]*shm.Mapping
	writable := [3]bool{kind == "publisher" || kind == "host", kind != "publisher", true}
	for i := range maps {
		r, err := shm.FromFile(os.NewFile(uintptr(3+i), "region"))
		if err == nil {
			maps[i], err = r.Map(writable[i])
		}
		if err != nil {
			return err
		}
	}
	v.notes = notesIn(maps[2].Bytes(), a.owner)
	v.unmap = func() error { return errors.Join(maps[0].Unmap(), maps[1].Unmap()) }
	var err error
	if v.ring, err = ring.Open(maps[0].Bytes(), maps[1].Bytes(), nil); err != nil {
		return err
	}
	switch kind {
	case "publisher":
		v.p, err = v.ring.Producer(v.slot, v.gen)
	case "subscriber":
		v.c, err = v.ring.Consumer(v.slot, v.gen, a.at, ring.ConsumerOptions{Wait: wait})
	case "lossy":
		v.c, err = v.ring.Consumer(v.slot, v.gen, a.at, ring.ConsumerOptions{Wait: wait, Mode: ring.Lossy})
	case "host":
		v.h = v.ring.Host(v.gen)
	}
	return err
}

// must ends the process if what it prepares fails.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// pause lets the worker act; see scenario.pauses.
func (v *victim) pause() { runtime.Breakpoint() }

// fill makes the next message, of n bytes, in b.
func (v *victim) fill(b []byte) []byte {
	fillMessage(b, v.slot, v.next)
	v.next++
	return b
}

// publish publishes messages with payloads of n bytes.
func (v *victim) publish(count, n int) {
	for range count {
		_, err := v.p.TryPublish(v.fill(v.buffer[:n]), 0, 1)
		must(err)
	}
}

// bias publishes small messages until the ring is biased to this publisher.
func (v *victim) bias() {
	for range 1000 {
		if v.ring.Stat().BiasSlot == v.slot {
			return
		}
		v.publish(1, minMessage)
	}
	panic("1000 messages, and the ring is not biased to their publisher")
}

// advance publishes until the next record begins at this position.
func (v *victim) advance(position uint64) {
	for {
		distance := position - v.ring.Stat().Position
		switch {
		case distance == 0:
			return
		case distance < 64 || int64(distance) < 0:
			panic(fmt.Sprintf("cannot publish up to position %d from %d", position, v.ring.Stat().Position))
		case distance > 2*maxStep:
			v.publish(1, maxStep-headerSize)
		case distance > maxStep:
			v.publish(1, maxStep/2-headerSize)
		default:
			v.publish(1, int(distance)-headerSize)
		}
	}
}

const (
	headerSize = 32
	minMessage = 10
	maxStep    = 1024 // bytes of the ring that advance takes at once
)

// ready prepares the message that the call publishes, and counts it as not yet
// published.
func (v *victim) ready(n int) {
	v.payload = v.message(n)
}

func (v *victim) message(n int) []byte {
	b := make([]byte, n)
	fillMessage(b, v.slot, v.next+uint64(len(v.batch))+uint64(len(v.claims)))
	return b
}

// readyBatch prepares the messages of a batch.
func (v *victim) readyBatch(sizes ...int) {
	for _, n := range sizes {
		v.batch = append(v.batch, v.message(n))
	}
}

// fillMessage writes the nth message of a publisher slot; checkMessage reads it.
func fillMessage(b []byte, slot int, n uint64) {
	binary.LittleEndian.PutUint16(b, uint16(slot))
	binary.LittleEndian.PutUint64(b[2:], n)
	for i := minMessage; i < len(b); i++ {
		b[i] = byte(n) + byte(i)
	}
}

func checkMessage(b []byte) (slot int, n uint64, err error) {
	if len(b) < minMessage {
		return 0, 0, fmt.Errorf("a message of %d bytes", len(b))
	}
	slot, n = int(binary.LittleEndian.Uint16(b)), binary.LittleEndian.Uint64(b[2:])
	for i := minMessage; i < len(b); i++ {
		if b[i] != byte(n)+byte(i) {
			return slot, n, fmt.Errorf("message %d of publisher %d is damaged at byte %d of %d", n, slot, i, len(b))
		}
	}
	return slot, n, nil
}
