package shm

import (
	"structs"
	"sync/atomic"
)

// Word64 is a 64-bit word in shared memory, written by one process and read
// by others. Load is a load-acquire; Store is a store-release. On amd64 a
// store-release is a plain MOV, where sync/atomic would emit an XCHG that
// drains the store buffer (5 ns instead of 1 ns). What reads and writes at once
// (CompareAndSwap, Add, Or, And) is a load-acquire and a store-release; on amd64
// it is a full fence as well, on arm64 a later store or load may be seen before
// its store. The zero value is ready.
//
// A Word64 must be 8-byte aligned; [Overlay] and [Ref] see to that.
type Word64 struct {
	_ structs.HostLayout
	v uint64
}

// Load reads the word. What follows in program order is read after it.
func (w *Word64) Load() uint64 { return atomic.LoadUint64(&w.v) } // sync(word64): acquire, pairs with Store, CompareAndSwap, Add

// Store writes the word after everything that precedes it in program order.
func (w *Word64) Store(v uint64) { storeRelease64(&w.v, v) } // sync(word64): release, pairs with Load

// CompareAndSwap replaces old by v if the word still is old.
func (w *Word64) CompareAndSwap(old, v uint64) bool { return atomic.CompareAndSwapUint64(&w.v, old, v) }

// Add adds d and returns the new value.
func (w *Word64) Add(d uint64) uint64 { return atomic.AddUint64(&w.v, d) }

// Or sets bits and returns the old value.
func (w *Word64) Or(bits uint64) uint64 { return atomic.OrUint64(&w.v, bits) }

// And keeps only the given bits and returns the old value.
func (w *Word64) And(bits uint64) uint64 { return atomic.AndUint64(&w.v, bits) }

// Word32 is a 32-bit word in shared memory with the operations of [Word64];
// futexes are Word32.
type Word32 struct {
	_ structs.HostLayout
	v uint32
}

// Load reads the word. What follows in program order is read after it.
func (w *Word32) Load() uint32 { return atomic.LoadUint32(&w.v) } // sync(word32): acquire, pairs with Store, CompareAndSwap, Add

// Store writes the word after everything that precedes it in program order.
func (w *Word32) Store(v uint32) { storeRelease32(&w.v, v) } // sync(word32): release, pairs with Load

// CompareAndSwap replaces old by v if the word still is old.
func (w *Word32) CompareAndSwap(old, v uint32) bool { return atomic.CompareAndSwapUint32(&w.v, old, v) }

// Swap stores v and returns the old value.
func (w *Word32) Swap(v uint32) uint32 { return atomic.SwapUint32(&w.v, v) }

// Add adds d and returns the new value.
func (w *Word32) Add(d uint32) uint32 { return atomic.AddUint32(&w.v, d) }

// Or sets bits and returns the old value.
func (w *Word32) Or(bits uint32) uint32 { return atomic.OrUint32(&w.v, bits) }

// StoreBoth stores a in x and then b in y, each a store-release, for the
// price of one call: a commit word and the publisher's active word.
func StoreBoth(x *Word64, a uint64, y *Word32, b uint32) { storeReleaseBoth(&x.v, a, &y.v, b) }
