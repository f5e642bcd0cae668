//go:build linux

package bench

import (
	"golang.org/x/sys/unix"

	"github.com/shmbus/shmbus/shm"
)

// stageLimit makes a region for each direction.
func stageLimit(s *stage) error {
	if _, err := s.region("there", limitSize(s.cell)); err != nil {
		return err
	}
	_, err := s.region("back", limitSize(s.cell))
	return err
}

func limitSize(c Cell) int64 {
	if c.Mechanism == "limit-line" || c.Mechanism == "limit-futex" {
		return limitPage
	}
	slot, slots := slotsOf(c.Size, c.capacity())
	return int64(limitPage + slot*slots)
}

// ends returns the regions that an actor publishes to and subscribes to.
func (a *actor) ends() (out, in []byte, err error) {
	there, err := mapDescriptor(ownDescriptors)
	if err != nil {
		return nil, nil, err
	}
	back, err := mapDescriptor(ownDescriptors + 1)
	if err != nil {
		return nil, nil, err
	}
	if a.Actor < a.Cell.Publishers {
		return there, back, nil
	}
	return back, there, nil
}

// line is one word that one side writes and the other reads: the raw cost of
// moving a cache line.
type line struct {
	word   *shm.Word64
	lonely bool
	seen   uint64 // how many have come
}

func attachLine(a *actor) (outlet, inlet, error) {
	out, in, err := a.ends()
	if err != nil {
		return nil, nil, err
	}
	return &line{word: &shm.Overlay[limitHeader](out, 0).tail, lonely: a.Lonely}, &line{word: &shm.Overlay[limitHeader](in, 0).tail, lonely: a.Lonely}, nil
}

func (l *line) send(w *writer, n int) error {
	for range n {
		w.number++
		l.word.Store(w.number) // sync(line): pairs with receive
	}
	return nil
}

func (l *line) receive(k *checker, n int) error {
	for range n {
		want := l.seen + 1
		got := l.word.Load() // sync(line): pairs with send
		for got < want {
			if l.lonely {
				yield()
			}
			got = l.word.Load()
		}
		if got != want {
			return ErrWrong
		}
		l.seen = want
		k.sum += 2 * (want - 1) // as if it had been read from a message
	}
	return nil
}

// futexEnd is one futex that one side changes and wakes and the other sleeps
// on: the raw cost of a wake-up.
type futexEnd struct {
	word *shm.Word32
	seen uint64 // how many have come
}

func attachFutex(a *actor) (outlet, inlet, error) {
	out, in, err := a.ends()
	if err != nil {
		return nil, nil, err
	}
	return &futexEnd{word: &shm.Overlay[limitHeader](out, 0).ping}, &futexEnd{word: &shm.Overlay[limitHeader](in, 0).ping}, nil
}

func (f *futexEnd) send(w *writer, n int) error {
	for range n {
		w.number++
		f.word.Store(uint32(w.number)) // sync(futex-end): pairs with receive
		shm.FutexWake(f.word, 1)
	}
	return nil
}

func (f *futexEnd) receive(k *checker, n int) error {
	for range n {
		for f.word.Load() == uint32(f.seen) { // sync(futex-end): pairs with send
			if err := shm.FutexWait(f.word, uint32(f.seen), pacedAtLeast); err != nil && err != shm.ErrTimeout {
				return err
			}
		}
		k.sum += 2 * f.seen
		f.seen++
	}
	return nil
}

// spsc is the ring that does nothing but carry messages: no lock, no second
// publisher or subscriber, no lengths, no crash safety. The side that owns it
// knows its own index and caches the other's.
type spsc struct {
	header *limitHeader
	data   shm.Span
	size   uint64
	slot   uint64
	mask   uint64
	every  uint64 // an index is published when these bits of it are 0
	own    uint64 // our index
	other  uint64 // the other's, as last seen
	lonely bool
}

func attachSPSC(every uint64) func(*actor) (outlet, inlet, error) {
	return func(a *actor) (outlet, inlet, error) {
		out, in, err := a.ends()
		if err != nil {
			return nil, nil, err
		}
		return (*spscOutlet)(newSPSC(out, a, every)), (*spscInlet)(newSPSC(in, a, every)), nil
	}
}

func newSPSC(b []byte, a *actor, every uint64) *spsc {
	size := a.Cell.Size
	slot, slots := slotsOf(size, a.Cell.capacity())
	return &spsc{header: shm.Overlay[limitHeader](b, 0), data: shm.NewSpan(b[limitPage:]), size: uint64(size), slot: slot, mask: slots - 1, every: every - 1, lonely: a.Lonely}
}

// pause is what a side does between two looks for the other.
func (s *spsc) pause() {
	if s.lonely {
		yield()
	}
	shm.Pause(1)
}

// yield gives the processor to another process.
func yield() { _, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }

type spscOutlet spsc

func (s *spscOutlet) send(w *writer, n int) error {
	tail := s.own
	for range n {
		if tail-s.other > s.mask {
			s.header.tail.Store(tail) // sync(spsc.tail): all must be known before we wait for room
			for tail-s.other > s.mask {
				(*spsc)(s).pause()
				s.other = s.header.head.Load() // sync(spsc.head): pairs with spscInlet
			}
		}
		s.data.CopyIn(tail&s.mask*s.slot, w.next())
		tail++
		if tail&s.every == 0 {
			s.header.tail.Store(tail) // sync(spsc.tail): pairs with spscInlet
		}
	}
	if tail&s.every != 0 {
		s.header.tail.Store(tail) // sync(spsc.tail): the rest
	}
	s.own = tail
	return nil
}

type spscInlet spsc

func (s *spscInlet) receive(k *checker, n int) error {
	head, size := s.own, s.size
	for range n {
		if head == s.other {
			if head&s.every != 0 {
				s.header.head.Store(head) // sync(spsc.head): all must be known before we wait for more
			}
			for s.other = s.header.tail.Load(); head == s.other; s.other = s.header.tail.Load() { // sync(spsc.tail): pairs with spscOutlet
				(*spsc)(s).pause()
			}
		}
		if p := s.data.Bytes(head&s.mask*s.slot, size); !k.next(p) {
			k.take(p)
		}
		head++
		if head&s.every == 0 {
			s.header.head.Store(head) // sync(spsc.head): pairs with spscOutlet
		}
	}
	s.own = head
	return nil
}
