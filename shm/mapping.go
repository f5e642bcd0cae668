package shm

import (
	"sync"

	mmap "github.com/edsrzf/mmap-go"
)

// Mapping is a region in the address space of this process. It needs the region no longer. The garbage collector
// knows nothing of it: whoever calls Unmap answers for it that nobody uses the bytes, or a word among them, any more;
// a later access ends the program or, worse, hits whatever is mapped there by then.
//
// Unmap may be called by any goroutine, the other methods concurrently, but not with Unmap.
type Mapping struct {
	mutex    sync.Mutex // guards the unmapping
	memory   mmap.MMap  // as returned by mmap-go, nil once unmapped
	name     string
	writable bool
}

// Bytes returns the mapped bytes, all of the region; nil after Unmap. They stay the mapping's. Writing to those of a
// read-only mapping ends the program with SIGSEGV.
func (m *Mapping) Bytes() []byte { return m.memory[:len(m.memory):len(m.memory)] }
