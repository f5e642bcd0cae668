//go:build linux

package bench

import (
	"time"

	"github.com/shmbus/shmbus/shm"
)

// The ring behind a plain lock is what one gets from shared memory and a lock:
// records as in package ring, published inside a futex mutex (Drepper's three
// states), whose compare-and-swap on the way in and exchange on the way out
// each wait for the store buffer. What is written in between are plain stores.
// The subscriber polls the commit word. It is not crash-safe.
const mutexHeaderSize, mutexAlign = 32, 32

func stageMutex(s *stage) error {
	size := int64(limitPage) + int64(s.cell.capacity())
	if _, err := s.region("there", size); err != nil {
		return err
	}
	_, err := s.region("back", size)
	return err
}

// mutexRing is one process's view.
type mutexRing struct {
	header   *mutexHeader
	data     shm.Span
	capacity uint64
	limit    uint64 // publisher: records may end here, as last seen
	position uint64 // subscriber: of the next record
	read     uint64 // subscriber: the head that others see
}

func attachMutex(a *actor) (outlet, inlet, error) {
	out, in, err := a.ends()
	if err != nil {
		return nil, nil, err
	}
	return (*mutexOutlet)(newMutexRing(out)), (*mutexInlet)(newMutexRing(in)), nil
}

func newMutexRing(b []byte) *mutexRing {
	data := shm.NewSpan(b[limitPage:])
	return &mutexRing{header: shm.Overlay[mutexHeader](b, 0), data: data, capacity: data.Len(), limit: data.Len()}
}

func (m *mutexRing) at(position uint64) *mutexRecord {
	return shm.Ref[mutexRecord](m.data, position&(m.capacity-1))
}

const (
	mutexFree = iota
	mutexHeld
	mutexWanted // held, and others sleep
)

func (m *mutexRing) lock() {
	l := &m.header.lock
	if l.CompareAndSwap(mutexFree, mutexHeld) { // sync(mutex.lock): pairs with unlock
		return
	}
	for range 100 {
		if l.Load() == mutexFree && l.CompareAndSwap(mutexFree, mutexHeld) {
			return
		}
		shm.Pause(1)
	}
	for l.Swap(mutexWanted) != mutexFree {
		_ = shm.FutexWait(l, mutexWanted, 50*time.Millisecond) // any outcome: look again
	}
}

func (m *mutexRing) unlock() {
	if m.header.lock.Swap(mutexFree) == mutexWanted { // sync(mutex.lock): pairs with lock
		shm.FutexWake(&m.header.lock, 1)
	}
}

// The commit word: state in bit 62 (committed) or 63 (gap before the end of
// the ring), length below.
const (
	mutexCommitted = 1 << 62
	mutexPad       = 1 << 63
	mutexLength    = 1<<32 - 1
)

type mutexOutlet mutexRing

func (o *mutexOutlet) send(w *writer, n int) error {
	m := (*mutexRing)(o)
	for range n {
		p := w.next()
		for m.lock(); !m.write(p); m.lock() {
			m.unlock()
			shm.Pause(16)
			if m.header.head.Load()+m.capacity == m.limit {
				time.Sleep(time.Microsecond)
			}
			m.limit = m.header.head.Load() + m.capacity // sync(mutex.head): pairs with mutexInlet
		}
		m.unlock()
	}
	return nil
}

// write writes a record if there is room. Inside the lock.
func (m *mutexRing) write(payload []byte) bool {
	h := m.header
	position, extent := h.tail.Load(), extentOf(uint64(len(payload)))
	offset := position & (m.capacity - 1)
	pad := uint64(0)
	if offset+extent > m.capacity {
		pad = m.capacity - offset
	}
	if position+pad+extent+mutexHeaderSize > m.limit {
		if m.limit = h.head.Load() + m.capacity; position+pad+extent+mutexHeaderSize > m.limit {
			return false
		}
	}
	if pad > 0 {
		m.at(position + pad).commit.Set(0)
		m.at(position).commit.Store(mutexPad | pad) // sync(mutex.commit): pairs with receive
		position += pad
	}
	m.at(position + extent).commit.Set(0)
	rec, sequence := m.at(position), h.sequence.Load()
	rec.sequence.Set(sequence)
	rec.time.Set(0)
	rec.meta.Set(0)
	m.data.CopyIn(position&(m.capacity-1)+mutexHeaderSize, payload)
	rec.commit.Store(mutexCommitted | uint64(len(payload))) // sync(mutex.commit): pairs with receive
	h.sequence.Set(sequence + 1)
	h.tail.Set(position + extent)
	return true
}

func extentOf(n uint64) uint64 { return (mutexHeaderSize + n + mutexAlign - 1) &^ (mutexAlign - 1) }

type mutexInlet mutexRing

func (in *mutexInlet) receive(k *checker, n int) error {
	m := (*mutexRing)(in)
	for n > 0 {
		rec := m.at(m.position)
		commit := rec.commit.Load() // sync(mutex.commit): pairs with write
		switch {
		case commit == 0:
			m.release()
			shm.Pause(1)
			continue
		case commit&mutexPad != 0:
			m.position += commit &^ mutexPad
			continue
		}
		length := commit & mutexLength
		if p := m.data.Bytes(m.position&(m.capacity-1)+mutexHeaderSize, length); !k.next(p) {
			k.take(p)
		}
		m.position += extentOf(length)
		n--
		if m.position-m.read > m.capacity/16 {
			m.release()
		}
	}
	m.release()
	return nil
}

// release tells publishers how far we have read.
func (m *mutexRing) release() {
	if m.read != m.position {
		m.read = m.position
		m.header.head.Store(m.position) // sync(mutex.head): pairs with mutexOutlet
	}
}
