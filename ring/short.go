package ring

import (
	"github.com/shmbus/shmbus/internal/trick"
	"github.com/shmbus/shmbus/shm"
)

// Short messages, the many, go by a road written in assembly where there is
// one (short_amd64.s): what Publish and publishSome do for them, step by step
// the same, in half the instructions. Where a message costs as much as it takes
// to move its lines from one processor to the other, that is what is left to
// save. Whatever is odd it refuses, having done nothing; then the road written
// in Go is taken, which is also the only one of other processors, of programs
// under the race detector, and of those built with the tag shmbus_portable.

// What publishShort answers.
const (
	shortRefused = 0 // nothing happened
	shortDone    = 1
	shortWake    = 2 // done, and somebody has gone to sleep since we woke the last
)

// shortMost is the longest payload in bytes that counts as short; shortLeast,
// a word, the shortest.
const (
	shortMost  = 128
	shortLeast = 8
)

// StampNow, as the publish time given to Publish, is the ring's clock when the
// message is written.
const StampNow = -1 << 63

// shortRoad is what the assembly finds with one load each.
type shortRoad struct {
	bias   *shm.Word64 // of the ring
	sleeps *shm.Word64
	data   shm.Span
	mask   uint64
	meta   uint64 // of our records of kind 0
	limit  uint64 // payloads of shortLeast to less than this are short; 0: none
	// The same in a batch, where the lock is taken by whatever way: fences and
	// guests are seen to there.
	runLimit uint64
	counts   bool // stamps are of the counter, which we may read
}

func newShortRoad(p *Producer) shortRoad {
	if !trick.ShortRoad {
		return shortRoad{}
	}
	return shortRoad{
		bias: &p.r.log.bias, sleeps: &p.r.cursors.sleeps, data: p.r.data, mask: p.r.mask,
		meta: packMeta(0, p.slot), limit: min(p.fastLimit, shortMost+1), runLimit: min(uint64(p.max), shortMost) + 1,
		counts: p.clock.own,
	}
}

// PublishShort is Publish for a short message when there is nothing to wait
// for, or reports false: then Publish must. now may be [StampNow].
//
// It is two functions so that the first, which compares, is put where it is
// called.
func (p *Producer) PublishShort(payload []byte, kind uint32, now int64) bool {
	return haveShortRoad && len(payload) <= shortMost && p.tryShort(payload, kind, now)
}

func (p *Producer) tryShort(payload []byte, kind uint32, now int64) bool {
	how := publishShort(p, payload, kind, now)
	if how == shortWake {
		p.wake()
	}
	return how != shortRefused
}
